"""Delays: closed forms, and simulated and generated logs on which naive training is wrong by the amount that theory says."""

import numpy as np
import polars as pl
import pytest

from core import events as ev
from core import rng
from core.clock import DAY_MS, HOUR_MS
from core.errors import BadInput
from data.labels import delay, logistic
from data.world.config import tiny
from data.world.simulate import generate


def simulated(n=40_000, rate=0.3, mean=10.0, most=20.0):
    """Clicks of uniform ages with exponential delays: truth, what is known now, ages."""
    random = rng.stream(3, "delays")
    positive, age = random.random(n) < rate, random.uniform(0, most, n)
    took = np.where(positive, random.exponential(mean, n), np.inf)
    return positive, np.where(took <= age, took, np.nan), age


def test_naive_rate_is_too_low_by_the_closed_form():
    _, took, age = simulated()
    arrived = delay.Exponential(10.0).arrived(age)
    # E[F] over uniform ages on [0, 20] with mean 10: 1 − (1 − e⁻²) / 2
    assert arrived.mean() == pytest.approx(1 - (1 - np.exp(-2)) / 2, abs=0.003)
    assert np.mean(~np.isnan(took)) == pytest.approx(delay.naive_rate(0.3, arrived), abs=0.006)
    assert delay.naive_rate(0.3, np.array([0.0, 0.5, 1.0])) == pytest.approx(0.15)


def test_both_corrections_find_the_rate():
    _, took, age = simulated()
    observed, arrived = ~np.isnan(took), delay.Exponential(10.0).arrived(age)
    targets, weights = delay.weighted_targets(observed, arrived)
    assert np.average(targets, weights=weights) == pytest.approx(0.3, abs=0.008)
    rate = 0.5
    for _ in range(200):
        rate = delay.expected_targets(observed, arrived, rate).mean()
    assert rate == pytest.approx(0.3, abs=0.008)


def test_corrected_training_has_the_coefficients_of_complete_labels():
    random = rng.stream(4, "delays")
    x = random.standard_normal((20_000, 1))
    positive, age = random.random(20_000) < 1 / (1 + np.exp(1 - x[:, 0])), random.uniform(0, 20, 20_000)
    took = np.where(positive, random.exponential(10.0, 20_000), np.inf)
    observed, arrived = took <= age, delay.Exponential(10.0).arrived(age)
    targets, weights = delay.weighted_targets(observed, arrived)

    def coefficients(target, weight=None):
        weights_CD = logistic.fit(x, logistic.two_classes(target), weight_N=weight, penalty=1e-6).weights_CD
        return weights_CD[1] - weights_CD[0]

    assert coefficients(targets, weights) == pytest.approx([-1.0, 1.0], abs=0.12)
    assert coefficients(observed.astype(float))[0] < -1.6
    belief = np.full(20_000, 0.3)
    for _ in range(10):
        target = delay.expected_targets(observed, arrived, belief)
        belief = logistic.fit(x, logistic.two_classes(target), penalty=1e-6).probability(x)[:, 1]
    assert coefficients(target) == pytest.approx([-1.0, 1.0], abs=0.12)


def test_expected_target_by_hand():
    # p = .5, half of the labels have come: P(positive | nothing yet) = .25 / .75
    found = delay.expected_targets(np.array([True, False]), np.array([0.5, 0.5]), 0.5)
    assert found == pytest.approx([1.0, 1 / 3])


def test_a_stream_of_fake_negatives():
    # Of 1,000 clicks 200 turn positive: the stream has 1,000 negatives and 200 positives, so naive learns .2 / 1.2.
    positive = np.arange(1_200) >= 1_000
    assert positive.mean() == pytest.approx(0.2 / 1.2)
    weights = delay.fake_negative_weights(positive, 0.2)
    assert np.average(positive, weights=weights) == pytest.approx(0.2)


def test_exponential_fit_finds_rate_and_mean_though_half_is_missing():
    _, took, age = simulated()
    found, rate = delay.Exponential.fit(took, age)
    assert rate == pytest.approx(0.3, abs=0.02)
    assert found.mean_ms == pytest.approx(10.0, rel=0.1)
    assert found.window(0.5) == pytest.approx(found.mean_ms * np.log(2))


def test_empirical_fit_undoes_truncation():
    _, took, age = simulated()
    fitted, truth = delay.Empirical.fit(took, age), delay.Exponential(10.0)
    at = np.array([2.0, 5.0, 10.0, 15.0])
    wanted = truth.arrived(at) / truth.arrived(20.0)
    assert fitted.arrived(at) == pytest.approx(wanted, abs=0.03)
    raw = np.array([np.mean(took[~np.isnan(took)] <= t) for t in at])
    assert (raw - wanted).min() > 0.04


def test_empirical_by_hand():
    # Reverse time: of the two that may take 3, one does; of the two that may take 1 or 2 and took no longer, one took 2.
    fitted = delay.Empirical.fit([1.0, 2.0, 3.0, np.nan], [2.5, 9.0, 9.0, 9.0])
    assert fitted.arrived([0.5, 1.0, 2.0, 3.0, 99.0]) == pytest.approx([0.0, 0.25, 0.5, 1.0, 1.0])
    assert [fitted.window(share) for share in (0.25, 0.3, 1.0)] == [1.0, 2.0, 3.0]
    complete = delay.Empirical.fit([1.0, 2.0, 3.0, 4.0], [9.0] * 4)
    assert complete.share == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_nothing_known_or_known_too_early_is_refused():
    with pytest.raises(BadInput, match="no label"):
        delay.Empirical.fit([np.nan], [5.0])
    with pytest.raises(BadInput, match="later than now"):
        delay.Exponential.fit([6.0], [5.0])


def test_regrets_of_a_world():
    """Over many present days: naive is off by E[F], weighting is not. F is known from the time before."""
    events, config = generate(tiny()).events, tiny()
    learned = delay.waits(events, ev.REGRET, config.start_at + 7 * DAY_MS)
    arrived_by = delay.Empirical.fit(learned["delay_ms"].cast(float).fill_null(np.nan), learned["age_ms"])
    assert 18 * HOUR_MS < arrived_by.window(0.5) < 30 * HOUR_MS
    final = delay.waits(events, ev.REGRET, config.end_at)
    complete = final.select("request_id", "video_id", truth=final["delay_ms"].is_not_null())
    naive, predicted, corrected, due, complete_n = np.zeros(5)
    for hour in range(7 * 24, 12 * 24, 4):
        now = delay.waits(events, ev.REGRET, config.start_at + hour * HOUR_MS).filter(pl.col("age_ms") < 3 * DAY_MS)
        now = now.join(complete, on=["request_id", "video_id"], maintain_order="left")
        arrived, observed = arrived_by.arrived(now["age_ms"]), now["delay_ms"].is_not_null().to_numpy()
        truth = now["truth"].to_numpy()
        targets, weights = delay.weighted_targets(observed, arrived)
        naive, predicted, complete_n = (
            naive + observed.sum(),
            predicted + arrived.mean() * truth.sum(),
            complete_n + truth.sum(),
        )
        corrected, due = corrected + targets.sum(), due + weights @ truth
    assert naive / complete_n == pytest.approx(predicted / complete_n, abs=0.03)
    assert naive / complete_n < 0.8
    assert corrected / due == pytest.approx(1.0, abs=0.04)
