"""Tokens from the outside (any text) to the 64-bit ids used inside, without a table to coordinate.

A canonical decimal below 2**62 is its own id, so MovieLens stays readable. Any other token hashes into
[2**62, 2**63): 62 bits of BLAKE2b. The chance of any collision among n hashed tokens is about n²/2**63,
5e-6 at ten million; ingestion checks for it.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

HASHED_FROM = 1 << 62


def to_id(token: str) -> int:
    """The id of one token. Never negative."""
    if token.isascii() and token.isdigit() and (token == "0" or token[0] != "0") and len(token) < 19:
        return int(token)
    digest = hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return HASHED_FROM | (int.from_bytes(digest, "big") & (HASHED_FROM - 1))


def to_ids(tokens: Iterable[str]) -> NDArray[np.int64]:
    """Ids of many tokens, in order."""
    return np.fromiter((to_id(token) for token in tokens), dtype=np.int64)
