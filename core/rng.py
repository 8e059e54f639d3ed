"""Randomness as an argument: one named stream per purpose, all from one seed.

Adding a stream never shifts another one, and a stream keyed by a request id replays exactly.
"""

import hashlib

import numpy as np


def stream(seed: int, purpose: str, *keys: str | int) -> np.random.Generator:
    """The generator for `purpose` (and keys, e.g. a request id) under `seed`."""
    text = "\x1f".join([str(seed), purpose, *map(str, keys)])
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def torch_seed(seed: int, purpose: str) -> int:
    """A seed for libraries that take an integer, from the same naming scheme."""
    return int(stream(seed, purpose).integers(2**31 - 1))
