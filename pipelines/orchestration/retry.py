"""Another try, later: exponential back-off with full jitter, for errors that may pass and for no others.

    wait before try n+1  ~  U(0, min(cap, base · 2ⁿ)),  n = 0, 1, …      mean  min(cap, base · 2ⁿ) / 2

(Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog 2015: callers that failed together do not come back
together.) Metaflow's own `@retry` waits a fixed number of minutes and repeats whatever went wrong; this one repeats a lost
connection or a full disk, never wrong data. Knows nothing of what it repeats, which must bear being done twice.
"""

import functools
import time
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import numpy as np

from core.errors import Unavailable

Given = ParamSpec("Given")
Result = TypeVar("Result")
Heard = Callable[[int, float, BaseException], None]

_LASTING = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
"""Errors of the operating system that waiting does not cure."""


def may_pass(error: BaseException) -> bool:
    """Whether the same call may well succeed later: a dependency that is down, a connection, a disk; never `BadInput`."""
    return isinstance(error, Unavailable | OSError) and not isinstance(error, _LASTING)


def waits(base_s: float, cap_s: float, random: np.random.Generator) -> Iterator[float]:
    """Seconds to wait before each further try, without end."""
    ceiling = base_s
    while True:
        yield float(random.uniform(0.0, min(cap_s, ceiling)))
        ceiling = min(cap_s, 2.0 * ceiling)


def retrying(
    random: np.random.Generator,
    *,
    tries: int = 4,
    base_s: float = 1.0,
    cap_s: float = 30.0,
    sleep: Callable[[float], None] = time.sleep,
    heard: Heard = lambda tried, wait_s, error: None,
) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """A decorator that calls up to `tries` times and then lets the last error through.

    Args:
        random: of this caller alone; two callers that share a stream also share their waits.
        tries: at most, the first one included.
        base_s: upper bound of the first wait.
        cap_s: upper bound of any wait.
        sleep: waits for so many seconds.
        heard: told (tries so far, seconds until the next, error) before each wait.
    """

    def decorate(call: Callable[Given, Result]) -> Callable[Given, Result]:
        @functools.wraps(call)
        def patient(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            for tried, wait_s in enumerate(waits(base_s, cap_s, random), start=1):
                try:
                    return call(*args, **kwargs)
                except Exception as error:
                    if tried >= tries or not may_pass(error):
                        raise
                    heard(tried, wait_s, error)
                    sleep(wait_s)
            raise AssertionError("waits never end")

        return patient

    return decorate
