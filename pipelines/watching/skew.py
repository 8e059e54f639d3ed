"""Is what the service computes what training would have read? An audit of served features against the log.

    requests → store + consumer + video matrix (`serving`, as in service) → served values ─┐
    the same requests, point in time over snapshot and events (`features.offline`)  ───────┴→ equal bit for bit?

Requests come from the space's event log where the live release has answered enough of them since it was trained: its events
are replayed, each request is asked again at its instant, and the fingerprint that was logged with its page is recomputed.
Otherwise viewers are made up: they ask for pages, click on some, watch, like, and some of their events come late. A logged
page whose fingerprint differs, though neither its viewer nor its videos had an event within the stream's freshness budget,
counts as a mismatch; one that had is unsettled: the service may not have known that event yet.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from core import columns as c
from core import files, release, rng
from core.clock import SECOND_MS, stamp
from core.errors import BadInput
from core.settings import Settings
from data import tombstones, versioning
from data.catalogue import Catalogue
from data.dataset import Dataset
from features import audit, offline
from features.audit import Difference, FutureRows
from features.layered_store import LayeredStore
from features.tiles import KINDS
from monitoring.alerts import Alert
from monitoring.severity import Action, Severity
from pipelines.ingest import live_events
from pipelines.progress import Stages
from pipelines.spaces import Space
from pipelines.watching.monitor import tell_space
from pipelines.watching.served import Page, Served, frame, logged_pages, made_up, replay, store_for
from serving.live import LiveRelease, go_live
from serving.releases import load_release

PAGES, FEWEST_PAGES = 300, 50
"""Pages that are audited, and how many of them the log must have: about 380 values each."""
_AFTER_MS = SECOND_MS
"""A request's features are read up to this long after its instant."""


@dataclass(frozen=True)
class Fingerprints:
    """Of the pages as they were served, against the log."""

    equal: int
    unsettled: int
    different: int


@dataclass(frozen=True)
class Comparison:
    """What was served, against the log."""

    checked: int
    """Served values compared."""
    differences: Sequence[Difference]
    fingerprints: Fingerprints
    future: FutureRows

    @property
    def mismatches(self) -> int:
        """Served values, and fingerprints of pages, that the log contradicts."""
        return sum(one.count for one in self.differences) + self.fingerprints.different


