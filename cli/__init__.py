"""The commands. The one place that knows both halves."""
