"""A content vector for videos that come with words only: genres, year and title, at most 64 numbers.

[multi-hot of the most frequent categories | (year − 1980) / 20 | title words]. Each word has 32 random signs, the bits of its
hash; a title is the sum of its words, scaled to length 1: a random projection of the bag of words (Achlioptas, J. Comput. Syst.
Sci. 66, 2003). The seed is fixed, so the same title has the same vector everywhere.
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
    """[V, 32] projected bag of words, each row of length 1 (0 without words)."""
    words = titles.fill_null("").str.to_lowercase().str.extract_all(r"\p{L}[\p{L}\p{N}]+")
    pairs = pl.DataFrame({"row": range(len(titles)), "word": words}).explode("word").drop_nulls("word")
    distinct = pairs["word"].unique(maintain_order=True)
    index = pl.DataFrame({"word": distinct, "index": range(len(distinct))}, schema_overrides={"index": pl.Int64})
    found = pairs.join(index, on="word", how="left", maintain_order="left")
    out = np.zeros((len(titles), TITLE_SIZE), dtype=np.float32)
    np.add.at(out, found["row"].to_numpy(), _signs(distinct.to_list())[found["index"].to_numpy()])
    length = np.linalg.norm(out, axis=1, keepdims=True)
    return np.divide(out, length, out=np.zeros_like(out), where=length > 0)


def _signs(words: list[str]) -> NDArray[np.float32]:
    """[W, 32] of ±1."""
    hashes = b"".join(hashlib.blake2b(word.encode(), digest_size=TITLE_SIZE // 8, key=_SEED).digest() for word in words)
    return np.unpackbits(np.frombuffer(hashes, dtype=np.uint8)).reshape(-1, TITLE_SIZE).astype(np.float32) * 2 - 1
