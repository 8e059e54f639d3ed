"""Home pages made ahead of time for everybody, and when one of them may be shown.

`Shelf` is a folder of a space: per release one mapped file with a record per viewer (videos, propensities, sources, scores,
and, where asked for, the videos nearest to the viewer), and a small file that names it and says how far into the event log its
pages reach. Mapped, because every worker then shares one copy and finding a page takes microseconds and no network. Ids, not
rows: each process numbers uploads in the order in which it hears of them.

A page that was made ahead is shown when nothing could have changed it but time: same release and serving config, no experiment
that treats viewers differently, nothing done by the viewer since (clicks, watches, likes, …; being shown a page is not doing),
nothing on it removed, and younger than a limit. Everyone else's page is computed. Chance was drawn when the page was
made: propensities are those of that draw, and whoever looks twice before doing anything sees the same page twice.

A computed page knows the nearest videos that were found ahead of time (`serving.nearest`): it falls back on them, or is spared
the search. What the viewer did since counts in every other source, in filters, features and the ranker.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core import columns as c
from core import config as configs
from core import events as ev
from core import files
from core.clock import SECOND_MS, Clock
from core.errors import ConfigError
from core.policy import HOME, Request, Slate
from data.catalogue import Catalogue

FOLDER = "pages"
"""Of a space."""
NOT_DONE = (ev.IMPRESSION, ev.UPLOAD, ev.REMOVE, ev.LABEL, *ev.OF_PAGES)
"""Kinds of events by which their viewer has done nothing."""
_LOOK_S = 1.0


@dataclass(frozen=True)
class MadeFor:
    """What pages are valid under."""

    release_id: str
    config: str
    """Fingerprint of the serving config."""


@dataclass(frozen=True)
class Facts(MadeFor):
    """What a file of pages is."""

    arm: str
    k: int
    """Most videos of a page."""
    nearest: int
    """Most videos near to a viewer; 0 where none are kept."""
    heads: tuple[str, ...]
    """Of scores."""
    sources: tuple[str, ...]
    """Names behind the codes."""
    made_at: int
    """By the machine's clock, ms."""
    log_offset: int
    """The pages know of every event up to here."""
    file: str = ""
    """With the records."""


def record(k: int, num_heads: int, num_nearest: int) -> np.dtype:
    """What is kept of one viewer; ids of −1 are empty slots."""
    return np.dtype(
        [
            ("viewer_id", "<i8"),
            ("video_ids", "<i8", (k,)),
            ("propensities", "<f8", (k,)),
            ("exploration", "?", (k,)),
            ("sources", "i1", (k,)),
            ("scores", "<f4", (num_heads, k)),
            ("nearest", "<i8", (num_nearest,)),
        ]
    )


def fill(page: np.void, slate: Slate, facts: Facts) -> None:
    """Write a slate into a record that has room for it. A degraded one leaves it empty: a later try may do better."""
    page["video_ids"] = -1
    if slate.degraded:
        return
    n = len(slate.video_ids)
    page["video_ids"][:n] = slate.video_ids
    page["propensities"][:n], page["exploration"][:n] = slate.propensities, slate.exploration
    page["sources"][:n] = [facts.sources.index(name) for name in slate.sources]
    for place, head in enumerate(facts.heads):
        page["scores"][place, :n] = slate.scores[head]


@dataclass(frozen=True)
class Pages:
    """The mapped pages of one release."""

    facts: Facts
    records: NDArray[np.void]
    """Sorted by viewer id."""

    @cached_property
    def _viewer_ids(self) -> NDArray[np.int64]:
        """Side by side: a search among the records would gather all of them first."""
        return np.ascontiguousarray(self.records["viewer_id"])

    def of(self, viewer_id: int) -> np.void | None:
        """What is kept of a viewer, if anything."""
        place = int(np.searchsorted(self._viewer_ids, viewer_id))
        if place == len(self.records):
            return None
        found = self.records[place]  # as it is now: its viewer may have been forgotten since
        return found if found["viewer_id"] == viewer_id else None

    def slate(self, page: np.void, request: Request) -> Slate:
        """A record as the answer to a request for at most `facts.k` videos."""
        n = min(request.k, int((page["video_ids"] >= 0).sum()))
        return Slate(
            request_id=request.request_id,
            video_ids=page["video_ids"][:n].copy(),
            propensities=page["propensities"][:n].copy(),
            exploration=page["exploration"][:n].copy(),
            sources=tuple(self.facts.sources[code] for code in page["sources"][:n].tolist()),
            scores={head: page["scores"][place, :n].copy() for place, head in enumerate(self.facts.heads)},
            release_id=self.facts.release_id,
            arm=self.facts.arm,
        )


