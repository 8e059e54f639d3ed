"""Templates, style and browser modules of the pages."""
