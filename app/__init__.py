"""HTTP and pages over the serving package."""
