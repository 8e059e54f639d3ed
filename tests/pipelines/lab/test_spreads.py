import numpy as np
import pytest

from experiments.policies import NUM_SAMPLES
from pipelines.lab import spreads

CLICKS, SHOWS = np.array([1.0, 100.0, 0.0]), np.array([10.0, 1_000.0, 0.0])


def test_what_was_shown_often_is_known():
    found = spreads.per_video(20.0)(CLICKS, SHOWS, 3).std(axis=0)
    assert found[1] < 0.3 * found[0] < 0.3 * found[2]


def test_videos_of_a_topic_share_what_is_known():
    found = spreads.per_topic(np.array([0, 0, 1], dtype=np.int32), 20.0)(CLICKS, SHOWS, 3)
    assert (found[:, 0] == found[:, 1]).all()
    alone = spreads.per_video(20.0)(np.array([101.0, 0.0]), np.array([1_010.0, 0.0]), 3)
    assert found[:, 1:] == pytest.approx(alone)


def test_linear_samples_have_the_posteriors_spread():
    vectors = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], dtype=np.float32)
    shows = np.array([1_000.0, 0.0, 0.0])
    rate = 101.0 / 1_010.0
    spread = spreads.linear(vectors, 20.0)(np.array([100.0, 0.0, 0.0]), shows, 3)
    assert spread.shape == (NUM_SAMPLES, 3)
    covariance = np.diag([1 / 1_020.0, 1 / 20.0]) / (rate * (1 - rate))  # of log-odds: σ² A⁻¹ / σ⁴
    expected = np.sqrt(np.einsum("vd,de,ve->v", vectors, covariance, vectors))
    assert spread.std(axis=0) == pytest.approx(expected, rel=0.3)
    assert np.corrcoef(spread[:, 1], spread[:, 2])[0, 1] > 0.9  # a video never shown borrows from its vector


@pytest.mark.parametrize("kind", [spreads.per_video(5.0), spreads.linear(np.eye(3, dtype=np.float32), 5.0)])
def test_nothing_shown_yet_is_no_error_and_draws_replay(kind):
    nothing = np.zeros(3)
    assert np.isfinite(kind(nothing, nothing, 1)).all()
    assert (kind(nothing, nothing, 1) == kind(nothing, nothing, 1)).all()
    assert (kind(nothing, nothing, 1) != kind(nothing, nothing, 2)).any()