class Shelf:
    """The folder of pages of a space. Safe for many processes; one writes at a time."""

    def __init__(self, space: Path) -> None:
        self._folder = space / FOLDER

    def put(self, facts: Facts, records: NDArray[np.void]) -> Pages:
        """Replace the release's pages; readers see the old ones or the new ones."""
        self._folder.mkdir(parents=True, exist_ok=True)
        named = replace(facts, file=f"{facts.release_id}-{facts.made_at}.npy")
        np.save(self._folder / named.file, records[np.argsort(records["viewer_id"], kind="stable")], allow_pickle=False)
        files.replace_text(self._facts(facts.release_id), json.dumps(asdict(named)))
        for old in self._folder.glob(f"{facts.release_id}-*.npy"):
            if old.name != named.file:
                old.unlink(missing_ok=True)  # who has it mapped keeps it until they look again
        return Pages(named, np.load(self._folder / named.file, mmap_mode="r"))

    def get(self, release_id: str) -> Pages | None:
        """The release's pages, if there are any that can be read."""
        try:
            facts = configs.from_dict(Facts, json.loads(self._facts(release_id).read_text()))
            return Pages(facts, np.load(self._folder / facts.file, mmap_mode="r", allow_pickle=False))
        except FileNotFoundError:  # none yet, or replaced at this moment
            return None
        except (OSError, ValueError, ConfigError) as error:
            logging.getLogger("upnext.serving").warning("pages made ahead cannot be read, so all are computed: %s", error)
            return None

    def stamp(self, release_id: str) -> int:
        """Changes when the release's pages are replaced."""
        try:
            return self._facts(release_id).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def held(self, viewer_id: int) -> dict[str, dict[str, list[int]]]:
        """What is kept of a viewer, by release: ids of the page and of the nearest videos."""
        shelved = {path.stem: self.get(path.stem) for path in sorted(self._folder.glob("*.json"))}
        found = {release_id: pages.of(viewer_id) for release_id, pages in shelved.items() if pages is not None}
        lists = ("video_ids", "nearest")
        return {
            release_id: {name: kept[name][kept[name] >= 0].tolist() for name in lists}
            for release_id, kept in found.items()
            if kept is not None
        }

    def forget(self, viewer_id: int) -> bool:
        """Overwrite a viewer's pages, of every release, by copies of a neighbour's; whether there were any."""
        found = False
        for path in list(self._folder.glob("*.npy")):
            records = np.load(path, mmap_mode="r+", allow_pickle=False)
            begin, end = (int(np.searchsorted(records["viewer_id"], viewer_id, side)) for side in ("left", "right"))
            if begin == end:
                continue
            found = True
            if end - begin == len(records):
                path.unlink()
                continue
            records[begin:end] = records[begin - 1 if begin else end]
            records.flush()
        return found

    def _facts(self, release_id: str) -> Path:
        return self._folder / f"{release_id}.json"


class Doings:
    """How far into the log each viewer has done something. Feeds on a Consumer, whose `Offset` it also is.

    What was done counts from the moment its batch is saved, which is before anybody who waits for the consumer goes on.
    """

    def __init__(self, start: int) -> None:
        """`start`: nothing is known of what was done up to here."""
        self._start = self._reached = start
        self._pending: list[int] = []
        self._last: dict[int, int] = {}

    def apply(self, events: pa.Table) -> None:
        """Take in events, in log order."""
        done = events.filter(pc.invert(pc.is_in(events[c.KIND], value_set=pa.array(NOT_DONE))))
        self._pending = done[c.VIEWER_ID].to_pylist()

    def load(self) -> int:
        """See Offset."""
        return self._reached

    def save(self, offset: int) -> None:
        """See Offset. The events of the last `apply` came at most this far."""
        self._last.update(dict.fromkeys(self._pending, offset))
        self._reached, self._pending = offset, []

    def idle_since(self, viewer_id: int, offset: int) -> bool:
        """Whether the viewer is known to have done nothing after `offset`."""
        return self._start <= offset and self._last.get(viewer_id, 0) <= offset


