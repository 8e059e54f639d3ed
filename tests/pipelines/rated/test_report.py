import numpy as np
import pytest
from scipy.special import expit

from core import metrics
from core.inference import Interval
from pipelines.rated import report as rated_report
from pipelines.rated.report import RankingReport


def test_a_weight_is_a_repetition():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(2, size=50).astype(float), rng.integers(8, size=50) / 8  # many ties
    weights = rng.integers(0, 4, size=(5, 50))
    expected = [metrics.auc(np.repeat(labels, w), np.repeat(scores, w)) for w in weights]
    assert rated_report.weighted_auc(labels, scores, weights) == pytest.approx(expected)


def test_weighted_auc_without_a_class_is_unknown():
    found = rated_report.weighted_auc(np.array([1.0, 0.0]), np.array([0.3, 0.1]), np.array([[1, 1], [2, 0]]))
    assert found[0] == 1.0
    assert np.isnan(found[1])


def test_gauc_by_hand():
    """Viewer 1: AUC 1 over 2 rows; viewer 2: ½ over 3 rows; viewer 3 has one label only."""
    viewers = np.array([1, 1, 2, 2, 2, 3, 3])
    labels = np.array([1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0])
    scores = np.array([0.9, 0.1, 0.5, 0.6, 0.4, 0.2, 0.3])
    assert rated_report.gauc(labels, scores, viewers) == pytest.approx((2 * 1.0 + 3 * 0.5) / 5)
    assert np.isnan(rated_report.gauc(labels[5:], scores[5:], viewers[5:]))


def test_the_gain_covers_the_difference_of_two_models():
    rng = np.random.default_rng(1)
    viewers, truth = rng.integers(80, size=3_000), rng.normal(size=3_000)
    labels = (rng.random(3_000) < expit(2 * truth)).astype(float)
    good, bad = truth, truth + 2.0 * rng.normal(size=3_000)
    found = rated_report.auc_gain(labels, good, bad, viewers, rng)
    assert found.mean == metrics.auc(labels, good) - metrics.auc(labels, bad)
    assert 0 < found.low < found.mean < found.high
    same = rated_report.auc_gain(labels, good, good, viewers, rng)
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)


def test_the_interval_is_about_viewers():
    """Every viewer's rows are copies of one row, so only the number of viewers counts."""
    rng = np.random.default_rng(2)
    labels, noise = rng.integers(2, size=60).astype(float), rng.normal(size=60)
    first, second = labels + noise, noise
    once = rated_report.auc_gain(labels, first, second, np.arange(60), np.random.default_rng(3))
    often = rated_report.auc_gain(*(np.repeat(x, 20) for x in (labels, first, second, np.arange(60))), np.random.default_rng(3))
    assert often.high - often.low == pytest.approx(once.high - once.low)


def test_calibration_undoes_a_planted_distortion():
    rng = np.random.default_rng(4)
    true = rng.normal(size=20_000)
    labels = (rng.random(20_000) < expit(true)).astype(float)
    probability = rated_report.calibration("like", labels, 2 * true + 1)
    assert np.abs(probability(2 * true + 1) - expit(true)).max() < 0.02


def test_a_distorted_model_is_found_worse_calibrated():
    rng = np.random.default_rng(6)
    viewers, true = rng.integers(100, size=5_000), rng.normal(size=5_000)
    labels = (rng.random(5_000) < expit(true)).astype(float)
    right, wrong = expit(true), expit(true + 0.4)
    found = rated_report.loss_gain(labels, right, wrong, viewers, rng)
    assert found["ece"].mean == metrics.ece(labels, right) - metrics.ece(labels, wrong)
    assert found["logloss"].mean == pytest.approx(metrics.log_loss(labels, right) - metrics.log_loss(labels, wrong))
    assert found["ece"].low < found["ece"].mean < found["ece"].high < 0
    assert found["logloss"].high < 0
    same = rated_report.loss_gain(labels, right, right, viewers, rng)["ece"]
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)


def test_the_bootstrap_of_calibration_sees_the_documented_measure():
    """One viewer of one row each: resampled by hand, both ways give the same ECE."""
    labels, predicted = np.array([1.0, 0.0, 1.0]), np.array([0.95, 0.31, 0.38])
    gaps = rated_report._gaps(labels, predicted, np.arange(3), 3)
    weights = np.array([2, 0, 1])
    repeated = metrics.ece(np.repeat(labels, weights), np.repeat(predicted, weights))
    assert np.abs(weights @ gaps).sum() / 3 == pytest.approx(repeated)


def test_watch_is_predicted_by_its_median():
    rng = np.random.default_rng(5)
    log_mean = rng.normal(2, 1, 20_000)
    watched = np.exp(log_mean) * rng.exponential(size=20_000)
    seconds = rated_report.calibration("watch", watched, log_mean)
    assert seconds(np.array([2.0]))[0] == pytest.approx(np.exp(2.0) * np.log(2), rel=0.05)


def test_the_report_has_the_documented_shape():
    viewers, labels = np.array([1, 1, 2, 2]), np.array([1.0, 0.0, 0.0, 1.0])
    figures = rated_report.figures("click", labels, np.array([0.8, 0.3, 0.4, 0.9]), viewers)
    assert (figures["auc"], figures["gauc"]) == (1.0, 1.0)
    assert figures["ece"] == pytest.approx((0.2 + 0.3 + 0.4 + 0.1) / 4)
    watch = rated_report.figures("watch", np.array([4.0, 8.0]), np.array([5.0, 5.0]), viewers[:2])
    assert watch["mae"] == 2.0
    heads = {"click": figures, "watch": watch}
    gain, less = {"click": Interval(0.1, 0.05, 0.2)}, {"click": Interval(0.0, -0.1, 0.1)}
    calibration = {"click": {"logloss": Interval(-0.2, -0.3, -0.1), "ece": Interval(0.0, -0.1, 0.1)}}
    omitted, facts = {"like": "no label"}, {"rows": {"train": 3}}
    report = RankingReport(heads, heads, heads, heads, gain, less, less, calibration, omitted, facts)
    assert report.to_json()["gain"] == {"click": {"auc": 0.1, "low": 0.05, "high": 0.2}}
    assert report.to_json()["gain_alone"]["click"]["auc"] == 0.0
    assert report.to_json()["calibration"]["click"]["logloss"] == {"difference": -0.2, "low": -0.3, "high": -0.1}
    assert report.to_json()["rows"] == {"train": 3}
    assert report.metrics()["together.click_auc"] == 1.0
    assert report.metrics()["lightgbm.watch_mae"] == 2.0
    assert not any(name.endswith("rows") for name in report.metrics())
    assert report.to_table().row_count == 2 * 4 + 1
    assert report.differences_table().row_count == 5
