import numpy as np
import pytest
from scipy.special import expit, logit

from core import metrics
from ranking import calibrate


def labels_for(logits, rng):
    return (rng.random(len(logits)) < expit(logits)).astype(float)


def test_platt_recovers_a_planted_distortion():
    rng = np.random.default_rng(0)
    true = rng.normal(-1.5, 1.2, size=40_000)
    fit = calibrate.fit(2.0 * true + 1.0, labels_for(true, rng))
    assert fit.slope == pytest.approx(0.5, abs=0.02)
    assert fit.intercept == pytest.approx(-0.5, abs=0.04)
    assert fit.ece_before > 0.08
    assert fit.ece_after < 0.01


def test_the_curve_is_the_line_it_was_fitted_to():
    curve = calibrate.marginal(0.7, -0.3, 0.0)
    z = np.linspace(-15, 15, 1001)
    assert np.abs(curve(z) - expit(0.7 * z - 0.3)).max() < 1e-6


def test_offsets_are_averaged_out():
    offsets = np.array([0.0, 0.0, 0.0, -2.0])
    curve = calibrate.marginal(1.0, 0.0, offsets)
    z = np.linspace(-8, 8, 401)
    expected = 0.75 * expit(z) + 0.25 * expit(z - 2)
    assert np.abs(curve(z) / expected - 1).max() < 0.01


def test_position_confounding_does_not_reach_the_curve():
    """Better videos were shown higher; the curve must give the click rate had position been independent of the video."""
    rng = np.random.default_rng(1)
    true = rng.normal(-1, 1, size=60_000)
    offsets = np.where(true + rng.normal(size=len(true)) > -1, 0.0, -2.0)
    curve = calibrate.fit(true, labels_for(true + offsets, rng), offsets).curve
    share = (offsets == 0).mean()
    expected = share * expit(true) + (1 - share) * expit(true - 2)
    assert np.abs(curve(true) - expected).max() < 0.02


def test_curve_is_monotone_and_keeps_the_shape():
    rng = np.random.default_rng(2)
    z = rng.normal(size=500)
    curve = calibrate.fit(z, labels_for(-z, rng)).curve
    assert (np.diff(curve.calibrated) > 0).all(), "even where the labels run against the logits"
    assert curve(np.zeros((2, 0, 3))).shape == (2, 0, 3)


def test_few_labels_move_only_the_mean():
    z = np.linspace(-2, 2, 100)
    y = np.zeros(100)
    y[::20] = 1
    fit = calibrate.fit(z, y)
    assert fit.slope == 1.0
    assert fit.curve(z).mean() == pytest.approx(y.mean(), abs=0.02)


@pytest.mark.parametrize("labels", [[], [0.0], [1.0, 1.0]])
def test_one_class_changes_nothing(labels):
    fit = calibrate.fit(np.zeros(len(labels)), labels)
    assert (fit.slope, fit.intercept) == (1.0, 0.0)
    assert logit(fit.curve(np.array([0.5]))) == pytest.approx(0.5, abs=1e-5)


def test_scale_makes_totals_agree():
    predicted = np.array([10.0, 20.0, 30.0])
    assert calibrate.scale([20.0, 30.0, 40.0], predicted) == pytest.approx(1.5)
    assert calibrate.scale([], []) == 1.0


def test_reported_error_is_the_documented_metric():
    rng = np.random.default_rng(3)
    z = rng.normal(size=2000)
    y = labels_for(z, rng)
    assert calibrate.fit(z, y).ece_before == pytest.approx(metrics.ece(y[1::2], expit(z[1::2])))
