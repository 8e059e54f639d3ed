import numpy as np
import pytest

from ranking.heldout import Observed, assess

NAN = np.nan


def observed(logits, labels, listed=False, affinity=None):
    logits, labels = np.asarray(logits, dtype=float), np.asarray(labels, dtype=float)
    shape = logits.shape[:2]
    return Observed(
        logits,
        labels,
        np.zeros(shape[0]),
        np.ones(shape, dtype=bool),
        np.zeros(shape) if affinity is None else affinity,
        listed,
    )


def test_watch_scale_uses_known_labels_only():
    part = observed(np.log([[[10.0]], [[30.0]], [[50.0]]]), [[1, 30, NAN, NAN], [1, 50, NAN, NAN], [0, NAN, NAN, NAN]])
    held = assess(("watch",), [part])
    assert held.watch_scale == pytest.approx(2.0)
    assert held.metrics["watch"]["rows"] == 2


def test_lists_count_for_like_and_not_for_click():
    shown = observed(np.zeros((3, 1, 2)), [[1, 5, 1, NAN], [0, NAN, NAN, NAN], [0, NAN, NAN, NAN]])
    listed = observed(np.zeros((2, 4, 2)), [[NAN, NAN, 0, NAN], [NAN, NAN, NAN, NAN]], listed=True)
    figures = assess(("click", "like"), [shown, listed]).metrics
    assert (figures["click"]["rows"], figures["click"]["positive_rate"]) == (3, pytest.approx(1 / 3))
    assert (figures["like"]["rows"], figures["like"]["positive_rate"]) == (2, 0.5)


def test_reciprocal_rank_counts_ties_against_the_clicked_one():
    logits = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 0.0], [0.0, 1.0, 2.0]])[..., None]
    figures = assess(("relevance",), [observed(logits, np.full((3, 4), NAN), listed=True)]).metrics["relevance"]
    assert figures["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert figures["mrr_affinity"] == pytest.approx(1 / 3)


def test_masked_candidates_do_not_outrank():
    part = observed(np.array([[[1.0], [2.0]]]), np.full((1, 4), NAN), listed=True)
    part.mask_NK[0, 1] = False
    assert assess(("relevance",), [part]).metrics["relevance"]["mrr"] == 1.0


def test_no_held_out_labels_leave_the_scores_alone():
    held = assess(("click", "watch"), [observed(np.zeros((2, 1, 2)), np.full((2, 4), NAN))])
    assert held.watch_scale == 1.0
    assert held.metrics["click"]["auc"] is None
    assert held.curves["click"](np.array([0.0])) == pytest.approx(0.5)
