"""Searching for settings, with the same budget for every model."""
