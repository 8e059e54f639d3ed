import io
import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from core import rng
from core.errors import BadInput
from core.ragged import Ragged
from data.interactions import Interactions, group
from pipelines.evaluation import evaluate as evaluation
from pipelines.evaluation.cases import Cases, HeldOut, last_out, time_split
from pipelines.evaluation.evaluate import FittedModels, Scored, Towers, TwoStage, evaluate, fit_baselines, measure
from pipelines.evaluation.leaderboard import GIVEN_RETRIEVED, METRICS, About, Leaderboard
from retrieval.baselines import Popularity
from retrieval.neighbours import Markov

V = 40


def held(targets: list[list[int]], histories: list[list[int]] | None = None, viewers: list[int] | None = None) -> HeldOut:
    n = len(targets)
    cases = Cases(
        viewer_ids=np.array(viewers or range(n), dtype=np.int64),
        at=np.ones(n, dtype=np.int64),
        histories=Ragged.of(histories or [[] for _ in range(n)]),
        warm=np.arange(n) % 2 == 0,
        uploaded_at=np.zeros(V, dtype=np.int64),
    )
    return HeldOut(cases, Ragged.of(targets))


@dataclass(frozen=True)
class Fixed:
    """Always the same list; remembers what it was shown."""

    rows: NDArray[np.int32]
    shown: list[Cases] = field(default_factory=list)

    def rank(self, cases: Cases, rows: slice) -> NDArray[np.int32]:
        self.shown.append(cases)
        return np.tile(self.rows, (len(cases.at[rows]), 1))


def ring(num_viewers: int = 150) -> Interactions:
    """Viewers who walk around a ring of V videos, one step per hour, each starting at a random place and time."""
    random = rng.stream(0, "ring")
    starts, offsets = random.integers(0, V, num_viewers), random.integers(0, 24, num_viewers)
    steps = np.arange(15)
    videos = (starts[:, None] + steps) % V
    at = (offsets[:, None] + steps) * 3_600_000 + 10**12
    return group(np.repeat(np.arange(num_viewers), 15), videos.ravel().astype(np.int32), at.ravel(), V)


def test_metrics_follow_from_the_rank_of_the_target() -> None:
    values = measure(Fixed(np.arange(V, dtype=np.int32)), held([[0], [2], [10], [39]]))
    assert values["hr@10"].tolist() == [1, 1, 0, 0]
    assert values["ndcg@10"] == pytest.approx([1, 0.5, 0, 0])
    assert values["recall@20"].tolist() == [1, 1, 1, 0]
    assert values["ndcg@20"] == pytest.approx([1, 0.5, 1 / np.log2(12), 0])
    assert values["recall@500"].tolist() == [1, 1, 1, 1]


def test_several_targets_and_one_that_the_catalogue_lacks() -> None:
    values = measure(Fixed(np.arange(V, dtype=np.int32)), held([[0, 2, -1]]))
    ideal = 1 + 1 / np.log2(3) + 0.5
    assert values["ndcg@10"] == pytest.approx([1.5 / ideal])
    assert values["recall@20"] == pytest.approx([2 / 3])


def test_ranking_given_retrieved_leaves_out_what_retrieval_missed() -> None:
    model = TwoStage(Fixed(np.array([7, 3, -1], dtype=np.int32)).rank)
    values = measure(model, held([[3], [4], [7, 9]]))
    assert values["ndcg@10"] == pytest.approx([1 / np.log2(3), 0, 1 / (1 + 1 / np.log2(3))])
    assert values[GIVEN_RETRIEVED] == pytest.approx([1 / np.log2(3), np.nan, 1], nan_ok=True)


def test_no_model_is_ever_shown_a_target() -> None:
    """A hidden video that only the targets name never reaches a model, and never enters a list by itself."""
    spy = Fixed(np.arange(10, dtype=np.int32))
    values = measure(spy, held([[39], [39]], histories=[[1, 2], [3]]))
    assert values["recall@500"].tolist() == [0, 0]
    assert all(39 not in cases.histories.values for cases in spy.shown)
    assert not any(hasattr(cases, "targets") for cases in spy.shown)


