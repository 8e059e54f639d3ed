"""Embedding tables: one TableConfig over torchrec, hashing, sharding and caches."""
