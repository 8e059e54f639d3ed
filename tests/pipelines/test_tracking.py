import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.errors import BadInput
from pipelines import tracking
from pipelines.progress import Stages


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    widths: tuple[int, ...] = (8, 4)


@dataclass(frozen=True)
class Config:
    name: str = "tiny"
    inner: Inner = field(default_factory=Inner)


@pytest.fixture(scope="module")
def var_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two runs that differ in a rate."""
    found = tmp_path_factory.mktemp("tracking") / "not made yet"
    stages = Stages(seconds=[("towers to the end", 1.5)])
    for rate, value in ((0.1, 0.25), (0.2, 0.5)):
        note = tracking.record(
            found, "train", Config(inner=Inner(rate)), {"two_stage.ndcg_10": value}, stages, data="world", release=None
        )
        assert note.startswith("run ")
    return found


def test_what_was_recorded_is_read_back(var_dir: Path) -> None:
    second, first = tracking.runs(var_dir)
    assert first.params == {"name": "tiny", "inner.rate": "0.1", "inner.widths": "[8, 4]"}
    assert first.metrics == {"two_stage.ndcg_10": 0.25, "seconds.towers to the end": 1.5}
    assert (first.tags["kind"], first.tags["data"]) == ("train", "world")
    assert {"git_commit", "hardware.processor", "hardware.versions.numpy"} <= set(first.tags)
    assert "release" not in first.tags
    assert second.began_at >= first.began_at
    assert tracking.find(var_dir, first.run_id[:12]) == first


def test_runs_differ_where_their_configs_do(var_dir: Path) -> None:
    second, first = tracking.runs(var_dir)
    assert tracking.differences([first, second]) == {"inner.rate": ["0.1", "0.2"]}
    assert tracking.differences([first, first]) == {}


def test_an_unknown_run_says_what_to_do(var_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="upnext runs list"):
        tracking.find(var_dir, "zz")
    with pytest.raises(BadInput, match="several begin so"):
        tracking.find(var_dir, "")
    assert tracking.runs(tmp_path) == []


def test_a_broken_database_is_a_warning_and_no_more(tmp_path: Path) -> None:
    (tmp_path / tracking.DATABASE).write_text("this is no database " * 100)
    (tmp_path / "folder" / tracking.DATABASE).mkdir(parents=True)
    for broken in (tmp_path, tmp_path / "folder", tmp_path / tracking.DATABASE):
        note = tracking.record(broken, "train", Config(), {"a.ndcg_10": 0.1}, Stages())
        assert note.startswith("warning: not recorded")
        assert "\n" not in note


def test_more_parameters_than_fit_into_one_call_and_long_ones(tmp_path: Path, var_dir: Path) -> None:
    @dataclass(frozen=True)
    class Wide:
        values: dict[str, str]

    wide = Wide({f"key{i}": "x" * 400 for i in range(230)})
    note = tracking.record(var_dir, "evaluate", wide, {}, Stages())
    params = tracking.find(var_dir, note.removeprefix("run ")).params
    assert len(params) == 230
    assert set(params.values()) == {"x" * 250}


def test_mlflow_is_loaded_only_by_a_run_that_is_recorded() -> None:
    code = "import sys, pipelines.tracking, cli.main; print({'mlflow', 'optuna', 'plotly', 'implicit'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split() == ["set()"]


def test_a_file_is_named_by_its_content(tmp_path: Path) -> None:
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).write_text(text)
    a, b, c = (tracking.digest(tmp_path / name) for name in "abc")
    assert a == b != c


def test_a_database_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """MLflow never opens a file again in which making its tables was cut off, so a kill must not leave one."""
    code = (
        "import os, sys; from pathlib import Path; from pipelines import tracking\n"
        "from mlflow.store.tracking import sqlalchemy_store as store\n"
        "store.mlflow.store.db.utils._initialize_tables = lambda engine: (engine.connect(), os.kill(os.getpid(), 9))\n"
        "tracking.open_database(Path(sys.argv[1]))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, capture_output=True).returncode == -9
    assert not (tmp_path / tracking.DATABASE).exists()
    assert tracking.record(tmp_path, "train", Config(), {"a.b": 1.0}, Stages()).startswith("run ")
    assert [run.metrics for run in tracking.runs(tmp_path)] == [{"a.b": 1.0}]
