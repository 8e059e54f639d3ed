"""The request path: named stages from a request to a slate. Never imports torch."""
