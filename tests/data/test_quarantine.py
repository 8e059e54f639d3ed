import polars as pl
import pytest

from core.errors import TooManyBrokenRows
from data.quarantine import LINE, RAW, RawTable, enforce, nothing_broken

RULES = [("negative", pl.col("x") < 0), ("odd", pl.col("x") % 2 != 0)]


def table(values, file="log.csv"):
    frame = pl.DataFrame({LINE: range(2, 2 + len(values)), RAW: [str(v) for v in values], "x": values})
    return RawTable(file, frame, len(values), nothing_broken())


def test_the_first_reason_counts_and_nulls_pass():
    found = table([2, -1, 3, None, 4]).screen(RULES)
    assert found.frame["x"].to_list() == [2, None, 4]
    assert found.broken.rows() == [("log.csv", 3, "negative", "-1"), ("log.csv", 4, "odd", "3")]
    assert found.columns == ["x"]


def test_every_row_is_either_kept_or_written_down():
    for values in ([], [1], [2], list(range(-50, 50))):
        found = table(values).screen(RULES)
        assert len(found.frame) + len(found.broken) == found.num_read == len(values)


def test_counts_share_and_file(tmp_path):
    quarantine = enforce("log", [table([2, 3, 5, 4]).screen(RULES), table([2], "other.csv")], 0.5, tmp_path / "q")
    assert quarantine.counts == {"odd": 2}
    assert (quarantine.share("log.csv"), quarantine.share("other.csv"), len(quarantine)) == (0.5, 0.0, 2)
    assert pl.read_csv(quarantine.path).rows() == [("log.csv", 3, "odd", 3), ("log.csv", 4, "odd", 5)]
    again = enforce("log", [table([2, 3, 5, 4]).screen(RULES)], 0.5, tmp_path / "q")
    assert again.path == quarantine.path


def test_nothing_broken_writes_nothing(tmp_path):
    assert enforce("log", [table([2])], 0.0, tmp_path / "q").path is None
    assert not (tmp_path / "q").exists()


def test_the_share_is_per_file(tmp_path):
    with pytest.raises(TooManyBrokenRows) as caught:
        enforce("log", [table([2] * 100), table([1, 2, -4], "videos.csv").screen(RULES)], 0.05, tmp_path)
    text = str(caught.value)
    assert text.startswith("videos.csv: 66.7% of the rows are broken, allowed are 5.0%.")
    assert "1  odd; e.g. line 2: '1'" in text
    assert str(next(tmp_path.glob("log-*.csv"))) in text


def test_long_rows_are_cut_in_the_report():
    long = table([3]).with_columns(pl.lit("y" * 10_000).alias(RAW)).screen(RULES)
    assert len(long.broken["raw"][0]) == 2_000
