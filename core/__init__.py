"""Vocabulary and pure mathematics: what every other package is written in. Imports nothing else of the project."""
