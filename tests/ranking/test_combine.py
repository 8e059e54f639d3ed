import math

import numpy as np
import pytest

from core.errors import BadInput
from ranking.combine import combine
from ranking.config import NEXT_CLICK, CombineConfig


def one(value):
    return np.array([[value]], dtype=np.float32)


def test_formula():
    config = CombineConfig(relevance=2.0, click=0.5, watch=0.3, like=0.1, dislike=0.2)
    scores = {"relevance": one(1.5), "click": one(0.2), "watch": one(9.0), "like": one(0.05), "dislike": one(0.01)}
    expected = 3.0 + 0.5 * math.log(0.25) + 0.3 * math.log(10) + 0.1 * math.log(1 / 19) - 0.2 * math.log(1 / 99)
    assert combine(scores, config)[0, 0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("head", "sign"), [("relevance", 1), ("click", 1), ("watch", 1), ("like", 1), ("dislike", -1)])
def test_every_head_pulls_its_way(head, sign):
    scores = {head: np.array([[0.1, 0.3, 0.6]], dtype=np.float32)}
    assert (np.diff(sign * combine(scores, CombineConfig())) > 0).all()


def test_absent_heads_are_skipped():
    scores = {"click": one(0.5), "like": one(0.5)}
    assert combine(scores, CombineConfig())[0, 0] == 0.0


def test_relevance_stands_in_for_a_click_and_affinity_for_both():
    config = CombineConfig(affinity=10.0, unshown=2.0)
    assert combine({"affinity": one(0.3)}, config)[0, 0] == pytest.approx(3.0)
    assert combine({"affinity": one(0.3), "relevance": one(1.0)}, config)[0, 0] == pytest.approx(2.0)
    assert combine({"affinity": one(0.3), "relevance": one(1.0), "click": one(0.5)}, config)[0, 0] == 0.0
    assert combine({"affinity": one(0.3), "click": one(0.5)}, config)[0, 0] == 0.0


def test_the_order_of_the_next_click_is_that_of_relevance():
    scores = {
        "relevance": np.array([[1.0, 3.0, 2.0]]),
        "click": np.array([[0.9, 0.1, 0.5]]),
        "watch": np.array([[9.0, 1.0, 5.0]]),
    }
    assert combine(scores, NEXT_CLICK).tolist() == [[1.0, 3.0, 2.0]]
    assert combine({"click": scores["click"]}, NEXT_CLICK).tolist() == [[0.0, 0.0, 0.0]]


def test_certain_and_negative_scores_stay_finite():
    scores = {"click": np.array([[0.0, 1.0]], dtype=np.float32), "watch": np.array([[-1.0, 0.0]], dtype=np.float32)}
    assert np.isfinite(combine(scores, CombineConfig())).all()


def test_no_candidates_and_no_scores():
    assert combine({"click": np.empty((2, 0), dtype=np.float32)}, CombineConfig()).shape == (2, 0)
    with pytest.raises(BadInput, match="no score"):
        combine({}, CombineConfig())
