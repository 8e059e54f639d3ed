import numpy as np
import polars as pl
import pytest

from core.errors import SchemaMismatch, TooManyBrokenRows
from data.sources import interactions


def test_positions(tmp_path):
    frame = pl.DataFrame({"viewer_id": [2, 1, 1, 1], "video_id": [9, 9, 7, 9], "position": [0, 1, 0, 2]})
    frame.write_parquet(tmp_path / "i.parquet")
    found = interactions.load(tmp_path / "i.parquet")
    assert found.video_ids.tolist() == [7, 9]
    assert found.interactions.viewer_ids.tolist() == [1, 2]
    assert found.interactions.history(1).tolist() == [0, 1, 1]
    assert found.interactions.at.tolist() == [0, 1, 2, 0]
    assert found.interactions.ordered


def test_times_and_usual_names(write):
    folder = write({"r.csv": "userId,movieId,timestamp\n1,5,875000002\n1,6,875000001\n"})
    found = interactions.load(folder / "r.csv")
    assert found.interactions.history(1).tolist() == [1, 0]
    assert found.interactions.at.tolist() == [875_000_001_000, 875_000_002_000]


def test_without_an_order(write):
    folder = write({"r.csv": "user,item\n1,5\n1,5\n1,6\n1,7\n" + "".join(f"2,{i}\n" for i in range(20))})
    found = interactions.load(folder / "r.csv")
    assert not found.interactions.ordered
    assert np.diff(found.interactions.offsets).tolist() == [3, 20]
    assert len(found.quarantine) == 1
    assert found.warnings == ("r.csv has no order: neither position nor time",)


def test_mistakes_are_named(write):
    folder = write({"r.csv": "a,b\n1,5\n", "bad.csv": "user,item,position\n1,5,x\n"})
    with pytest.raises(SchemaMismatch, match="no viewer_id column"):
        interactions.load(folder / "r.csv")
    with pytest.raises(TooManyBrokenRows, match="position is no number"):
        interactions.load(folder / "bad.csv")
