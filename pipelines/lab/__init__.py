"""The laboratory of feedback loops: serve, log, retrain, week after week, in a world whose truth is known."""
