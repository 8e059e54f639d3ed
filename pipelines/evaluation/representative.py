"""Is the test like what came before it? Viewers' activity, the popularity of what they watch, categories, and newcomers.

For a log with times, the test window against the window of the same length right before it: equal lengths, so that neither has
more time to be active in. For two files, the held-out rows against the training rows. Distributions are compared by two-sample
Kolmogorov-Smirnov (D) or, for groups, by Cramér's V with the bias correction of Bergsma (2013). With enough rows everything
differs, and with few nothing does; so the verdict asks for both, a p value below .01 and an effect worth naming, and says
when the rows are too few to see a large one. Rows of one viewer resemble each other, which makes p too small: one more reason
to look at the effect.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from data.interactions import Interactions

ALPHA = 0.01
NEGLIGIBLE, LARGE = 0.1, 0.3
"""Edges of the verdict, for both effect sizes (Cohen 1988, for V with one degree of freedom)."""
_WORDS = ("no difference seen", "a real but negligible difference", "somewhat different", "very different")
_TOO_FEW = "too few rows to tell"


@dataclass(frozen=True)
class Shift:
    """One property, before the test and in it."""

    what: str
    measure: str
    """KS D or Cramér's V; both 0 for equal, 1 for disjoint."""
    effect: float
    critical: float
    """Effect that chance alone exceeds once in 1 / ALPHA, had the rows been independent."""
    p: float
    before: float
    """Median, or for groups the share of the most frequent one (newcomers: of newcomers)."""
    test: float
    rows: tuple[int, int]

    @property
    def severity(self) -> int:
        """0 to 3, index into the words of the verdict."""
        if self.p >= ALPHA:
            return 0
        return 1 + int(self.effect >= NEGLIGIBLE) + int(self.effect >= LARGE)

    @property
    def verdict(self) -> str:
        """In words."""
        return _WORDS[self.severity] if self.severity or self.critical < LARGE else _TOO_FEW


@dataclass(frozen=True)
class Sample:
    """One side of the comparison: n rows by some viewers."""

    activity: NDArray[np.int64]
    """[viewers] rows of each."""
    popularity: NDArray[np.float64]
    """[n] of the video of each row, on one scale for both sides."""
    category: NDArray[np.int32] | None = None
    """[n] codes."""
    newcomer: NDArray[np.bool_] | None = None
    """[n] whether the viewer had not been there before."""


def to_json(shifts: Sequence[Shift]) -> dict[str, Any]:
    """The worst verdict and every check."""
    worst = max((shift.severity for shift in shifts), default=0)
    return {
        "verdict": _WORDS[worst] if shifts else "not known",
        "checks": [{**asdict(s), "verdict": s.verdict} for s in shifts],
    }


