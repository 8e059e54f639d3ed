"""A content vector for videos that come with words only: genres, year and title, at most 64 numbers.

[multi-hot of the most frequent categories | (year − 1980) / 20 | title words], the last by the hashing trick (Weinberger et
al., ICML 2009): each word adds ±1 to one of 32 places, both drawn from its hash; the title part has length 1. Fixed seed, so
the same title has the same vector everywhere.
"""

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

MAX_CATEGORIES = 31
TITLE_SIZE = 32
_SEED = b"upnext-title-words"


def vectors(titles: pl.Series, categories: pl.Series, years: pl.Series) -> NDArray[np.float32]:
    """[V, ≤ 64] from titles, lists of categories, and years (null allowed); parts without information are left out."""
    year = ((years.cast(pl.Float32) - 1980) / 20).fill_null(0).to_numpy()[:, None] if years.count() else None
    parts = [multi_hot(categories), year, hashed_words(titles)]
    return np.concatenate([part for part in parts if part is not None and part.shape[1]], axis=1).astype(np.float32)


def multi_hot(categories: pl.Series) -> NDArray[np.float32]:
    """[V, C] membership in the C ≤ 31 most frequent categories, in alphabetical order."""
    pairs = pl.DataFrame({"row": range(len(categories)), "name": categories}).explode("name").drop_nulls("name")
    frequent = pairs.group_by("name").len().sort(["len", "name"], descending=[True, False])["name"][:MAX_CATEGORIES]
    column = {name: i for i, name in enumerate(sorted(frequent.to_list()))}
    known = pairs.filter(pl.col("name").is_in(list(column)))
    hot = np.zeros((len(categories), len(column)), dtype=np.float32)
    hot[known["row"].to_numpy(), [column[name] for name in known["name"].to_list()]] = 1.0
    return hot


def hashed_words(titles: pl.Series) -> NDArray[np.float32]:
    """[V, 32] signed hashed bag of words, each row of length 1 (0 without words)."""
    words = titles.fill_null("").str.to_lowercase().str.extract_all(r"\p{L}[\p{L}\p{N}]+")
    pairs = pl.DataFrame({"row": range(len(titles)), "word": words}).explode("word").drop_nulls("word")
    distinct = pairs["word"].unique()
    hashes = [int.from_bytes(hashlib.blake2b(w.encode(), digest_size=4, key=_SEED).digest(), "big") for w in distinct]
    places = pl.DataFrame({"word": distinct, "hash": pl.Series(hashes, dtype=pl.Int64)})
    found = pairs.join(places, on="word", how="left", maintain_order="left")
    code = found["hash"].to_numpy()
    out = np.zeros((len(titles), TITLE_SIZE), dtype=np.float32)
    np.add.at(out, (found["row"].to_numpy(), code % TITLE_SIZE), np.where((code >> 16) & 1, 1.0, -1.0))
    length = np.linalg.norm(out, axis=1, keepdims=True)
    return np.divide(out, length, out=np.zeros_like(out), where=length > 0)