class Front:
    """The pages that may be shown now. Safe for many threads."""

    def __init__(self, shelf: Shelf, doings: Doings, clock: Clock, max_age_s: float, *, spare_search: bool = False) -> None:
        """Args:
        shelf: where pages are.
        doings: what viewers have done.
        clock: the one that pages are dated by.
        max_age_s: older pages are not shown.
        spare_search: whether computed pages take the nearest videos as they were found, or only where a search fails.
        """
        self.doings, self.spare_search = doings, spare_search
        self._shelf, self._clock, self._max_age_ms = shelf, clock, max_age_s * SECOND_MS
        self._looked_s, self._seen = float("-inf"), ("", 0)
        self._pages: Pages | None = None

    def pages(self, wanted: MadeFor) -> Pages | None:
        """The latest pages, unless they are too old."""
        release_id = wanted.release_id
        if release_id != self._seen[0] or time.monotonic() - self._looked_s >= _LOOK_S:
            self._looked_s, seen = time.monotonic(), (release_id, self._shelf.stamp(release_id))
            if seen != self._seen:
                self._pages, self._seen = self._shelf.get(release_id), seen
        found = self._pages
        if found is None or (found.facts.release_id, found.facts.config) != (release_id, wanted.config):
            return None
        return found if self._clock.now() - found.facts.made_at <= self._max_age_ms else None


class Ahead:
    """What was made ahead of time for one release, as far as it may be used. Safe for many threads."""

    def __init__(
        self,
        made_for: MadeFor,
        catalogue: Catalogue,
        visible: Callable[[NDArray[np.int32]], NDArray[np.int32]],
        front: Front,
    ) -> None:
        """Args:
        made_for: what pages are computed by.
        catalogue: of the release.
        visible: those of some rows that were not taken down.
        front: what may be shown.
        """
        self._made_for, self._catalogue, self._visible, self._front = made_for, catalogue, visible, front

    def page(self, request: Request) -> Slate | None:
        """The page that was made for a request, if it may be shown; takes a twentieth of a millisecond."""
        began = time.perf_counter()
        pages = self._front.pages(self._made_for)
        if pages is None or not self._may(request, pages.facts):
            return None
        page = pages.of(request.viewer_id)
        if page is None or page["video_ids"][0] < 0:
            return None
        slate = pages.slate(page, request)
        if len(self._visible(self._catalogue.rows(slate.video_ids))) < len(slate.video_ids):
            return None
        return replace(slate, stage_ms={"precomputed": (time.perf_counter() - began) * 1e3})

    def knowing(self, requests: Sequence[Request]) -> list[Request]:
        """The same requests, with the videos nearest to their viewers where those were found and may be used."""
        pages = self._front.pages(self._made_for)
        if pages is None or not pages.facts.nearest:
            return list(requests)
        return [self._knowing(request, pages) if _usual(request) else request for request in requests]

    def _knowing(self, request: Request, pages: Pages) -> Request:
        found = pages.of(request.viewer_id)
        if found is None:
            return request
        nearest = found["nearest"]
        return replace(request, nearest=nearest[nearest >= 0], search=not self._front.spare_search)

    def _may(self, request: Request, facts: Facts) -> bool:
        fits = _usual(request) and 0 < request.k <= facts.k
        return fits and self._front.doings.idle_since(request.viewer_id, facts.log_offset)


def _usual(request: Request) -> bool:
    return request.surface == HOME and not (request.kids or request.topics)


def room(viewer_ids: NDArray[np.int64], k: int, num_heads: int, num_nearest: int = 0) -> NDArray[np.void]:
    """Empty records for these viewers."""
    records = np.zeros(len(viewer_ids), dtype=record(k, num_heads, num_nearest))
    records["viewer_id"], records["video_ids"], records["nearest"] = viewer_ids, -1, -1
    return records
