"""Optional labels of a catalogue."""

from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from core import columns as c
from data.catalogue import LABEL, Catalogue, read_frame
from serving import fakes


def labelled(num=4):
    """Videos of which every second is labelled; the rest, like a new upload, is not."""
    catalogue = fakes.catalogue(num)
    known = pl.Series(LABEL + "kids", [0.25 * row if row % 2 else None for row in range(num)], dtype=pl.Float64)
    return replace(catalogue, frame=catalogue.frame.with_columns(known))


def test_labels_are_zero_where_unknown_and_survive_a_release(tmp_path):
    assert fakes.catalogue(4).labels == {}
    found = labelled().labels["kids"]
    assert (found.dtype, found.tolist()) == (np.float32, [0.0, 0.25, 0.0, 0.75])
    labelled().save(tmp_path / "catalogue.arrow")
    assert Catalogue.load(tmp_path / "catalogue.arrow").labels["kids"].tolist() == found.tolist()


def described(num=1_000):
    """Videos with content."""
    content = np.arange(3 * num, dtype=np.float32).reshape(num, 3)
    frame = labelled(num).frame.with_columns(pl.Series(c.CONTENT, content.tolist(), dtype=pl.List(pl.Float32)))
    return Catalogue.of(frame)


def test_a_saved_catalogue_is_read_where_it_lies(tmp_path):
    catalogue, path = described(), tmp_path / "catalogue.arrow"
    catalogue.save(path)
    before = pa.total_allocated_bytes()
    frame = read_frame(path)
    assert pa.total_allocated_bytes() - before < path.stat().st_size / 10
    assert frame.equals(catalogue.frame)
    content = Catalogue.of(frame).content
    assert np.array_equal(content, catalogue.content)
    assert content.ctypes.data == frame[c.CONTENT].to_arrow().values.buffers()[1].address


def test_the_same_catalogue_gives_the_same_bytes(tmp_path):
    """However its strings lie in memory: those of a filtered frame keep what they were taken from."""
    half = described().frame.filter(pl.col(c.VIDEO_ID) % 2 == 0)
    Catalogue.of(half).save(tmp_path / "filtered")
    Catalogue.of(pl.DataFrame(half.to_dicts(), schema=half.schema)).save(tmp_path / "fresh")
    assert len(half) == 500
    assert (tmp_path / "filtered").read_bytes() == (tmp_path / "fresh").read_bytes()


@pytest.mark.parametrize("missing", [[], [0, 5]])
def test_videos_without_content_have_zeros(missing):
    without = pl.when(pl.col(c.VIDEO_ID).is_in([row + 1 for row in missing])).then(None).otherwise(pl.col(c.CONTENT))
    found = Catalogue.of(described(8).frame.with_columns(without.alias(c.CONTENT))).content
    assert found.tolist() == [[0, 0, 0] if row in missing else [3 * row, 3 * row + 1, 3 * row + 2] for row in range(8)]


def test_a_catalogue_without_content_has_vectors_of_no_numbers():
    assert fakes.catalogue(4).content.shape == (4, 0)
