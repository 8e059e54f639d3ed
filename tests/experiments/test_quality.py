import numpy as np
import pytest

from experiments import quality
from experiments.config import MetricConfig
from tests.experiments import trials


@pytest.mark.parametrize(
    ("counts", "shares", "chi2", "p"),
    [
        ((821_588, 815_482), (0.5, 0.5), 22.774, 1.8218e-06),
        ((44_000, 45_000), (0.5, 0.5), 11.236, 8.0228e-04),
        ((600, 400), (0.5, 0.5), 40, 2.5396e-10),
        ((10_000, 10_050), (0.5, 0.5), None, 0.72400),
        ((5_100, 2_400, 2_500), (0.5, 0.25, 0.25), 6, 0.049787),
        ((9_500, 500), (0.95, 0.05), 0, 1),
        ((9_400, 600), (0.95, 0.05), None, 4.468e-06),
    ],
)
def test_sample_ratio(counts, shares, chi2, p):
    found = quality.sample_ratio(counts, shares)
    assert found.p == pytest.approx(p, rel=1e-4)
    assert chi2 is None or found.chi2 == pytest.approx(chi2, abs=1e-3)
    assert found.mismatch == (p < 0.001)


def test_designed_weights_are_what_counts():
    assert quality.sample_ratio((9_500, 500), (0.5, 0.5)).mismatch
    assert not quality.sample_ratio((9_500, 500), (19, 1)).mismatch


@pytest.mark.parametrize(("days", "missing"), [(5, ("Saturday", "Sunday")), (6, ("Sunday",)), (7, ()), (14, ())])
def test_weekdays(days, missing):
    found = quality.days(trials.panel(days=days, num_viewers=400))
    assert (found.first, found.length, found.missing_weekdays) == (trials.MONDAY, days, missing)


def test_an_effect_that_wears_off_is_noticed():
    fading = quality.novelty(trials.panel(watch=1.5, fade=0.035), MetricConfig("watch_s"), 1)
    assert fading.fading
    assert fading.slope.mean == pytest.approx(-3.5, abs=0.6)  # 100 s a day times 0.035
    assert fading.slope.low < -3.5 < fading.slope.high


def test_an_effect_that_stays_is_not():
    slopes = [
        quality.novelty(trials.panel(watch=1.3, seed=seed, num_viewers=800), MetricConfig("watch_s"), 1) for seed in range(40)
    ]
    assert sum(each.slope.p < 0.05 for each in slopes) <= 7  # 99.9 % point of the binomial(40, .05)


def test_the_slope_counts_viewers_not_rows():
    """Its error equals the spread of the estimate over repetitions, though a viewer's rows resemble each other."""
    found = [
        quality.novelty(
            trials.panel(seed=seed, num_viewers=400, days=7, before=0), MetricConfig("ctr", "clicks", "impressions"), 1
        ).slope
        for seed in range(60)
    ]
    spread = np.std([each.mean for each in found])
    assert np.mean([(each.high - each.low) / 3.92 for each in found]) == pytest.approx(spread, rel=0.25)


def test_three_days_say_nothing_about_novelty():
    assert np.isnan(quality.novelty(trials.panel(days=3, num_viewers=200), MetricConfig("watch_s"), 1).slope.p)
