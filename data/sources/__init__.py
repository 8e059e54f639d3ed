"""Other people's logs, one loader per file; `registry.load` is the way in."""
