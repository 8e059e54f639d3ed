"""Which model is better? Assignment, tests, interleaving and off-policy estimators."""
