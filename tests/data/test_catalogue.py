"""Optional labels of a catalogue."""

from dataclasses import replace

import numpy as np
import polars as pl

from data.catalogue import LABEL, Catalogue
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
    labelled().save(tmp_path / "catalogue.parquet")
    assert Catalogue.load(tmp_path / "catalogue.parquet").labels["kids"].tolist() == found.tolist()
