import numpy as np
import pytest

from benchmarks import models, sampled_metrics, which_metric
from core import rng
from core.ragged import Ragged
from data.interactions import group
from pipelines.evaluation.cases import Cases, HeldOut, time_split
from pipelines.evaluation.evaluate import Scored, measure
from retrieval.baselines import Popularity

V = 60


def setting() -> tuple[Scored, HeldOut]:
    random = rng.stream(0, "clicks")
    popular = (random.random(1_500) ** 3 * V).astype(np.int32)
    log = group(random.integers(0, 80, 1_500), popular, np.arange(1_500), V)
    return Scored(Popularity().fit(log.before(1_000))), time_split(log, 1_000, np.zeros(V, dtype=np.int64))


def test_full_ranks_agree_with_the_metrics_of_the_ranking() -> None:
    model, held_out = setting()
    rank, candidates = models.ranks(model, held_out)
    assert np.array_equal(rank <= 10, measure(model, held_out)["hr@10"] == 1)
    seen = [len(np.unique(held_out.cases.histories[i])) for i in range(len(held_out))]
    assert candidates.tolist() == [V - num for num in seen]


def test_a_flip_is_a_pair_that_changes_places() -> None:
    def row(name: str, full: float, sampled: float) -> dict:
        names = ("hr@10 of 99", "hr@10 of 999", "ndcg@10 of 99", "ndcg@10 of 999")
        return {"model": name, "hr@10": full, "ndcg@10": full, **dict.fromkeys(names, full), "hr@10 of 99": sampled}

    found = sampled_metrics._flips([row("a", 0.1, 0.9), row("b", 0.2, 0.5), row("c", 0.05, 0.4)])
    assert found == [{"metric": "hr@10 of 99", "full": "b", "sampled": "a"}]


def test_shuffling_moves_places_and_loses_nothing() -> None:
    cases = Cases(
        np.arange(50), np.ones(50, dtype=np.int64), Ragged.of([[]] * 50), np.ones(50, dtype=bool), np.zeros(V, dtype=np.int64)
    )
    model = Scored(Popularity().fit(group(np.zeros(V, dtype=np.int64), np.arange(V, dtype=np.int32), np.arange(V), V)))
    before, every = model.rank(cases, slice(0, 50)), slice(0, 50)
    unmoved = which_metric.Shuffled(model, 0.0).rank(cases, every)
    some, chance = (which_metric.Shuffled(model, share).rank(cases, every) for share in (0.1, 1.0))
    assert np.array_equal(unmoved, before)
    for moved in (some, chance):
        assert np.array_equal(np.sort(moved, axis=1), np.sort(before, axis=1))
    kept = [(np.diff(moved[:, :V], axis=1) > 0).mean() for moved in (some, chance)]
    assert kept[0] > 0.75
    assert 0.45 < kept[1] < 0.55


def test_agreement_of_orders() -> None:
    quality = np.arange(6.0)[:, None] + rng.stream(1, "viewers").normal(0, 0.01, (6, 200))
    real = np.array([True] * 4 + [False] * 2)
    found = which_metric._agreement(quality**3, quality, real, draws=20)
    assert [found["kendall"], found["spearman_real"], *found["kendall_interval"]] == pytest.approx([1.0] * 4)
    assert which_metric._agreement(-quality, quality, real, draws=20)["kendall_real"] == pytest.approx(-1.0)