@pytest.mark.parametrize(
    ("rows", "message"), [([1, 1], "twice"), ([0, V], "outside the catalogue"), ([-2, 0], "outside the catalogue")]
)
def test_a_model_that_breaks_its_contract_is_refused(rows: list[int], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        measure(Fixed(np.array(rows, dtype=np.int32)), held([[0]]))


def test_a_video_from_the_future_is_refused() -> None:
    test = held([[0]])
    test.cases.uploaded_at[7] = 2  # asked at instant 1
    measure(Fixed(np.array([6, 8], dtype=np.int32)), test)
    with pytest.raises(BadInput, match="before its upload"):
        measure(Fixed(np.array([6, 7], dtype=np.int32)), test)


def test_nothing_to_evaluate_says_so() -> None:
    with pytest.raises(BadInput, match="nothing to evaluate"):
        measure(Fixed(np.arange(3, dtype=np.int32)), held([]))


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    log = ring()
    test = time_split(log, int(np.quantile(log.at, 0.8)), np.zeros(V, dtype=np.int64))
    model = Scored(Markov().fit(log))
    whole = measure(model, test)
    monkeypatch.setattr(evaluation, "_MOST_CASES_AT_ONCE", 7)
    parts = measure(model, test)
    assert all(np.array_equal(whole[m], parts[m]) for m in METRICS)


def test_towers_rank_by_dot_product_without_the_seen() -> None:
    random = rng.stream(0, "towers")
    video_VD, viewer_ND = random.normal(size=(V, 4)).astype(np.float32), random.normal(size=(2, 4)).astype(np.float32)
    test = held([[0], [1]], histories=[[5, 6], []])
    ranked = Towers(video_VD, lambda cases, rows: viewer_ND[rows]).rank(test.cases, slice(0, 2))
    order = np.argsort(-(viewer_ND @ video_VD.T), axis=1)
    assert ranked[0, : V - 2].tolist() == [row for row in order[0] if row not in (5, 6)]
    assert ranked[1, :V].tolist() == order[1].tolist()
    assert (ranked[0, V - 2 :] == -1).all()


def test_baselines_are_tuned_and_find_the_ring() -> None:
    log = ring()
    t0 = int(np.quantile(log.at, 0.8))
    fitted = fit_baselines(log.before(t0), max_validation=200)
    board = evaluate(fitted, time_split(log, t0, np.zeros(V, dtype=np.int64)), "ring")
    assert [entry.model for entry in board.entries] == ["popularity", "recent_popularity", "markov", "ease", "ials", "item_knn"]
    assert board.entry("markov").mean("ndcg@10", board.held_out.cases.warm) > 0.95
    assert board.entry("popularity").mean("hr@10") < 0.6
    assert board.best_baseline is board.entry("markov")
    assert set(fitted.settings["markov"]) == {"window", "gap_decay", "smoothing", "decay"}
    trials = {row["model"]: row["trials"] for row in board.to_json()["leaderboard"]}
    assert trials.pop("popularity") == 1
    assert set(trials.values()) == {12}


def test_a_log_without_times_or_order_says_what_is_left_out() -> None:
    train, test = last_out(ring(60))
    bare = group(train.viewer_ids[train.viewer_rows], train.video_rows, np.zeros_like(train.at), V, ordered=False)
    board = evaluate(fit_baselines(bare, timed=False), test, "bare")
    assert [entry.model for entry in board.entries] == ["popularity", "ease", "ials", "item_knn"]
    assert set(board.omitted) == {"recent_popularity", "markov"}


def board() -> Leaderboard:
    random = rng.stream(0, "board")
    test = held([[int(r)] for r in random.integers(0, V, 60)], viewers=[i // 3 for i in range(60)])
    log = group(np.arange(60), test.targets.values, np.arange(60), V)
    answers = np.argsort(test.targets.values[:, None] != np.arange(V), axis=1, kind="stable").astype(np.int32)
    models = {
        "popularity": Scored(Popularity().fit(log)),
        "two_tower": Fixed(np.arange(V, dtype=np.int32)[::-1].copy()),
        "two_stage": TwoStage(lambda cases, rows: answers[rows]),
    }
    fitted = FittedModels(models, {"two_stage": 100.0}, {}, {"markov": "the log has no order"})
    return evaluate(fitted, test, "test protocol")


def test_leaderboard_as_json() -> None:
    found = json.loads(json.dumps(board().to_json(), allow_nan=False))
    assert (found["protocol"], found["num_viewers"], found["num_videos"], found["num_cases"]) == ("test protocol", 20, V, 60)
    assert found["omitted"] == {"markov": "the log has no order"}
    rows = {row["model"]: row for row in found["leaderboard"]}
    assert {"model", "seconds", *METRICS} <= set(rows["two_tower"])
    assert rows["two_stage"]["ndcg@10"] == rows["two_stage"][GIVEN_RETRIEVED] == 1.0
    assert rows["two_stage"]["seconds"] >= 100.0
    assert rows["two_tower"]["warm"]["cases"] == rows["two_tower"]["cold"]["cases"] == 30
    assert (found["leaks"], found["representativeness"]["verdict"]) == ([], "not known")
    assert (found["slices"]["model"], found["slices"]["baseline"]) == ("two_stage", "popularity")
    low, high = rows["two_tower"]["interval"]["ndcg@10"]
    assert low < rows["two_tower"]["ndcg@10"] < high


def test_models_are_compared_with_the_best_baseline() -> None:
    found = {row["model"]: row for row in board().comparisons()}
    assert set(found) == {"two_tower", "two_stage"}
    assert found["two_stage"]["baseline"] == "popularity"
    assert found["two_stage"]["low"] > 0
    assert found["two_stage"]["p_holm"] == pytest.approx(2 * 2 / 2_001)


def test_what_the_second_stage_adds_to_the_order_of_the_first() -> None:
    both = board()
    found = both.over_retrieval_order()
    assert found is not None
    assert found["difference"] == pytest.approx(
        both.entry("two_stage").mean("ndcg@10") - both.entry("two_tower").mean("ndcg@10")
    )
    assert 0 < found["low"] < found["difference"] < found["high"]
    assert both.to_json()["over_retrieval_order"] == found
    assert replace(both, entries=both.entries[:2]).over_retrieval_order() is None


def test_rare_targets_are_told_apart() -> None:
    """Video 0 was never seen in training, video 1 often; the model finds the second only."""
    seen = np.where(np.arange(V) > 0, 50, 0)
    models = {"popularity": Fixed(np.arange(1, V, dtype=np.int32))}
    found = evaluate(FittedModels(models), held([[0], [1], [0, 1]]), "test", about=About(sightings=seen))
    row = found.to_json()["leaderboard"][0]
    assert (row["recall@20, never seen"], row["recall@20, more often"], row["recall@20, 1 to 5 times"]) == (0.0, 1.0, None)
    assert row["interval"]["recall@20, more often"] == [1.0, 1.0]
    assert row["interval"]["recall@20, 1 to 5 times"] is None
    assert found.sightings_table().row_count == 1
    assert board().sightings_table().row_count == 0, "nobody said how often videos were seen"


def test_leaderboard_as_a_table() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(board().to_table())
    text = console.export_text()
    assert all(word in text for word in ("two_stage", "1.0000", "given retr.", "markov left out: the log has no order"))
