import pytest

from core.clock import DAY_MS, ContinuedClock, ManualClock, SystemClock


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(5)
    assert (clock.now(), clock.now()) == (5, 5)
    clock.advance(DAY_MS)
    assert clock.now() == 86_400_005


def test_time_never_goes_back() -> None:
    with pytest.raises(ValueError, match="go back"):
        ManualClock(5).advance(-1)


def test_the_system_clock_counts_milliseconds_of_this_century() -> None:
    assert 1_577_836_800_000 < SystemClock().now() < 4_102_444_800_000


def test_an_old_log_goes_on_where_it_ended() -> None:
    base = ManualClock(100 * DAY_MS)
    clock = ContinuedClock(3 * DAY_MS, base)
    base.advance(7)
    assert clock.now() == 3 * DAY_MS + 7


def test_a_log_of_today_keeps_the_time_of_day() -> None:
    base = ManualClock(100 * DAY_MS)
    assert ContinuedClock(100 * DAY_MS - 5, base).now() == 100 * DAY_MS
