"""Features declared once and read two ways: point in time for training, incrementally for serving."""
