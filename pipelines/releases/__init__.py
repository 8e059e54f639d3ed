"""A trained system as files: written, published, registered, described, tried on a share of viewers."""
