"""Training and measuring the ranker on a log with rated rows, next to boosted trees on the same features."""
