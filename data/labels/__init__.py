"""What the models learn to predict, defined once."""
