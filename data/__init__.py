"""From whatever people have to one dataset: sources, validation, labels, splits, versions, and the simulated world."""
