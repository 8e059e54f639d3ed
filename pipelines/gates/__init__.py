"""What a release has to show before it is promoted, measured, judged and reported."""
