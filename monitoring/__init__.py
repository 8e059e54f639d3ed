"""What changed? Drift, feedback health and alerts."""
