"""Which videos are asked about, what people answer, and whether choosing pays."""

import numpy as np
import pytest

from core import rng
from core.errors import BadInput
from data.labels import active, logistic


def pool(num=1_500, classes=6, seed=1):
    """Clusters on a plane, one per class, some of them close together."""
    random = rng.stream(seed, "pool")
    truth = random.integers(0, classes, num)
    centre = random.standard_normal((classes, 4)) * 2.0
    return centre[truth] + random.standard_normal((num, 4)), truth


def test_scores_by_hand():
    probability = np.array([[0.5, 0.3, 0.2], [0.5, 0.49, 0.01]])
    random = rng.stream(0, "score")
    assert active.score(probability, "uncertainty", random) == pytest.approx([0.5, 0.5])
    assert active.score(probability, "margin", random) == pytest.approx([-0.2, -0.01])
    assert active.score(np.array([[0.5, 0.5]]), "entropy", random) == pytest.approx([np.log(2)])
    assert active.score(np.array([[1.0, 0.0]]), "entropy", random) == pytest.approx([0.0])


def test_with_two_classes_all_three_are_one():
    random = rng.stream(1, "two")
    probability = logistic.two_classes(random.random(200))
    orders = [np.argsort(-active.score(probability, m, random)).tolist() for m in ("uncertainty", "margin", "entropy")]
    assert orders[0] == orders[1] == orders[2]


def test_the_queue_never_asks_twice_and_starts_with_the_most_wanted():
    probability = logistic.two_classes(np.array([0.9, 0.5, 0.6, 0.1, 0.45]))
    random = rng.stream(2, "queue")
    ask = active.next_to_label(probability, np.array([1]), 3, "margin", random)
    assert ask.tolist() == [4, 2, 0]
    everything = active.next_to_label(probability, np.array([1]), 99, "margin", random, random_share=0.5)
    assert sorted(everything.tolist()) == [0, 2, 3, 4]
    assert everything[:2].tolist() == [4, 2]
    assert len(active.next_to_label(probability, np.arange(5), 3, "random", random)) == 0


def test_people_err_as_often_as_declared_and_votes_help():
    truth = np.tile([0, 1], 20_000)
    people = active.Annotators(truth, np.full(40_000, 0.2), 2)
    wrong = people.labels(np.arange(40_000), rng.stream(3, "people")) != truth
    assert wrong.mean() == pytest.approx(0.2, abs=0.007)
    three = active.Annotators(truth, np.full(40_000, 0.2), 2, votes=3)
    # 3 · .2² · .8 + .2³ = .104
    assert (three.labels(np.arange(40_000), rng.stream(4, "people")) != truth).mean() == pytest.approx(0.104, abs=0.006)
    assert three.label_s == 3 * people.label_s


def test_disagreement_tells_the_error():
    answers = active.Annotators(np.zeros(40_000, dtype=np.int64), np.full(40_000, 0.1), 2, votes=2).answers(
        np.arange(40_000), rng.stream(5, "two people")
    )
    differ = float((answers[:, 0] != answers[:, 1]).mean())
    assert differ == pytest.approx(2 * 0.1 * 0.9, abs=0.007)
    assert active.error_from_disagreement(differ) == pytest.approx(0.1, abs=0.006)
    with pytest.raises(BadInput, match="look at the question"):
        active.error_from_disagreement(0.6)


def test_choosing_beats_chance_on_separable_classes():
    x, truth = pool()
    wins = 0
    for seed in range(3):
        quality = {}
        for method in ("random", "margin"):
            random = rng.stream(seed, "learn", method)
            rounds = list(active.learn(x[:1_000], lambda rows: truth[rows], 6, method, random, first=30, step=30, most=150))
            assert [labels for labels, _ in rounds] == [30, 60, 90, 120, 150]
            quality[method] = (rounds[-1][1].probability(x[1_000:]).argmax(axis=1) == truth[1_000:]).mean()
        wins += quality["margin"] >= quality["random"]
    assert wins >= 2


def test_labels_needed_lies_between_two_points():
    labels, quality = np.array([100.0, 1_000.0]), np.array([0.8, 0.9])
    assert active.labels_needed(labels, quality, 0.85) == pytest.approx(np.sqrt(100 * 1_000))
    assert active.labels_needed(labels, quality, 0.7) == 100
    assert np.isnan(active.labels_needed(labels, quality, 0.95))
