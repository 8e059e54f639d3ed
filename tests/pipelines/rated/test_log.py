import numpy as np
import polars as pl
import pytest

from core.errors import BadInput, SchemaMismatch
from pipelines.rated import log as rated_log
from tests.pipelines.rated import made as rated


def read(tmp_path, frame, name="log.tsv"):
    path = tmp_path / name
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="\t" if path.suffix == ".tsv" else ",")
    return rated_log.read(path)


@pytest.mark.parametrize("name", ["log.tsv", "log.csv", "log.parquet"])
def test_every_format_reads_the_same(tmp_path, name):
    frame = rated.frame(30)
    log = read(tmp_path, frame, name)
    assert log.viewer_ids.tolist() == frame["user_id"].to_list()
    assert log.labels["watch"] == pytest.approx(frame["play_time_ms"].to_numpy() / 1_000)
    assert log.duration_s == pytest.approx(frame["duration_ms"].to_numpy() / 1_000)
    assert log.labels["like"].tolist() == frame["label"].to_list()


def test_viewer_id_is_another_name_and_rows_come_in_time_order(tmp_path):
    frame = rated.frame(30).rename({"user_id": "viewer_id"})
    log = read(tmp_path, frame.sample(fraction=1, shuffle=True, seed=1))
    assert log.at.tolist() == frame["time_ms"].to_list()
    assert log.viewer_ids.tolist() == frame["viewer_id"].to_list()


def test_like_against_hate_is_unknown_where_the_viewer_said_neither(tmp_path):
    frame = rated.frame(3).drop("label").with_columns(is_like=pl.Series([1, 0, 0]), is_hate=pl.Series([0, 1, 0]))
    labels = read(tmp_path, frame).labels["like"]
    assert labels[:2].tolist() == [1.0, 0.0]
    assert np.isnan(labels[2])


def test_a_missing_label_leaves_its_head_out_and_says_so(tmp_path):
    log = read(tmp_path, rated.frame(10).drop("long_view", "label"))
    assert set(log.labels) == {"click", "watch"}
    assert log.omitted["long_view"] == "the log has no column long_view"
    assert "is_like" in log.omitted["like"]


def test_what_cannot_be_used_is_refused_in_words(tmp_path):
    frame = rated.frame(10)
    with pytest.raises(BadInput, match="there is no file"):
        rated_log.read(tmp_path / "absent.tsv")
    with pytest.raises(SchemaMismatch, match="user_id"):
        read(tmp_path, frame.drop("user_id"))
    with pytest.raises(SchemaMismatch, match="no label"):
        read(tmp_path, frame.drop("is_click", "long_view", "label", "play_time_ms"))
    with pytest.raises(SchemaMismatch, match="must be 0 or 1"):
        read(tmp_path, frame.with_columns(label=pl.lit(5)))


def test_the_table_of_viewers(tmp_path):
    assert rated_log.read_viewers(tmp_path / "log.tsv") is None
    table = pl.DataFrame({"user_id": [9, 3, 5], "degree": ["high", "low", None], "follows": [1.5, None, 4.0]})
    table.write_csv(tmp_path / "users.csv")
    found = rated_log.read_viewers(tmp_path / "log.tsv")
    assert found.viewer_ids.tolist() == [3, 5, 9]
    assert found.names == ("degree", "follows")
    assert np.array_equal(found.values_NA, [[2.0, np.nan], [np.nan, 4.0], [1.0, 1.5]], equal_nan=True)
