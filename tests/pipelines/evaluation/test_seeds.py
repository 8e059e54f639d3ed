import numpy as np
import polars as pl
import pytest

from core import rng
from core.errors import BadInput
from core.ragged import Ragged
from pipelines import presets
from pipelines.evaluation import seeds
from pipelines.evaluation.cases import Cases, HeldOut
from pipelines.evaluation.leaderboard import GIVEN_RETRIEVED, METRICS, Entry, Leaderboard
from pipelines.progress import Stages

N = 400


def board(seed: int, gain: float, spread: float = 0.02, num: int = N) -> Leaderboard:
    """Popularity, and a model that is `gain` better on every metric, give or take its seed."""
    cases = Cases(
        viewer_ids=np.arange(num) // 2,
        at=np.ones(num, dtype=np.int64),
        histories=Ragged.of([[] for _ in range(num)]),
        warm=np.ones(num, dtype=bool),
        uploaded_at=np.zeros(3, dtype=np.int64),
    )
    base = rng.stream(0, "base").random(num)
    luck = rng.stream(seed, "luck").normal(0, spread)
    noise = rng.stream(seed, "noise").normal(0, 0.1, num)
    given = np.where(np.arange(num) % 7 == seed % 7, np.nan, float(seed))
    ours = dict.fromkeys(METRICS, base + gain + luck + noise) | {GIVEN_RETRIEVED: given}
    entries = (Entry("popularity", dict.fromkeys(METRICS, base), 1.0), Entry("two_stage", ours, 10.0 * seed))
    return Leaderboard("test", HeldOut(cases, Ragged.of([[0]] * num)), entries)


def test_means_over_seeds_and_their_interval() -> None:
    boards = [board(seed, 0.2) for seed in (1, 2, 3, 4, 5)]
    merged, report = seeds.combine(boards, (1, 2, 3, 4, 5))
    means = [b.entry("two_stage").mean("ndcg@10") for b in boards]
    row = next(row for row in report.rows if row.metric == "ndcg@10")
    assert row.per_seed == pytest.approx(means)
    assert row.over_seeds.mean == pytest.approx(np.mean(means))
    assert row.over_seeds.high - row.over_seeds.mean == pytest.approx(2.7764451 * np.std(means, ddof=1) / np.sqrt(5))
    assert merged.entry("two_stage").mean("ndcg@10") == pytest.approx(np.mean(means))
    assert merged.entry("two_stage").seconds == 30.0
    assert merged.entry("popularity") is boards[0].entry("popularity")
    assert [e.model for e in merged.entries] == ["popularity", "two_stage"]


def test_a_case_undefined_for_some_seeds_is_the_mean_of_the_others() -> None:
    merged, _ = seeds.combine([board(1, 0.1), board(2, 0.1)], (1, 2))
    assert merged.entry("two_stage").values[GIVEN_RETRIEVED][:3].tolist() == [1.5, 2.0, 1.0]


def test_a_gain_is_claimed_and_luck_is_not() -> None:
    """Seeds that differ by far more than the gain leave nothing to claim, though each single run looks sure."""
    _, sure = seeds.combine([board(seed, 0.2) for seed in range(1, 6)], range(1, 6))
    assert max(row.q for row in sure.rows) < 0.001
    _, luck = seeds.combine([board(seed, 0.02, spread=0.1) for seed in range(1, 6)], range(1, 6))
    assert min(row.q for row in luck.rows) > 0.05


def test_other_cases_and_single_runs_are_refused() -> None:
    with pytest.raises(BadInput, match="same cases"):
        seeds.combine([board(1, 0.1), board(2, 0.1, num=200)], (1, 2))
    with pytest.raises(BadInput, match="at least two runs"):
        seeds.combine([board(1, 0.1)], (1,))


def test_every_section_but_the_world_gets_the_seed() -> None:
    config = presets.tiny()
    found = seeds.reseeded(config, 9)
    assert (found.seed, found.towers.seed, found.ranker.seed) == (9, 9, 9)
    assert found.world == config.world
    assert seeds.reseeded(found, config.seed).split == config.split


def test_two_files_with_two_seeds(tmp_path) -> None:
    random = rng.stream(0, "files")
    viewers = np.repeat(np.arange(60), 8)
    pl.DataFrame(
        {"viewer_id": viewers, "video_id": random.integers(0, 30, 480), "position": np.tile(np.arange(8), 60)}
    ).write_csv(tmp_path / "train.csv")
    pl.DataFrame({"viewer_id": np.arange(60), "video_id": random.integers(0, 30, 60)}).write_csv(tmp_path / "test.csv")
    stages = Stages()
    merged, report = seeds.evaluate_files(tmp_path / "train.csv", tmp_path / "test.csv", None, presets.tiny(), (1, 2), stages)
    assert [name for name, _ in stages.seconds].count("ranker") == 2
    assert [name for name, _ in stages.seconds][-1] == "held-out file"
    assert {"two_tower", "two_stage", "ease"} <= {entry.model for entry in merged.entries}
    per_seed = {row.model: row.per_seed for row in report.rows if row.metric == "ndcg@10"}
    assert set(per_seed) == {"two_tower", "two_stage"}
    assert per_seed["two_tower"][0] != per_seed["two_tower"][1]
    assert merged.entry("two_tower").mean("ndcg@10") == pytest.approx(np.mean(per_seed["two_tower"]))
