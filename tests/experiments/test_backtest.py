import numpy as np
import pytest

from core.clock import DAY_MS
from core.errors import BadInput
from experiments.backtest import Cut, Measured, backtest, rolling_cuts

AT = np.arange(100)


def test_expanding_cuts_share_their_beginning_and_tile_the_end() -> None:
    assert rolling_cuts(AT, origins=3, test_ms=10) == (Cut(0, 70, 70, 80), Cut(0, 80, 80, 90), Cut(0, 90, 90, 100))


def test_sliding_cuts_keep_their_length_and_the_gap() -> None:
    assert rolling_cuts(AT, origins=2, test_ms=10, window_ms=40, gap_ms=5) == (Cut(35, 75, 80, 90), Cut(45, 85, 90, 100))


@pytest.mark.parametrize("ask", [{"origins": 1, "test_ms": 10}, {"origins": 2, "test_ms": 0}, {"origins": 10, "test_ms": 10}])
def test_what_cannot_be_cut_is_refused(ask: dict[str, int]) -> None:
    with pytest.raises(BadInput):
        rolling_cuts(AT, **ask)
    with pytest.raises(BadInput, match="too short"):
        rolling_cuts(AT, origins=2, test_ms=10, window_ms=81)


def mean_so_far(values: np.ndarray):
    """A "model" that forecasts the mean of its training window, and its errors."""

    def train(cut: Cut) -> float:
        return float(values[cut.train_from : cut.train_until].mean())

    def evaluate(mean: float, cut: Cut) -> Measured:
        errors = values[cut.test_from : cut.test_until] - mean
        return Measured({"error": errors}, np.arange(len(errors)))

    return train, evaluate


def test_each_origin_is_trained_on_its_own_window_alone() -> None:
    """On the line 0, 1, 2 … the mean lags behind by half the window: expanding ever more, sliding always the same."""
    line = np.arange(100, dtype=np.float64)
    grown = backtest(AT, rolling_cuts(AT, origins=3, test_ms=10), *mean_so_far(line))
    assert [origin.metrics["error"].mean for origin in grown.origins] == [74.5 - 34.5, 84.5 - 39.5, 94.5 - 44.5]
    assert [(origin.num_train, origin.num_test) for origin in grown.origins] == [(70, 10), (80, 10), (90, 10)]
    slid = backtest(AT, rolling_cuts(AT, origins=3, test_ms=10, window_ms=40, gap_ms=3), *mean_so_far(line))
    assert [origin.metrics["error"].mean for origin in slid.origins] == [4.5 + 3 + 20.5] * 3


def test_the_trend_is_per_day() -> None:
    days = np.arange(10) * DAY_MS
    cuts = [Cut(0, int(d), int(d), int(d) + DAY_MS) for d in days[5:9]]

    def evaluate(_: None, cut: Cut) -> Measured:
        return Measured({"hr": 0.5 + 0.01 * (np.zeros(4) + cut.test_from / DAY_MS)}, np.arange(4))

    found = backtest(days, cuts[::-1], lambda cut: None, evaluate)
    assert [origin.cut for origin in found.origins] == cuts
    assert found.trend("hr").mean == pytest.approx(0.01)
    assert found.over_origins("hr").mean == pytest.approx(0.5 + 0.065)
    assert found.to_json()["metrics"]["hr"]["per_day"]["mean"] == pytest.approx(0.01)


def test_a_paired_difference_forgets_how_hard_the_days_were() -> None:
    line, cuts = np.arange(100.0) ** 2, rolling_cuts(AT, origins=4, test_ms=10)
    train, evaluate = mean_so_far(line)
    better = backtest(AT, cuts, lambda cut: train(cut) + 1.0, evaluate)
    found = better.against(backtest(AT, cuts, train, evaluate), "error")
    assert (found.mean, found.low, found.high) == pytest.approx((-1.0, -1.0, -1.0))
    with pytest.raises(BadInput, match="same origins"):
        better.against(backtest(AT, cuts[1:], train, evaluate), "error")


def test_a_cut_that_leaks_or_is_empty_is_refused() -> None:
    for cut, message in ((Cut(0, 50, 40, 60), "reaches into"), (Cut(0, 50, 200, 300), "0 test rows")):
        with pytest.raises(BadInput, match=message):
            backtest(AT, [cut], *mean_so_far(np.arange(100.0)))
