"""Looking at a running system day by day, and the drills that show whether looking helps."""
