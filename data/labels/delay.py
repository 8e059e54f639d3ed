"""Labels that come later: how long each kind takes, what training too early gets wrong, and two ways to put it right.

A click at age e is known to be positive if it is (chance p) and its label took D ≤ e, with F(e) = P(D ≤ e | positive):

    naive        counting the rest as negative learns p · E[F(e)]: too low by p · (1 − E[F(e)])
    weighted     target observed / F(e), expected value exactly p; rows with small F(e) are left out (propensity weighting)
    expected     target 1 if observed, else P(positive | nothing yet) = p (1 − F(e)) / (1 − p F(e))  (EM: Chapelle, KDD 2014)
    stream       every click enters as negative at once and again when its label comes: naive learns p / (1 + p); weights 1 + p
                 on positives and (1 − p)(1 + p) on negatives undo that (fake negatives: Ktena et al., RecSys 2019)

F comes from past labels. Only delays shorter than a click's age are seen, so short ones are over-represented (right
truncation); `Empirical.fit` corrects that with the product limit in reverse time (Lagakos et al. 1988). It knows F only up to
the greatest age: what takes longer is outside the window and counts as never. Assumes that delay does not depend on features,
and that delays do not change over time. Milliseconds throughout.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from core import columns as c
from core import events as ev
from core.errors import BadInput

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

AGE_MS, DELAY_MS = "age_ms", "delay_ms"


@dataclass(frozen=True)
class Exponential:
    """Memoryless delays."""

    mean_ms: float

    def arrived(self, age_ms: ArrayLike) -> Floats:
        """1 − exp(−age / mean)."""
        return np.asarray(-np.expm1(-np.maximum(np.asarray(age_ms, dtype=np.float64), 0.0) / self.mean_ms))

    def window(self, share: float) -> float:
        """−mean · ln(1 − share)."""
        return float(-self.mean_ms * np.log1p(-share))

    @staticmethod
    def fit(delay_ms: ArrayLike, age_ms: ArrayLike, steps: int = 500) -> tuple["Exponential", float]:
        """The delay and the rate p that make the log likeliest, by EM; `delay_ms` is nan where no label has come."""
        delay, age = _checked(delay_ms, age_ms)
        came = ~np.isnan(delay)
        seen, waited = float(delay[came].sum()), age[~came]
        rate, mean = float(came.mean()), max(float(delay[came].mean()), 1e-9)
        for _ in range(steps):
            late = rate * np.exp(-waited / mean)
            positive = late / (1.0 - rate + late)
            rate, mean = (
                float((came.sum() + positive.sum()) / len(age)),
                float((seen + positive @ waited) / came.sum()),
            )
        return Exponential(mean), rate


@dataclass(frozen=True)
class Empirical:
    """Delays as they were, without a shape."""

    delay_ms: Floats
    """Ascending, distinct."""
    share: Floats
    """F at those delays; the last is 1."""

    def arrived(self, age_ms: ArrayLike) -> Floats:
        """A step function: 0 before the first delay."""
        at = np.searchsorted(self.delay_ms, np.asarray(age_ms, dtype=np.float64), side="right")
        return np.asarray(np.concatenate([[0.0], self.share])[at])

    def window(self, share: float) -> float:
        """The first delay at which `share` is reached."""
        return float(self.delay_ms[min(int(np.searchsorted(self.share, share - 1e-12)), len(self.share) - 1)])

    @staticmethod
    def fit(delay_ms: ArrayLike, age_ms: ArrayLike) -> "Empirical":
        """F from labels that came within their click's age; nan delays are left out.

        Raises:
            BadInput: no label has come yet.
        """
        delay, age = _checked(delay_ms, age_ms)
        delay, age = delay[~np.isnan(delay)], age[~np.isnan(delay)]
        at, ties = np.unique(delay, return_counts=True)
        # Of labels that could have been seen to take `at` and took no longer: the share that took exactly that.
        risk = np.searchsorted(np.sort(delay), at, side="right") - np.searchsorted(np.sort(age), at, side="left")
        longer = np.cumprod((1.0 - ties / risk)[::-1])[::-1]
        return Empirical(at, np.append(longer[1:], 1.0))


def waits(events: pl.DataFrame, kind: str, now: int) -> pl.DataFrame:
    """Every click received by `now` with its age, and what is known of its label at that instant.

    Args:
        events: schema `columns.EVENTS`; what was received after `now` is not looked at.
        kind: of the label, e.g. `events.REGRET`; it belongs to the click with its (request_id, video_id).
        now: milliseconds.

    Returns:
        request_id, video_id, viewer_id, age_ms, delay_ms (null: nothing has come), in the order of the log.
    """
    pair = [c.REQUEST_ID, c.VIDEO_ID]
    known = events.filter(
        (pl.col(c.RECEIVED_AT) <= now) & pl.col(c.REQUEST_ID).is_not_null() & pl.col(c.VIDEO_ID).is_not_null()
    )
    clicks = known.filter(pl.col(c.KIND) == ev.CLICK).unique(pair, keep="first", maintain_order=True)
    labels = known.filter(pl.col(c.KIND) == kind).group_by(pair).agg(pl.col(c.RECEIVED_AT).min().alias("label_at"))
    joined = clicks.join(labels, on=pair, how="left", maintain_order="left")
    # A late click may be received after its own label: that label took no time.
    delay = (pl.col("label_at") - pl.col(c.RECEIVED_AT)).clip(lower_bound=0).alias(DELAY_MS)
    return joined.select(*pair, c.VIEWER_ID, (now - pl.col(c.RECEIVED_AT)).alias(AGE_MS), delay)


def naive_rate(rate: float, arrived_N: Floats) -> float:
    """p · E[F(e)]: what counting every unlabelled click as negative learns."""
    return rate * float(np.mean(arrived_N))


def weighted_targets(observed_N: Flags, arrived_N: Floats, least: float = 0.1) -> tuple[Floats, Floats]:
    """Targets observed / F(e), and weights: 0 where F(e) < `least`, for such rows say little and shout."""
    usable = arrived_N >= least
    return np.asarray(np.where(usable, observed_N / np.maximum(arrived_N, least), 0.0)), usable.astype(np.float64)


def expected_targets(observed_N: Flags, arrived_N: Floats, rate_N: ArrayLike) -> Floats:
    """1 where observed, else the chance that the label is still to come."""
    rate = np.asarray(rate_N, dtype=np.float64)
    waiting = rate * (1.0 - arrived_N) / np.maximum(1.0 - rate * arrived_N, 1e-12)
    return np.asarray(np.where(observed_N, 1.0, waiting))


def fake_negative_weights(positive_N: Flags, rate_N: ArrayLike) -> Floats:
    """Weights of a stream in which every positive was a negative before; `rate_N` is the present belief p."""
    rate = np.asarray(rate_N, dtype=np.float64)
    return np.asarray(np.where(positive_N, 1.0 + rate, (1.0 - rate) * (1.0 + rate)))


def _checked(delay_ms: ArrayLike, age_ms: ArrayLike) -> tuple[Floats, Floats]:
    delay, age = np.asarray(delay_ms, dtype=np.float64), np.asarray(age_ms, dtype=np.float64)
    if np.isnan(delay).all():
        raise BadInput("no label has come yet; a delay cannot be learned from waiting alone")
    if (delay > age).any():
        raise BadInput("a label is later than now; delays must be at most the click's age")
    return delay, age
