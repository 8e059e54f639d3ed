"""Everything offline: train, evaluate, publish."""