@dataclass(frozen=True)
class SkewReport:
    """What `upnext features skew` says."""

    space: str
    release_id: str
    traffic: str
    """`recorded` or `made up`."""
    store: str
    pages: int
    at: int
    """Instant of the last request."""
    found: Comparison

    @property
    def alert(self) -> Alert | None:
        """What people are told; None when nothing is wrong."""
        found, future = self.found, self.found.future
        if not found.mismatches and not future.rows:
            return None
        names = [one.feature for one in found.differences] or list(future.features) or ["all"]
        because = f"{found.mismatches:,} of {found.checked:,} served values differ from the log"
        if future.rows:
            because = f"{future.rows:,} of {future.joins:,} rows of training know their future"
        return Alert(
            at=self.at, severity=str(Severity.MODERATE), cause="feature_skew", step="features", feature=", ".join(names[:5]),
            segment="all", action=str(Action.REPORT), since_at=self.at, because=because,
            evidence=tuple(asdict(one) for one in found.differences[:10]),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        alert, found = self.alert, self.found
        return {
            "space": self.space, "release_id": self.release_id, "traffic": self.traffic, "store": self.store,
            "pages": self.pages, "checked": found.checked, "mismatches": found.mismatches,
            "differences": [asdict(one) for one in found.differences], "fingerprints": asdict(found.fingerprints),
            "joins": found.future.joins, "future_rows": found.future.rows, "future_features": list(found.future.features),
            "alert": alert and alert.to_json(),
        }  # fmt: skip


def audit_space(space: Space, settings: Settings, stages: Stages, *, seed: int = 0, pages: int = PAGES) -> SkewReport:
    """Audit the live release of a space.

    Raises:
        BadInput: nothing is live, or viewers were forgotten since it was trained.
    """
    with stages("release") as stage:
        release_id = release.resolve(space.releases, "live")
        if release_id is None:
            raise BadInput(f"nothing is live in '{space.name}'; run `upnext train` first")
        loaded = load_release(space.releases, release_id)
        dataset, recorded = _open(space, release.load(space.releases, release_id).manifest.snapshot, loaded.log_offset)
        stage.note = f"{release_id}, {len(recorded):,} events since"
    with store_for(settings) as since, TemporaryDirectory() as folder, stages("served") as stage:
        live = go_live(loaded, LayeredStore(loaded.viewer_states(), since), fill_store=False)
        random = rng.stream(seed, "skew")
        asked = logged_pages(recorded, live, random, pages)
        if len(asked) >= min(FEWEST_PAGES, pages):
            served = replay(live, Path(folder), recorded, asked, random)
        else:
            served = made_up(live, Path(folder), pages, random)
        stage.note = f"{len(served.pages)} pages, {served.traffic}, {type(since).__name__}"
    return SkewReport(
        space=space.name,
        release_id=release_id,
        traffic=served.traffic,
        store=type(since).__name__,
        pages=len(served.pages),
        at=served.pages[-1].at,
        found=compare(live, dataset.events, served, stages, random),
    )


def compare(live: LiveRelease, before: pl.DataFrame, served: Served, stages: Stages, random: np.random.Generator) -> Comparison:
    """What was served against the log: `before`, and what happened meanwhile."""
    loaded, events = live.loaded, pl.concat([before, served.events], how="vertical_relaxed")
    viewer_ids, at = (np.array([getattr(page, name) for page in served.pages]) for name in ("viewer_id", "at"))
    with stages("offline") as stage:
        built = offline.build(
            events, loaded.catalogue, loaded.viewers, viewer_ids=viewer_ids, at=at, video_rows=served.video_RK, with_seen=True,
            definitions=loaded.definitions,
        )  # fmt: skip
        schema, known = built.schema, built.batch(np.arange(len(at)))
        values = audit.values(schema, served.features)
        checked = sum(value.size for value in values.values())
        video_ids = loaded.catalogue.video_ids[served.video_RK]
        found = audit.differences(values, audit.values(schema, known), viewer_ids, at, video_ids)
        stage.note = f"{checked:,} values, {sum(one.count for one in found):,} differ"
    with stages("pages") as stage:
        fingerprints = _fingerprints(built, served, loaded.catalogue)
        stage.note = f"{fingerprints.equal} equal, {fingerprints.unsettled} unsettled, {fingerprints.different} different"
    with stages("future") as stage:
        future = audit.future_rows(events, loaded.catalogue, loaded.viewers, loaded.definitions, random)
        stage.note = f"{future.rows} of {future.joins:,} joins"
    return Comparison(checked, found, fingerprints, future)


def _fingerprints(built: offline.OfflineFeatures, served: Served, catalogue: Catalogue) -> Fingerprints:
    """Recompute what was logged with each page."""
    equal = unsettled = different = 0
    for place, page in enumerate(served.pages):
        rows = catalogue.rows(page.video_ids)
        if page.feature_hash is None or not len(rows) or (rows < 0).any():
            continue
        if built.against(np.array([place]), rows[None]).fingerprint(0) == page.feature_hash:
            equal += 1
        elif _something_new(served, page):
            unsettled += 1
        else:
            different += 1
    return Fingerprints(equal, unsettled, different)


def _something_new(served: Served, page: Page) -> bool:
    """Whether the viewer or the videos had an event that the service need not have known, or may have known already."""
    received_at = served.events[c.RECEIVED_AT]
    begin, end = (
        int(received_at.search_sorted(page.at + ms, side="left")) for ms in (-served.lag_ms, served.lag_ms and _AFTER_MS)
    )
    near = served.events[begin:end].filter(pl.col(c.KIND).is_in(KINDS))
    concerned = (pl.col(c.VIEWER_ID) == page.viewer_id) | pl.col(c.VIDEO_ID).is_in(page.video_ids)
    return not near.filter(concerned).is_empty()


def tell(space: Space, report: SkewReport, now: int) -> list[str]:
    """Leave the report, made at the instant `now`, where the features page finds it, and send its alarm, if there is one, to
    the log and the space's file of alarms; what was done, in words."""
    files.write_json(space.path / audit.FILE, {**report.to_json(), "audited_at": now})
    if report.alert is None:
        return []
    wrote, *failed = tell_space(space, report.alert)
    return [f"{stamp(report.at)}: {wrote}", *failed]


def _open(space: Space, snapshot_id: str, log_offset: int) -> tuple[Dataset, pl.DataFrame]:
    """What the release was trained on, and every event logged since."""
    forgotten = versioning.forgotten(versioning.describe(space.snapshots, snapshot_id), tombstones.read(space.path))
    if forgotten:
        raise BadInput(
            f"{forgotten} viewers asked to be forgotten since '{space.name}' was trained: the log no longer says what was "
            "served; run `upnext train`, then audit the new release"
        )
    parts, _ = live_events(space, log_offset)
    events = pl.concat([frame(c.EVENTS.empty_table()), *parts]).sort(c.RECEIVED_AT, c.EVENT_ID)
    return versioning.open_snapshot(space.snapshots, snapshot_id), events