def before_and_after(clicks: Interactions, split_at: int, category_V: NDArray[np.int32] | None = None) -> tuple[Shift, ...]:
    """The window after `split_at` against the one before it, at most half of the log before `split_at` long."""
    first, end = int(clicks.at.min(initial=split_at)), int(clicks.at.max(initial=split_at)) + 1
    length = min(end - split_at, (split_at - first) // 2)
    if length <= 0:
        return ()
    windows = ((split_at - length, split_at), (split_at, split_at + length))
    return compare(*(_window(clicks, begin, stop, category_V) for begin, stop in windows))


def files(train: Interactions, viewer_ids: NDArray[np.int64], video_rows: NDArray[np.int32]) -> tuple[Shift, ...]:
    """Held-out rows (video row −1: not in training) against the training rows.

    Popularity is how often others watched the video, in powers of two: a row of training does not count itself, and finer steps
    would show nothing but that.
    """
    counts, clicks = train.counts(), np.diff(train.offsets)
    asked = np.isin(train.viewer_ids, viewer_ids)
    others = counts[train.video_rows] - 1
    held_out = np.where(video_rows >= 0, counts[video_rows], 0)
    before = Sample(clicks[clicks > 0], np.floor(np.log2(1 + others)))
    return compare(before, Sample(clicks[asked & (clicks > 0)], np.floor(np.log2(1 + held_out))))


def compare(before: Sample, test: Sample) -> tuple[Shift, ...]:
    """Every property that both sides have; none where a side is empty."""
    if not len(before.popularity) or not len(test.popularity) or not len(before.activity) or not len(test.activity):
        return ()
    shifts = [
        _numbers("viewers' activity", before.activity.astype(np.float64), test.activity.astype(np.float64)),
        _numbers("popularity of videos", before.popularity, test.popularity),
    ]
    if before.category is not None and test.category is not None:
        shifts.append(_groups("categories", before.category, test.category))
    if before.newcomer is not None and test.newcomer is not None:
        shifts.append(_groups("new viewers", before.newcomer.astype(np.int32), test.newcomer.astype(np.int32), named=1))
    return tuple(shifts)


def _window(clicks: Interactions, begin: int, end: int, category_V: NDArray[np.int32] | None) -> Sample:
    inside, earlier = (clicks.at >= begin) & (clicks.at < end), clicks.at < begin
    counts = np.bincount(clicks.video_rows[earlier], minlength=clicks.num_videos)
    rows, viewers = clicks.video_rows[inside], clicks.viewer_rows[inside]
    known = np.bincount(clicks.viewer_rows[earlier], minlength=len(clicks.viewer_ids)) > 0
    activity = np.bincount(viewers, minlength=len(clicks.viewer_ids))
    return Sample(
        activity=activity[activity > 0],
        popularity=counts[rows] / max(int(earlier.sum()), 1),  # a share: one window has more before it than the other
        category=None if category_V is None else category_V[rows],
        newcomer=~known[viewers],
    )


def _numbers(what: str, before: NDArray[np.float64], test: NDArray[np.float64]) -> Shift:
    n, m = len(before), len(test)
    found = stats.ks_2samp(before, test, method="asymp")
    critical = float(np.sqrt(-np.log(ALPHA / 2) / 2 * (n + m) / (n * m)))
    medians = (float(np.median(before)), float(np.median(test)))
    return Shift(what, "KS D", float(found.statistic), critical, float(found.pvalue), *medians, (n, m))


def _groups(what: str, before: NDArray[np.int32], test: NDArray[np.int32], named: int | None = None) -> Shift:
    codes, both = np.unique(np.concatenate([before, test]), return_inverse=True)
    side = np.repeat([0, 1], [len(before), len(test)])
    table = np.bincount(side * len(codes) + both, minlength=2 * len(codes)).reshape(2, -1)
    shares = table / table.sum(axis=1, keepdims=True)
    shown = shares.sum(axis=0).argmax() if named is None else np.flatnonzero(codes == named)
    typical = float(shares[0, shown].sum()), float(shares[1, shown].sum())
    n, freedom = int(table.sum()), len(codes) - 1
    if not freedom:
        return Shift(what, "Cramér's V", 0.0, 0.0, 1.0, *typical, (len(before), len(test)))
    chi2 = float(stats.chi2_contingency(table, correction=False).statistic)
    critical = cramers_v(float(stats.chi2.isf(ALPHA, freedom)), n, len(codes))
    p = float(stats.chi2.sf(chi2, freedom))
    return Shift(what, "Cramér's V", cramers_v(chi2, n, len(codes)), critical, p, *typical, (len(before), len(test)))


def cramers_v(chi2: float, n: int, columns: int) -> float:
    """Bias-corrected V of a 2 × `columns` table of n rows: √(max(0, χ²/n − (columns − 1)/(n − 1)) / (1 − 1/(n − 1)))."""
    smallest = min(1 - 1 / (n - 1), columns - 1 - (columns - 1) ** 2 / (n - 1))
    return float(np.sqrt(max(0.0, chi2 / n - (columns - 1) / (n - 1)) / smallest)) if smallest > 0 else 0.0
