import numpy as np
import pytest

from core import rng
from core.errors import BadInput, StoreUnavailable
from pipelines.orchestration.retry import may_pass, retrying, waits


class Half:
    """A generator whose every draw is the mean."""

    def uniform(self, low, high):
        return (low + high) / 2


def failing(times, error):
    calls = []

    def call():
        calls.append(None)
        if len(calls) <= times:
            raise error
        return len(calls)

    return call


def test_waits_double_up_to_the_cap():
    found = waits(1.0, 10.0, Half())
    assert [next(found) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_jitter_is_full_and_has_the_closed_form_mean():
    ceilings = np.array([1.0, 2.0, 4.0, 8.0, 10.0])
    drawn = np.array(
        [[next(found) for _ in ceilings] for found in (waits(1.0, 10.0, rng.stream(i, "t")) for i in range(4_000))]
    )
    assert (drawn >= 0).all()
    assert (drawn <= ceilings).all()
    # Of a uniform variable: mean c / 2 with standard error c / √(12 n), standard deviation c / √12.
    assert np.abs(drawn.mean(axis=0) - ceilings / 2).max() < 4 * 10.0 / np.sqrt(12 * 4_000)
    np.testing.assert_allclose(drawn.std(axis=0), ceilings / np.sqrt(12), rtol=0.03)


def test_it_tries_again_and_waits_in_between():
    slept, heard = [], []
    again = retrying(Half(), tries=4, base_s=2.0, sleep=slept.append, heard=lambda *what: heard.append(what[0]))
    assert again(failing(3, ConnectionError("reset")))() == 4
    assert slept == [1.0, 2.0, 4.0]
    assert heard == [1, 2, 3]


def test_it_gives_up_with_the_last_error():
    slept = []
    with pytest.raises(TimeoutError):
        retrying(Half(), tries=3, sleep=slept.append)(failing(9, TimeoutError()))()
    assert len(slept) == 2


@pytest.mark.parametrize("error", [BadInput("no"), ValueError(), FileNotFoundError(), PermissionError(), KeyError()])
def test_what_will_not_pass_is_not_repeated(error):
    slept = []
    with pytest.raises(type(error)):
        retrying(Half(), sleep=slept.append)(failing(1, error))()
    assert slept == []


def test_a_dependency_that_is_down_may_come_back():
    assert may_pass(StoreUnavailable("down"))
    assert may_pass(OSError(28, "no space left"))


def test_an_interruption_ends_it():
    with pytest.raises(KeyboardInterrupt):
        retrying(Half(), sleep=lambda s: pytest.fail("it waited"))(failing(1, KeyboardInterrupt()))()
