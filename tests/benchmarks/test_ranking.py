import polars as pl
import pytest

from benchmarks import ranking
from tests.pipelines.rated import made as rated


def test_the_last_fifth_in_time_is_held_out(tmp_path):
    log = tmp_path / "log.tsv"
    frame = rated.frame(200).with_columns(time_ms=(pl.int_range(200) // 3) * 1_000)
    frame.sample(fraction=1, shuffle=True, seed=0).write_csv(log, separator="\t")
    (tmp_path / "users.csv").write_text("user_id,age\n1000,3\n")
    (tmp_path / "parts").mkdir()
    train, held_out = ranking.split(log, tmp_path / "parts")
    earlier, later = pl.read_parquet(train), pl.read_parquet(held_out)
    assert len(earlier) + len(later) == 200
    assert len(later) == 41, "40 rows, and the one that shares their first instant"
    assert earlier["time_ms"].max() < later["time_ms"].min()
    assert (tmp_path / "parts" / "users.csv").is_file()


def test_means_are_over_runs():
    runs = [{"click": {"auc": 0.6, "ece": 0.1, "rows": 3}}, {"click": {"auc": 0.8, "ece": 0.3, "rows": 3}}]
    assert ranking.means(runs) == {"click": {"auc": pytest.approx(0.7), "ece": pytest.approx(0.2)}}


def test_gains_are_over_seeds_and_keep_the_bounds_over_viewers():
    runs = [{"click": {"auc": auc, "low": auc - 0.01, "high": auc + 0.03}} for auc in (0.1, 0.2)]
    found = ranking.gains(runs)["click"]
    assert found["auc"] == pytest.approx(0.15)
    assert found["low"] == pytest.approx(0.15 - 12.706 * 0.05, abs=1e-3), "t with one degree of freedom"
    assert (found["low_over_viewers"], found["high_over_viewers"]) == (pytest.approx(0.14), pytest.approx(0.18))


def test_calibration_is_compared_over_seeds():
    runs = [{"click": {"ece": {"difference": difference}}} for difference in (-0.02, 0.0)]
    found = ranking.differences(runs, "ece")["click"]
    assert found["difference"] == pytest.approx(-0.01)
    assert found["low"] == pytest.approx(-0.01 - 12.706 * 0.01, abs=1e-3)


def test_one_seed_has_no_interval():
    found = ranking.gains([{"click": {"auc": 0.1, "low": 0.05, "high": 0.2}}])["click"]
    assert (found["auc"], found["low"], found["high"]) == (0.1, None, None)
    assert found["low_over_viewers"] == 0.05
