"""Work that follows a page without delaying it, and what a challenger's unseen pages say.

`Shadow` puts a share of shown pages into a queue (`page_queue`), whose thread works on them (`counterfactual.Recorder`). When
that falls behind, or hangs, pages are dropped and counted. `compare` reads the records: overlap, rank-biased overlap,
scores, latency and failures (`experiments.shadow`), over all and per slice. Which pages are sampled follows from the request
id, so every server and a replay choose the same.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import rng
from core.policy import Request, Slate
from experiments import shadow
from experiments.shadow import Answers, Comparison
from serving.page_queue import Page, PageQueue

T = TypeVar("T", np.int64, np.float64)


def sampled(request_id: str, share: float) -> bool:
    """Whether a request belongs to the share that is recorded; every server and a replay say the same."""
    return share > 0 and bool(rng.uniforms(1, 0, "record", request_id)[0] < share)


class Shadow:
    """Start it, put pages, close it."""

    def __init__(self, work: Callable[[Request, Slate], None], share: Callable[[], float], *, capacity: int = 100) -> None:
        """Args:
        work: what is done with a page.
        share: of pages that are taken, asked at every page.
        capacity: pages that may wait.
        """
        self._work, self._share = work, share
        self._pages = PageQueue("shadow", self._one, capacity)
        self.done = 0
        """Pages worked on."""

    @property
    def dropped(self) -> int:
        """Pages not taken because the queue was full, or given up because the work failed."""
        return self._pages.dropped

    @property
    def queued(self) -> int:
        """Pages in the queue."""
        return len(self._pages)

    def start(self) -> None:
        """Start the thread."""
        self._pages.start()

    def put(self, requests: Sequence[Request], slates: Sequence[Slate]) -> None:
        """Hand over pages; never waits."""
        share = self._share()
        for request, slate in zip(requests, slates, strict=True):
            if sampled(request.request_id, share):
                self._pages.put((request, slate))

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything put so far was worked on or dropped; False when that took too long."""
        return self._pages.flush(timeout_s)

    def close(self, timeout_s: float = 2.0) -> bool:
        """End the thread after the page in hand; False when it hangs there. What waits is left."""
        return self._pages.close(timeout_s)

    def _one(self, pages: Sequence[Page]) -> None:
        for request, slate in pages:
            self._work(request, slate)
            self.done += 1


def compare(records: pl.DataFrame) -> dict[str, list[Comparison]]:
    """Challenger's release → all its requests, then every slice, of records as `counterfactual.read` gives them."""
    asked = records.drop_nulls("shadow_release_id")
    return {str(name): _compare(part) for (name,), part in asked.group_by("shadow_release_id", maintain_order=True)}


def _compare(records: pl.DataFrame) -> list[Comparison]:
    k = int(records["k"].cast(pl.Int64).max() or 1)  # type: ignore[arg-type]
    live, challenger = _answers(records, "", k), _answers(records, "shadow_", k)
    warmth = np.where(records["warm"].to_numpy(), "warm", "cold")
    slicings = {c.SURFACE: records[c.SURFACE].to_numpy(), "viewer": warmth, c.COUNTRY: records[c.COUNTRY].to_numpy()}
    found = shadow.compare(live, challenger)
    for what, values in slicings.items():
        named = np.array([f"{what} {value}" for value in values], dtype=np.str_)
        found += shadow.compare(live, challenger, named)[1:]
    return found


def _answers(records: pl.DataFrame, prefix: str, k: int) -> Answers:
    return Answers(
        video_BK=_padded(records[f"{prefix}shown"], np.full((len(records), k), -1, dtype=np.int64)),
        score_BK=_padded(records[f"{prefix}shown_utility"], np.full((len(records), k), np.nan)),
        ms_B=records[f"{prefix}ms"].cast(pl.Float64).to_numpy(),
        failed_B=records[f"{prefix}failed"].to_numpy().astype(bool),
    )


def _padded(lists: pl.Series, empty_BK: NDArray[T]) -> NDArray[T]:
    """The lists in place of what is empty."""
    for slots, values in zip(empty_BK, lists, strict=True):
        if values is not None:
            slots[: len(values)] = values.to_numpy()
    return empty_BK
