"""The built-in world: a seeded simulator of viewers and videos whose truth is known."""
