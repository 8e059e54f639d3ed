"""The whole run with shrunken numbers, on a log with a known truth."""

import json

import numpy as np
import polars as pl
import pytest

from core.errors import BadInput, ConfigError
from pipelines.progress import Stages
from pipelines.rated import files as rank_files
from pipelines.rated import log as rated_log
from pipelines.rated import ranker as rated_ranker
from pipelines.rated import trees as rated_trees
from tests.pipelines.rated import made as rated

QUICK = ("trials=1", "members=1", "views=1", "ranker.max_epochs=12", "ranker.hidden=[16]")


def evaluate(paths, *more):
    return rank_files.evaluate(*paths, rank_files.configure([*QUICK, *more]), Stages())


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rated")
    paths = rated.write(folder, rated.frame(2_500))
    pl.DataFrame({"user_id": np.arange(1_000, 1_040), "age": np.arange(40)}).write_csv(folder / "users.csv")
    return paths, evaluate(paths)


def test_the_answer_has_every_head_of_both_models(measured):
    answer = json.loads(json.dumps(measured[1].to_json(), allow_nan=False))
    assert set(answer["heads"]) == set(answer["alone"]) == set(answer["baseline"]) == {"click", "long_view", "like", "watch"}
    assert {"auc", "gauc", "logloss", "ece"} <= set(answer["heads"]["like"])
    assert set(answer["averaged"]) == set(answer["heads"])
    for kind in ("gain", "gain_alone", "gain_over_averaged", "calibration"):
        assert set(answer[kind]) == {"click", "long_view", "like"}
    assert set(answer["calibration"]["like"]) == {"logloss", "ece"}
    assert answer["rows"] == {"train": 2_000, "held_out": 500}
    assert answer["omitted"] == {}


def test_planted_effects_are_found(measured):
    for head in ("click", "long_view", "like"):
        assert measured[1].heads[head]["auc"] > 0.68, head
        assert measured[1].heads[head]["ece"] < 0.12, head


def test_labels_of_the_held_out_file_are_not_read_by_the_models(measured, tmp_path):
    """With every label turned around, the same scores give one minus the AUC, and the settings are the same."""
    (train, held_out), report = measured
    frame = pl.read_csv(held_out, separator="\t")
    turned = frame.with_columns(
        *((1 - pl.col(name)).alias(name) for name in ("is_click", "long_view", "label")), play_time_ms=pl.lit(7)
    )
    turned.write_csv(tmp_path / "held_out.tsv", separator="\t")
    again = evaluate((train, tmp_path / "held_out.tsv"))
    assert again.facts["settings"] == report.facts["settings"]
    for head in ("click", "long_view", "like"):
        assert again.heads[head]["auc"] == pytest.approx(1 - report.heads[head]["auc"], abs=1e-6)
        assert again.baseline[head]["auc"] == pytest.approx(1 - report.baseline[head]["auc"], abs=1e-6)


def test_the_held_out_file_is_opened_after_everything_is_fitted(measured, monkeypatch):
    happened = []

    def noted(module, name):
        inner = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *rest: (happened.append((name, rest[0])), inner(*rest))[1])

    noted(rated_log, "read")
    noted(rated_ranker, "fit")
    noted(rated_trees, "fit")
    train, held_out = measured[0]
    rank_files.evaluate(train, held_out, rank_files.configure([*QUICK, "ranker.max_epochs=1"]), Stages())
    names = [name for name, _ in happened]
    assert happened[0] == ("read", train)
    assert happened[-1] == ("read", held_out)
    assert names.count("read") == 2
    assert names.count("fit") == 2 + 4, "the ranker's trial and members, and one forest per head"


def test_one_member_averages_nothing(measured):
    report = measured[1]
    assert report.averaged == report.baseline
    assert all(len(settings) == 1 for settings in report.facts["settings"]["lightgbm"].values())


def test_a_head_without_labels_is_left_out_with_the_reason(tmp_path):
    report = evaluate(rated.write(tmp_path, rated.frame(900).drop("long_view", "label", "play_time_ms")), "ranker.max_epochs=1")
    assert set(report.heads) == {"click"}
    assert report.omitted["long_view"] == "the log has no column long_view"


def test_what_cannot_work_is_refused_before_training(measured):
    train, _ = measured[0]
    with pytest.raises(BadInput, match="there is no file"):
        rank_files.evaluate(train, train.with_name("absent.tsv"), rank_files.configure(QUICK), Stages())
    with pytest.raises(ConfigError, match="did you mean 'trials'"):
        rank_files.configure(["trails=3"])
    with pytest.raises(BadInput, match="at least 1"):
        rank_files.configure(["members=0"])
