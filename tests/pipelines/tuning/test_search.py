"""What is tried next, by each method; journals that go on after a kill; several processes on one journal."""

import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from core import rng
from core.errors import BadInput
from core.space import Range, Settings, grid
from pipelines.tuning.search import METHODS, Found, Rungs, Search, Trial

SPACE = {"x": Range(0, 8, points=3), "kind": ("a", "b")}


@dataclass(frozen=True)
class Hill:
    """Highest at x = 3, kind b; longer training helps a little. Slow enough, where asked, to be interrupted."""

    pause_s: float = 0.0
    broken: bool = False

    def __call__(self, settings: Settings, epochs: int | None) -> float:
        time.sleep(self.pause_s)
        if self.broken:
            raise ValueError("this objective cannot be computed")
        return -((float(settings["x"]) - 3) ** 2) + (settings["kind"] == "b") + 0.01 * (epochs or 0)


def points(found: Found) -> list[tuple]:
    return [tuple(trial.settings.values()) for trial in found.trials]


def test_a_grid_is_tried_in_order_and_whole() -> None:
    found = Search(SPACE).run(Hill())
    assert points(found) == [tuple(point.values()) for point in grid(SPACE)]
    assert found.best.settings == {"x": 4.0, "kind": "b"}
    assert points(Search(SPACE, trials=2).run(Hill())) == [(0.0, "a"), (0.0, "b")]


@pytest.mark.parametrize("method", ["random", "tpe", "asha"])
def test_a_seed_decides_the_search(method: str) -> None:
    first, again, other = (Search(SPACE, method, 12, seed).run(Hill()) for seed in (1, 1, 2))
    assert points(first) == points(again) != points(other)
    assert len({trial.setting for trial in first.trials}) == 12
    assert all(0 <= x <= 8 and kind in "ab" for x, kind in points(first))


def test_following_what_was_good_beats_chance() -> None:
    """The same number of trials, over five seeds: regret of TPE below that of independent draws."""
    wide = {"x": Range(0, 100), "kind": ("a", "b")}

    def regret(method: str) -> float:
        return sum(1 - Search(wide, method, 30, seed).run(Hill()).best.score for seed in range(5))

    assert regret("tpe") < regret("random") / 2


def test_rungs_are_those_of_successive_halving() -> None:
    """n = 9, η = 3, r = 1, R = 9: 9 settings for 1 epoch, 3 for 3, 1 for 9: 27 epochs instead of 81."""
    assert Rungs(1, 9, 3).epochs == (1, 3, 9)
    assert Rungs(2, 17, 2).epochs == (2, 4, 8, 16)
    assert Rungs(1, 1).epochs == (1,)
    order = iter(range(9, 0, -1))
    found = Search({"x": Range(0, 1)}, "asha", 9).run(lambda s, e: next(order) if e == 1 else -float(s["x"]))
    assert Counter(trial.epochs for trial in found.trials) == {1: 9, 3: 3, 9: 1}
    assert sum(trial.epochs or 0 for trial in found.trials) == 27


def test_a_setting_is_promoted_when_it_is_in_the_top_share_of_its_rung() -> None:
    """At every moment, what has climbed was among the best ⌊tried / η⌋ of the rung below."""
    values = rng.stream(0, "asha").random(30)
    seen: list[tuple[int, float]] = []
    number: dict[float, int] = {}

    def objective(settings: Settings, epochs: int | None) -> float:
        x = float(settings["x"])
        value = float(values[number.setdefault(x, len(number))])
        below = sorted((v for e, v in seen if e * 3 == epochs), reverse=True)
        assert epochs == 1 or value in below[: len(below) // 3]
        seen.append((epochs or 0, value))
        return value

    found = Search({"x": Range(0, 1)}, "asha", 30, rungs=Rungs(1, 27)).run(objective)
    counts = Counter(trial.epochs for trial in found.trials)
    assert counts[1] == 30
    assert counts[3] >= 10
    assert counts[9] >= 3
    assert counts[27] >= 1
    assert sum(e * n for e, n in counts.items() if e) < 30 * 27 / 4


def test_a_value_that_is_no_number_never_wins() -> None:
    found = Search({"x": (1, 2, 3)}).run(lambda s, e: math.nan if s["x"] != 2 else -5.0)
    assert found.best.settings == {"x": 2}
    assert len(found.trials) == 3


def test_cost_counts_every_trial_until_the_value_is_reached() -> None:
    trials = tuple(Trial(i, {}, value, seconds=2.0) for i, value in enumerate([0.1, 0.3, 0.2, 0.5]))
    found = Found("grid", trials)
    assert [found.cost_to_reach(v) for v in (0.05, 0.2, 0.4, 0.6)] == [2.0, 4.0, 8.0, None]
    assert found.best.setting == 3


@pytest.mark.parametrize("method", METHODS)
def test_a_finished_search_is_only_read(tmp_path: Path, method: str) -> None:
    search = Search(SPACE, method, 5, journal=tmp_path / "made" / "journal.jsonl")
    first = search.run(Hill())
    assert search.run(Hill(broken=True)) == first


def test_a_longer_search_goes_on_from_a_shorter_one(tmp_path: Path) -> None:
    short, long = (Search(SPACE, "tpe", n, journal=tmp_path / "journal.jsonl") for n in (4, 9))
    first = short.run(Hill())
    assert long.run(Hill()).trials[:4] == first.trials
    assert points(long.run(Hill())) == points(replace(long, journal=None).run(Hill()))


def test_a_search_goes_on_after_a_kill(tmp_path: Path) -> None:
    """kill −9 in the middle of a trial: nothing is lost, nothing is tried twice, and the draws are those of a quiet run."""
    journal = tmp_path / "journal.jsonl"
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); from test_search import *\n"
        "Search(SPACE, 'random', 10, 3, journal=Path(sys.argv[1])).run(Hill(pause_s=0.1))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(journal), str(Path(__file__).parent)])
    while not (journal.is_file() and journal.read_text().count("seconds") >= 3):
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    search = Search(SPACE, "random", 10, 3, journal=journal)
    found = search.run(Hill())
    assert [trial.setting for trial in found.trials] == list(range(10))
    assert sum(trial.seconds > 0.05 for trial in found.trials) >= 2
    assert points(found) == points(replace(search, journal=None).run(Hill()))


def test_workers_try_the_same_grid(tmp_path: Path) -> None:
    notes: list[float] = []
    search = Search(SPACE, journal=tmp_path / "journal.jsonl", workers=2)
    found = search.run(Hill(pause_s=0.02), lambda share, note: notes.append(share))
    assert sorted(points(found)) == sorted(tuple(point.values()) for point in grid(SPACE))
    assert sorted(trial.setting for trial in found.trials) == list(range(6))
    assert notes[-1] == 1.0


def test_a_worker_that_fails_ends_the_search(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput, match="search worker failed"):
        Search(SPACE, journal=tmp_path / "journal.jsonl", workers=2).run(Hill(broken=True))
    assert "this objective cannot be computed" in capfd.readouterr().err


def test_searches_that_could_not_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no search method"):
        Search(SPACE, "hyperband")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="needs a number of trials"):
        Search(SPACE, "tpe")
    with pytest.raises(BadInput, match="need a journal"):
        Search(SPACE, workers=2)
    with pytest.raises(BadInput, match="least"):
        Rungs(3, 2)
    Search(SPACE, journal=tmp_path / "journal.jsonl").run(Hill())
    with pytest.raises(BadInput, match="keeps another search"):
        Search({"x": (1,)}, journal=tmp_path / "journal.jsonl").run(Hill())
