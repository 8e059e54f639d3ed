"""What an order is worth on pages that chance filled: the one part of a log that no policy has chosen.

Every other click is of a video that somebody decided to show, so whoever guesses what was shown finds clicks without knowing
viewers. On a page of chance every slot was equally likely to be any video. An order picks the one of its videos that it puts
first, and what came of that impression counts, in satisfied seconds: watched, neither regretted nor disliked (the replay of
Li et al., WSDM 2011, with a page as the pool). The mean over pages is unbiased for "the best of ten random videos", up to one
factor for all orders: how often a random slot is looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import events as ev
from core import inference, rng
from data.catalogue import Catalogue
from data.dataset import Dataset
from data.labels import definitions as labels
from features import offline
from ranking.combine import combine
from ranking.config import NEXT_CLICK, CombineConfig
from serving.releases import LoadedRelease

Floats = NDArray[np.float64]
MIN_PAGES = 200
"""Pages below which nothing is said."""
SERVED, NEXT, CHANCE = "as_served", "two_stage", "chance"
_EVEN = 0.5
"""1 / propensity falls by one from slot to slot, up to less than this, where slots are drawn evenly from what is left."""


@dataclass(frozen=True)
class ChancePages:
    """R impressions of P pages that chance filled."""

    shown: pl.DataFrame
    """See `labels.impression_outcomes`; page by page."""
    page_R: NDArray[np.int64]
    """Page of each, from 0."""
    satisfied_R: Floats
    """Seconds watched; 0 where they were regretted or disliked, or never told."""

    @staticmethod
    def of(dataset: Dataset, catalogues: Sequence[Catalogue], since: int) -> "ChancePages":
        """The pages from `since` (ms) on whose slots were drawn evenly, as their propensities say.

        Slots with a video that one of the catalogues lacks are left out, so that all can be asked about the rest.
        """
        even = pl.col(c.PROPENSITY).pow(-1) + pl.col(c.POSITION)
        shown = dataset.events.filter((pl.col(c.KIND) == ev.IMPRESSION) & (pl.col(c.RECEIVED_AT) >= since))
        drawn = shown.group_by(c.REQUEST_ID).agg(
            pl.col(c.EXPLORATION).fill_null(False).all().alias("all"), (even.max() - even.min()).alias("spread")
        )
        pages = drawn.filter(pl.col("all") & (pl.col("spread") < _EVEN)).select(c.REQUEST_ID)
        found = labels.impression_outcomes(dataset.events.join(pages, on=c.REQUEST_ID, how="semi", maintain_order="left"))
        known = np.all([catalogue.rows(found[c.VIDEO_ID].to_numpy()) >= 0 for catalogue in catalogues], axis=0)
        found = found.filter(pl.Series(known, dtype=pl.Boolean)).sort(c.REQUEST_ID, c.POSITION)
        page = found[c.REQUEST_ID].rle_id().to_numpy().astype(np.int64)
        spoilt = pl.col(labels.REGRETTED).fill_null(False) | pl.col(labels.DISLIKED).fill_null(False)
        satisfied = pl.when(spoilt).then(0.0).otherwise(pl.col(labels.WATCH_S).fill_null(0.0))
        return ChancePages(found, page, found.select(satisfied.cast(pl.Float64)).to_series().to_numpy())

    @property
    def num(self) -> int:
        """How many pages."""
        return int(self.page_R[-1]) + 1 if len(self.page_R) else 0

    @property
    def first_P(self) -> NDArray[np.int64]:
        """[P] the first impression of each page."""
        return np.searchsorted(self.page_R, np.arange(self.num))

    @property
    def viewer_P(self) -> NDArray[np.int64]:
        """[P] who looked."""
        return self.shown[c.VIEWER_ID].to_numpy()[self.first_P]

    def chosen(self, score_R: NDArray[Any]) -> Floats:
        """[P] satisfied seconds of the impression with the highest score of each page; the first of equals."""
        order = np.lexsort((-np.asarray(score_R, dtype=np.float64), self.page_R))
        return self.satisfied_R[order[self.first_P]]

    def mean(self) -> Floats:
        """[P] what an order that knows nothing gets on each page, on average."""
        return np.bincount(self.page_R, self.satisfied_R) / np.bincount(self.page_R)


def orders(loaded: LoadedRelease) -> dict[str, CombineConfig]:
    """Row of the leaderboard → the formula that both stages order by; one row where the log cannot teach two."""
    formula = loaded.scorer.combine
    if {"click", "relevance"} <= set(loaded.scorer.heads):
        return {NEXT: NEXT_CLICK, SERVED: formula}
    return {NEXT: formula}


def scored(loaded: LoadedRelease, dataset: Dataset, shown: pl.DataFrame) -> dict[str, NDArray[np.float32]]:
    """What the ranker and the towers ("affinity") say of R impressions, from features of the moment before. [R] each."""
    rows = loaded.catalogue.rows(shown[c.VIDEO_ID].to_numpy())
    built = offline.build(
        dataset.events, loaded.catalogue, loaded.viewers,
        viewer_ids=shown[c.VIEWER_ID].to_numpy(), at=shown[labels.AT].to_numpy(), video_rows=rows,
        definitions=loaded.definitions,
    )  # fmt: skip
    batch = built.batch(np.arange(len(rows)))
    affinity = np.einsum("bd,bd->b", loaded.encoder.encode(batch.viewer), loaded.video_VD[rows]).astype(np.float32)
    said = loaded.scorer.score(batch, affinity[:, None])
    return {name: values[:, 0] for name, values in said.items()} | {"affinity": affinity}


def served(loaded: LoadedRelease, dataset: Dataset, pages: ChancePages) -> Floats:
    """[P] satisfied seconds of what this release would have put first."""
    return pages.chosen(combine(scored(loaded, dataset, pages.shown), loaded.scorer.combine))


@dataclass(frozen=True)
class Replay:
    """Orders on the same pages of chance."""

    viewer_P: NDArray[np.int64]
    worth: Mapping[str, Floats]
    """Order → [P] satisfied seconds of its choice."""
    seed: int = 0

    @cached_property
    def summary(self) -> dict[str, Any] | None:
        """Means with intervals over viewers, and what serves against the order of the next click; None with few pages."""
        if len(self.viewer_P) < MIN_PAGES:
            return None
        intervals = {name: inference.cluster_interval(values, self.viewer_P) for name, values in self.worth.items()}
        orders = [{"order": name, "satisfied_s": i.mean, "low": i.low, "high": i.high} for name, i in intervals.items()]
        random = rng.stream(self.seed, "pages of chance")
        gain = inference.paired_bootstrap(self.worth[SERVED], self.worth[NEXT], self.viewer_P, random).to_json()
        return {"pages": len(self.viewer_P), "orders": orders, "served_over_next_click": gain}

    def to_text(self) -> str:
        """One sentence; empty with few pages."""
        found = self.summary
        if found is None:
            return ""
        orders = ", ".join(f"{each['order']} {each['satisfied_s']:.1f}" for each in found["orders"])
        gain = found["served_over_next_click"]
        told = f"{SERVED} − {NEXT} {gain['mean']:+.1f} [{gain['low']:+.1f}, {gain['high']:+.1f}]"
        return f"satisfied seconds of the first choice on {found['pages']:,} pages that chance filled: {orders}; {told}"


def replay(loaded: LoadedRelease, dataset: Dataset, since: int, counts_V: NDArray[np.int64], seed: int) -> Replay | None:
    """The release's orders, that of its towers, popularity and none on the pages of chance from `since` (ms) on.

    None where the log does not say what was shown or how long it was watched.
    counts_V: how often each video was watched before.
    """
    formulas = orders(loaded)
    if SERVED not in formulas:
        return None
    pages = ChancePages.of(dataset, [loaded.catalogue], since)
    if not pages.satisfied_R.any():
        return None
    scores = scored(loaded, dataset, pages.shown)
    worth = {
        CHANCE: pages.mean(),
        "popularity": pages.chosen(counts_V[loaded.catalogue.rows(pages.shown[c.VIDEO_ID].to_numpy())]),
        "two_tower": pages.chosen(scores["affinity"]),
        **{name: pages.chosen(combine(scores, formula)) for name, formula in formulas.items()},
    }
    return Replay(pages.viewer_P, worth, seed)
