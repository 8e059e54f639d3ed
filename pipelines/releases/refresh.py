"""A fresher release without training: what the live one is made of, brought up to the end of the log.

    uploads         rows in every table: vectors by the release's own video tower, nothing of their own in the ranker
    removals        rows gone from every table, and their ids remembered
    statistics      counters, viewers' states, videos watched together, titles: made anew from the whole log
    vectors         all of them as of now (age is an input of the tower), and one index over them

What waits for the next training, because a release holds no weights that could be trained on: vectors of ids (a new video lives
on its content and attributes, as in `serving.fresh_videos`), new categories, channels and languages (they count as unknown),
attributes of new viewers, the layers of towers and ranker, and their calibration.

The result must agree with the release that it comes from (`serving.verification`), and to serve it must pass gates of its own
(`pipelines.gates.refreshed`). Its quality cannot be measured offline: every click in the log has gone into its statistics, so
its split has no test period.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from core import columns as c
from core import events as ev
from core import release
from core.errors import BadInput
from data import dataset as datasets
from data import tombstones, versioning
from data.catalogue import Catalogue
from data.dataset import Dataset
from data.lineage import Origin
from data.splits import TimeSplit
from features.memory_store import MemoryStore
from pipelines import presets, promote, provenance
from pipelines.ingest import live_events
from pipelines.progress import Stages
from pipelines.releases import files as release_files
from pipelines.releases import history, publish
from pipelines.releases.files import Staged
from pipelines.releases.history import Signed
from pipelines.spaces import Space
from ranking.scorer import own_vectors, write_videos
from retrieval.encoder import FACTS, TABLES, VECTORS, VideoEncoder, raw_vectors
from serving import verification
from serving.fresh_videos import uploaded
from serving.live import go_live
from serving.releases import LoadedRelease, load_release, open_files

TARGETS = ("live", "candidate")
Rows = NDArray[np.int32]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did."""

    release_id: str
    """The new release, or the one that was live where nothing had happened since."""
    before_id: str
    events: int
    """In the live log since the release before."""
    uploads: int
    removals: int
    videos: int
    """In the new release."""
    agreement: dict[str, float]
    """See `serving.verification.Agreement`; empty where nothing was made."""
    to: str | None
    """The pointer that names it now; None where nothing was made."""
    stages: list[dict[str, str | float]]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class _Material:
    """The live release, and the log to its end."""

    loaded: LoadedRelease
    dataset: Dataset
    catalogue: Catalogue
    """Sorted by id, in the codes of the release."""
    log_offset: int
    events: int
    uploads: int
    removals: int

    @property
    def old_rows(self) -> Rows:
        """[V] each video's row in the release, −1 for uploads."""
        return self.loaded.catalogue.rows(self.catalogue.video_ids)


def refresh(space: Space, signed: Signed, stages: Stages, *, to: str = "live") -> Refreshed:
    """Make, verify and publish a release of the same models over the log as it is now.

    Args:
        space: whose live release is refreshed.
        signed: for the history.
        stages: progress.
        to: which pointer names it then: `live`, which asks its gates, or `candidate` for an experiment or a shadow.

    Raises:
        BadInput: no such target, nothing is live, or the snapshot that it was made from is gone.
        ReleaseRefused: the result does not work, agrees too little with the live release, or is refused by its gates; it is
            the candidate then.
    """
    if to not in TARGETS:
        raise BadInput(f"a refreshed release becomes {' or '.join(TARGETS)}, not '{to}'")
    before_id = release.resolve(space.releases, "live")
    if before_id is None:
        raise BadInput(f"no release of '{space.name}' is live; run `upnext train` first")
    with stages("open") as stage:
        loaded = load_release(space.releases, before_id, verify=True)
        stage.note = before_id
    with stages("log") as stage:
        material = _material(space, loaded)
        stage.note = f"{material.events:,} events since, {material.uploads:,} uploads, {material.removals:,} removals"
    if not material.events:
        return _told(before_id, before_id, material, {}, None, stages)
    with stages("snapshot") as stage:
        origin = Origin(f"refresh of {before_id}", log_offset=material.log_offset)
        snapshot = versioning.snapshot(material.dataset, space.snapshots, provenance.git_commit(), origin)
        stage.note = snapshot.snapshot_id
    with stages("release files") as stage:
        staged = _write(space.work / "refreshed", material)
        stage.note = f"index {staged.index_kind}, recall@100 {staged.index_recall:.4f}"
    with stages("verify") as stage:
        found = _verify(staged.path, loaded)
        stage.note = ", ".join(f"{name} agree by {value:.2f}" for name, value in found.items())
    with stages("publish") as stage:
        config, told = presets.recorded(loaded.lineage["run"]), {"agreement": found, "refresh_of": before_id}
        made = publish.register(staged, space, snapshot.snapshot_id, config, told).release_id
        shutil.rmtree(staged.path, ignore_errors=True)
        stage.note = made
    why = f"refresh of {before_id}"
    if to == "live":
        promote.enter(space, made, signed, promote.Reasons(why), stages)
    else:
        history.move(space, to, made, signed, why)
    return _told(made, before_id, material, found, to, stages)


