import hashlib

import numpy as np
import polars as pl

from data.sources import content


def test_parts_and_size():
    titles = pl.Series(["Toy Story", "toy story", "!!", None])
    categories = pl.Series([["Comedy", "Animation"], ["Comedy"], [], None], dtype=pl.List(pl.String))
    years = pl.Series([2000, 1980, None, 1960], dtype=pl.Int32)
    found = content.vectors(titles, categories, years)
    assert found.shape == (4, 2 + 1 + 32)
    assert found[:, :2].tolist() == [[1, 1], [0, 1], [0, 0], [0, 0]]
    assert found[:, 2].tolist() == [1, 0, 0, -1]
    assert np.array_equal(found[0, 3:], found[1, 3:])
    assert np.allclose(np.linalg.norm(found[:, 3:], axis=1), [1, 1, 0, 0])


def test_never_more_than_64():
    categories = pl.Series([[f"c{i}" for i in range(100)]])
    assert content.vectors(pl.Series(["x"]), categories, pl.Series([2000])).shape == (1, 64)


def test_words_hash_the_same_everywhere():
    found = content.hashed_words(pl.Series(["jaws"]))[0] * np.sqrt(32)
    assert (
        np.packbits(found > 0).tobytes().hex() == hashlib.blake2b(b"jaws", digest_size=4, key=b"upnext-title-words").hexdigest()
    )
    assert np.allclose(np.abs(found), 1)
