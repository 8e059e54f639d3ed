import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from core import events as ev
from core.clock import DAY_MS, HOUR_MS
from core.errors import ConfigError
from features import kinds as k
from features.facts import Facts
from features.tiles import WATCH_MS


@dataclass(frozen=True)
class Fixed(Facts):
    """Facts that are whatever the test says."""

    totals: dict
    hours: float = -1.0
    watches: tuple = ()
    session: int = 0
    counted: tuple = (0, 0)

    def total(self, spec):
        return np.array([self.totals[spec.event, spec.quantity]])

    def hours_since(self, what):
        return np.array([self.hours])

    def latest_watch_ms(self):
        return np.array([self.watches])

    def ordered_watch_ms(self):
        watches = np.array([self.watches])
        return np.sort(watches), np.count_nonzero(watches >= 0, axis=1)

    def session_clicks(self, gap_ms):
        return np.array([self.session])

    def sessions(self, span_ms, gap_ms):
        return tuple(np.array([number]) for number in self.counted)


def read(feature, **facts) -> float:
    return float(feature.read(Fixed(**{"totals": {}, **facts}))[0])


COMMON = {"name": "x", "entity": "viewer", "description": ""}


def test_window_count():
    feature = k.WindowCount(**COMMON, event=ev.CLICK, window=k.DAY)
    assert read(feature, totals={(ev.CLICK, "count"): 3}) == pytest.approx(np.log(4))
    assert feature.sums == (k.DAY.sum(ev.CLICK),)


@pytest.mark.parametrize(("clicks", "shown", "rate"), [(0, 0, 0.1), (10, 80, 0.12), (500, 0, 1.0)])
def test_rate_is_shrunk_and_bounded(clicks, shown, rate):
    feature = k.Rate(**COMMON, event=ev.CLICK, chance=ev.IMPRESSION, window=k.WEEK, prior=0.1, strength=20.0)
    assert read(feature, totals={(ev.CLICK, "count"): clicks, (ev.IMPRESSION, "count"): shown}) == pytest.approx(rate)


def test_mean():
    feature = k.Mean(**COMMON, event=ev.WATCH, quantity=WATCH_MS, window=k.MONTH, unit=1000.0, default=7.0)
    assert read(feature, totals={(ev.WATCH, WATCH_MS): 90_000, (ev.WATCH, "count"): 3}) == 30.0
    assert read(feature, totals={(ev.WATCH, WATCH_MS): 0, (ev.WATCH, "count"): 0}) == 7.0
    shrunk = dataclasses.replace(feature, strength=2.0)
    assert read(shrunk, totals={(ev.WATCH, WATCH_MS): 90_000, (ev.WATCH, "count"): 3}) == pytest.approx((90 + 14) / 5)


def test_std_equals_numpy():
    lengths = (30_000, 1_000, 86_400_000, 0)
    expected = np.log1p(np.std(np.array(lengths) / 1000))
    assert read(k.Std(**COMMON), watches=(*lengths, -1, -1)) == pytest.approx(expected, rel=1e-12)
    assert read(k.Std(**COMMON), watches=(5_000, -1)) == 0.0
    assert read(k.Std(**COMMON), watches=(-1, -1)) == 0.0


def test_std_cannot_overflow():
    assert np.isfinite(read(k.Std(**COMMON), watches=(DAY_MS, 0) * 10))


def test_time_since():
    feature = k.TimeSince(**COMMON, of="click", default=10.0, unit_hours=24.0)
    assert read(feature, hours=48.0) == pytest.approx(np.log(3))
    assert read(feature, hours=-1.0) == 10.0


def test_session_count():
    assert read(k.SessionCount(**COMMON), session=4) == pytest.approx(np.log(5))


def test_calendar():
    saturday = 2 * DAY_MS + 5 * HOUR_MS + 1
    hour = k.CalendarPart(name="hour", entity="context", description="", part="hour")
    weekday = k.CalendarPart(name="weekday", entity="context", description="", part="weekday")
    at = np.array([0, saturday])
    assert hour.of(at).tolist() == [0, 5]
    assert weekday.of(at).tolist() == [3, 5]
    assert (hour.codes, weekday.codes) == (24, 7)


def test_a_sequence_is_not_a_number():
    with pytest.raises(ConfigError, match="not a number"):
        k.LastN(**COMMON, event=ev.CLICK, n=3).read(Fixed({}))


@pytest.mark.parametrize(("quantile", "seconds"), [(0.0, 1), (0.5, 30), (1.0, 600)])
def test_watch_quantiles(quantile, seconds):
    feature = k.WatchQuantile(**COMMON, quantile=quantile, default=7.0)
    assert read(feature, watches=(30_000, 1_000, 600_000, 40_000, -1, -1)) == pytest.approx(np.log1p(seconds))
    assert read(feature, watches=(5_000,)) == pytest.approx(np.log(6))
    assert read(feature, watches=(0, -1)) == 0.0
    assert read(feature, watches=(-1, -1)) == 7.0


@pytest.mark.parametrize(("clicks", "sessions", "value"), [(7, 2, np.log1p(3.5)), (1, 1, np.log(2)), (0, 0, 0.0)])
def test_session_mean(clicks, sessions, value):
    feature = k.SessionMean(**COMMON, span_ms=30 * DAY_MS)
    assert read(feature, counted=(clicks, sessions)) == pytest.approx(value)