def _told(
    made: str, before_id: str, material: _Material, agreement: dict[str, float], to: str | None, stages: Stages
) -> Refreshed:
    num = len(material.catalogue)
    happened = material.events, material.uploads, material.removals
    return Refreshed(made, before_id, *happened, num, agreement, to, stages.to_json())


def _material(space: Space, loaded: LoadedRelease) -> _Material:
    parts, offset = live_events(space, loaded.log_offset)
    fresh = pl.concat([pl.DataFrame(pl.from_arrow(c.EVENTS.empty_table())), *parts])
    assert loaded.manifest is not None, "a release from the folder of releases has a manifest"
    before, marks = versioning.open_snapshot(space.snapshots, loaded.manifest.snapshot), tombstones.read(space.path)
    events = pl.concat([before.events, marks.events(fresh)], how="vertical_relaxed").unique(c.EVENT_ID, keep="first")
    removed = np.union1d(release_files.removed_ids(events), loaded.removed_ids)
    uploads = fresh.filter(pl.col(c.KIND) == ev.UPLOAD).to_arrow().cast(c.EVENTS)
    new = uploaded(uploads, loaded.catalogue, removed.tolist())
    frame = pl.concat([loaded.catalogue.frame, new], how="diagonal_relaxed").sort(c.VIDEO_ID)
    frame = frame.filter(~pl.col(c.VIDEO_ID).is_in(removed.tolist()))
    dataset = datasets.make(before.name, events, before.viewers, pl.concat([before.videos, new.select(before.videos.columns)]))
    gone = len(loaded.catalogue) + len(new) - len(frame)
    return _Material(loaded, dataset, Catalogue.coded(frame, loaded.catalogue.vocabularies), offset, len(fresh), len(new), gone)


def _write(path: Path, material: _Material) -> Staged:
    """The files of the live release, those with a row per video or a state of the log made anew."""
    loaded, dataset, catalogue = material.loaded, material.dataset, material.catalogue
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(loaded.path, path, ignore=shutil.ignore_patterns(release.MANIFEST))
    _write_towers(path, material)
    _write_ranker(path, material)
    config, split = presets.recorded(loaded.lineage["run"]), loaded.lineage["split"]
    whole = TimeSplit(split["ranker_from"], dataset.end_at + 1, dataset.end_at + 1)
    release_files.write_features(path, dataset, catalogue, loaded.viewers, loaded.definitions)
    release_files.write_index(path, path, dataset, catalogue, whole, config.index)
    told = {"of": loaded.release_id, "uploads": material.uploads, "removals": material.removals}
    release_files.write_lineage(path, dataset, whole, config, material.log_offset, told)
    return Staged.of(path)


def _write_towers(path: Path, material: _Material) -> None:
    """Raw vectors of all videos, and unit vectors as of the log's end."""
    catalogue, tables, facts = material.catalogue, load_file(path / TABLES), json.loads((path / FACTS).read_text())
    tables["raw"] = _rows(tables["raw"], material.old_rows, raw_vectors(tables, catalogue.content, catalogue.codes))
    save_file(tables, path / TABLES)
    (path / FACTS).write_text(json.dumps(facts | {"at": material.dataset.end_at}, indent=1, sort_keys=True))
    rows = np.arange(len(catalogue), dtype=np.int32)
    vectors = VideoEncoder.load(path).encode_rows(rows, catalogue.uploaded_at, material.dataset.end_at)
    np.save(path / VECTORS, vectors, allow_pickle=False)


def _write_ranker(path: Path, material: _Material) -> None:
    """The ranker's own vectors of videos: zero for those that it never saw."""
    learned = own_vectors(path)
    nothing = np.zeros((len(material.catalogue), learned.shape[1]), dtype=np.float32)
    write_videos(path, material.catalogue, _rows(learned, material.old_rows, nothing))


def _rows(old: Floats, old_rows_V: Rows, new_VD: Floats) -> Floats:
    """[V, D] the old row where there was one, the new one elsewhere."""
    known = old_rows_V >= 0
    return np.ascontiguousarray(np.where(known[:, None], old[np.where(known, old_rows_V, 0)], new_VD))


def _verify(path: Path, loaded: LoadedRelease) -> dict[str, float]:
    """Everything that is asked before a take-over. Raises ReleaseRefused."""
    fresh, before = (go_live(each, MemoryStore()) for each in (open_files(path), loaded))
    verification.require_agreement(fresh, before)
    return asdict(verification.agreement(fresh, before))
