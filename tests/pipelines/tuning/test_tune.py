from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from core import rng
from core.errors import BadInput
from core.space import Range
from pipelines import presets
from pipelines.progress import Stages
from pipelines.tuning import report as tuning_report
from pipelines.tuning import tune as tuning
from pipelines.tuning.objectives import OURS, FileObjective
from retrieval.tunable import tunables


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """80 viewers who walk around a ring of 30 videos from random places."""
    starts = rng.stream(0, "ring").integers(0, 30, 80)
    rows = [(viewer, (int(start) + step) % 30, step) for viewer, start in enumerate(starts) for step in range(8)]
    path = tmp_path / "ring.parquet"
    pl.DataFrame(rows, schema=["viewer_id", "video_id", "position"], orient="row").write_parquet(path)
    return path


def objective(file: Path, model: str, *overrides: str) -> FileObjective:
    return FileObjective(file, None, model, presets.configure("tiny", ["seed=3", *overrides]))


def test_methods_are_compared_on_the_same_cases(file: Path, tmp_path: Path) -> None:
    methods = ("grid", "random", "tpe")
    tuned = tuning.tune(objective(file, "item_knn"), methods, tmp_path, trials=5, stages=Stages())
    assert [len(found.trials) for found in tuned.found.values()] == [5, 5, 5]
    found = tuned.to_json()
    assert found["best"]["value"] == max(row["best"]["value"] for row in found["methods"])
    assert found["common_value"] == min(row["best"]["value"] for row in found["methods"])
    assert all(0 < row["seconds_to_common_value"] <= row["seconds"] for row in found["methods"])
    assert (found["set"], set(found["best"]["settings"])) == ([], {"neighbours", "decay"})
    again = tuning.tune(objective(file, "item_knn"), methods, tmp_path, trials=5, stages=Stages())
    assert again.to_json() == found


def test_a_page_shows_every_method_without_a_network(file: Path, tmp_path: Path) -> None:
    tuned = tuning.tune(objective(file, "markov"), ("grid", "tpe"), tmp_path, trials=3, stages=Stages())
    tuning_report.write(tuned, tmp_path / "made" / "report.html")
    text = (tmp_path / "made" / "report.html").read_text()
    assert all(word in text for word in ("grid", "tpe", "Plotly.newPlot", f"{tuned.common_value:.4f}", "window"))
    assert '<script src="http' not in text


def test_our_models_are_tuned_through_their_config(file: Path, tmp_path: Path) -> None:
    ours = objective(file, "two_tower", "files.ordered.epochs=1", "ranker.max_epochs=1")
    space = {"learning_rate": Range(1e-3, 1e-2, log=True)}
    tuned = tuning.tune(ours, ("asha",), tmp_path, trials=1, space=space, stages=Stages())
    assert tuned.best.epochs == 1
    assert 0 <= tuned.best.score <= 1
    (flag,) = tuned.flags
    assert flag.startswith("files.ordered.learning_rate=")
    assert presets.configure("tiny", tuned.flags).files.ordered.learning_rate == tuned.best.settings["learning_rate"]


@pytest.mark.parametrize("model", OURS)
@pytest.mark.parametrize("ordered", [True, False])
def test_every_setting_of_our_spaces_is_a_key_of_the_files_section(file: Path, model: str, ordered: bool) -> None:
    if not ordered:
        pl.read_parquet(file).drop("position").write_parquet(file)
    ours = objective(file, model)
    lowest = {name: v.values()[0] if isinstance(v, Range) else v[0] for name, v in ours.space.items()}
    changed = presets.configure("tiny", ours.flags(lowest))
    assert changed.files != presets.tiny().files
    assert replace(changed, files=presets.tiny().files) == presets.tiny(), "nothing else is searched"
    assert (ours.rungs is None) == (model == "two_tower" and not ordered), "what is solved for has no epochs"


def test_solved_towers_follow_the_settings_that_are_tried(file: Path, tmp_path: Path) -> None:
    """A hundred times too strong a regularisation makes iALS, alone where EASE has no say, forget who asks."""
    pl.read_parquet(file).drop("position").write_parquet(file)
    ours = objective(file, "two_tower")
    fixed = {"dim": 32, "solved.alpha": 8.0, "solved.ridge": 10.0, "solved.mix": 0.0}
    assert ours({**fixed, "solved.l2": 0.01}, None) > 1.5 * ours({**fixed, "solved.l2": 3.0}, None)
    tuned = tuning.tune(ours, ("random",), tmp_path, trials=2, stages=Stages())
    assert len({trial.value for trial in tuned.found["random"].trials}) == 2
    with pytest.raises(BadInput, match="not trained in epochs"):
        tuning.tune(ours, ("asha",), tmp_path, trials=2, stages=Stages())


def test_what_cannot_be_tuned_says_so(file: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="known: two_tower, ranker, markov, ease, ials, item_knn"):
        tuning.tune(objective(file, "recent_popularity"), ("grid",), tmp_path, stages=Stages())
    with pytest.raises(BadInput, match="not trained in epochs"):
        tuning.tune(objective(file, "ease"), ("asha",), tmp_path, trials=3, stages=Stages())
    with pytest.raises(BadInput, match="no file"):
        tuning.tune(objective(tmp_path / "none.csv", "ease"), ("grid",), tmp_path, stages=Stages())


def test_a_journal_belongs_to_its_file_and_config(file: Path, tmp_path: Path) -> None:
    journals = tmp_path / "journals"
    for overrides in ((), ("evaluation.max_validation=20",)):
        tuning.tune(objective(file, "markov", *overrides), ("grid",), journals, trials=1, stages=Stages())
    assert len(list(journals.glob("markov-grid-*.jsonl"))) == 2


def test_baselines_are_searched_over_the_same_space_as_in_the_leaderboard(file: Path) -> None:
    assert objective(file, "ials").space == tunables(timed=False)["ials"].space
