"""A release directory → everything serving needs, checked; and the one reference to what is live.

`open_files` refuses a release whose parts do not belong together (rows, widths, feature schema, values that are not finite,
recall, vectors of another tower), with the reason in plain words, before any request sees it; `load_release` adds the
manifest's hashes. `ReleaseHolder` builds a release beside the live one and swaps one reference: a request that began with one
release ends with it. Knows nothing of training or HTTP.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import polars as pl

from core import config as configs
from core import release
from core.errors import ReleaseRefused
from data.catalogue import Catalogue, ViewerTable
from features import states, video_state
from features.definitions import Definitions, default_definitions, schema_hash
from features.schema import FeatureSchema, Floats
from features.states import ViewerStates
from features.video_state import VideoState
from ranking.scorer import Scorer
from retrieval import index as indexes
from retrieval.cowatch import CoWatch
from retrieval.encoder import VECTORS, ViewerEncoder
from retrieval.index import VectorIndex
from retrieval.sources import CoWatchSource, FreshSource, Source, TrendingSource, TwoTowerSource, VideoCounts
from serving import filters, verification
from serving.activity import LoggedActivity
from serving.config import ServingConfig
from serving.recommender import Parts, Recommender
from serving.search import TitleSearch
from serving.stages import FeatureReader, Filter
from serving.suppressed import Suppressed

CATALOGUE, VIEWERS, INDEX = "catalogue.parquet", "viewers.parquet", "index.faiss"
SCHEMA, LINEAGE = "feature_schema.json", "lineage.json"
VIEWER_STATES, VIDEO_STATE = states.FILE, video_state.FILE

T = TypeVar("T")


@dataclass(frozen=True)
class LoadedRelease:
    """The parts of one release, in memory. V videos, D vector size."""

    path: Path
    catalogue: Catalogue
    viewers: ViewerTable
    definitions: Definitions
    schema: FeatureSchema
    encoder: ViewerEncoder
    index: VectorIndex
    video_VD: Floats
    """Unit vectors, catalogue order."""
    scorer: Scorer
    cowatch: CoWatch
    video_state: VideoState
    """Videos' counters at the log's end. Mutable: belongs to whoever feeds it."""
    search: TitleSearch
    config: ServingConfig
    end_at: int
    """Instant of the last event that the states contain."""
    log_offset: int
    """Offset of the live event log that the states reach; feeding continues after it."""
    release_id: str = ""
    manifest: release.Manifest | None = None
    lineage: dict[str, Any] = field(default_factory=dict)

    def viewer_states(self) -> ViewerStates:
        """Viewers' features at the log's end, read from disk now: for the bulk load of a store."""
        return ViewerStates.load(self.path / VIEWER_STATES)

    def activity(self, events: pl.DataFrame) -> LoggedActivity:
        """Activity as it was known at the instant of each request."""
        return LoggedActivity.of(events, self.catalogue, self.definitions.video_sums)

    def recommender(
        self,
        features: FeatureReader,
        *,
        videos: VideoCounts,
        config: ServingConfig | None = None,
        suppressed: Suppressed | None = None,
        arm: str = "control",
    ) -> Recommender:
        """The production policy over this release.

        Args:
            features: where features come from: the online store in service, the log in evaluation.
            videos: recent activity, for trending and fresh candidates.
            config: instead of the release's own.
            suppressed: what may not be shown; nothing is suppressed without it.
            arm: of an experiment, goes onto every slate.
        """
        config = config or self.config
        return Recommender(
            Parts(
                catalogue=self.catalogue,
                features=features,
                encoder=self.encoder,
                video_VD=self.video_VD,
                sources=self._sources(videos, config),
                filters=self._filters(suppressed or Suppressed(self.catalogue)),
                scorer=self.scorer,
                schema=self.schema,
                release_id=self.release_id,
                arm=arm,
                config=config,
            )
        )

    def _sources(self, videos: VideoCounts, config: ServingConfig) -> tuple[Source, ...]:
        uploaded_at, refresh_ms = self.catalogue.uploaded_at, max(int(config.refresh_s * 1000), 1)
        return (
            TwoTowerSource(self.index),
            CoWatchSource(self.cowatch, config.cowatch_seeds),
            TrendingSource(videos, uploaded_at, refresh_ms),
            FreshSource(videos, uploaded_at, config.fresh_days, refresh_ms),
        )

    def _filters(self, suppressed: Suppressed) -> tuple[Filter, ...]:
        num_videos = len(self.catalogue)
        return (
            filters.Removed(suppressed),
            filters.NotYetUploaded(self.catalogue.uploaded_at),
            filters.Current(),
            filters.Seen(num_videos),
            filters.Dismissed(suppressed, num_videos),
        )


def load_release(root: Path, release_id: str, *, verify: bool = False) -> LoadedRelease:
    """Open `root/<release_id>`.

    Args:
        root: the folder of releases.
        release_id: which one.
        verify: also read every byte and compare with the manifest.

    Raises:
        ReleaseRefused: a file is missing or broken, or the parts do not belong together.
    """
    found = release.load(root, release_id, verify=verify)
    return open_files(found.path, release_id=release_id, manifest=found.manifest)


def open_files(path: Path, *, release_id: str = "", manifest: release.Manifest | None = None) -> LoadedRelease:
    """Open the files of a release that may not be published yet.

    Raises:
        ReleaseRefused: see `load_release`.
    """
    try:
        loaded = _open(path, release_id, manifest)
    except ReleaseRefused:
        raise
    except Exception as error:  # every library has its own way to say that a file is broken
        raise ReleaseRefused(f"the release in {path} cannot be opened: {type(error).__name__}: {error}") from error
    _check(loaded)
    return loaded


def _open(path: Path, release_id: str, manifest: release.Manifest | None) -> LoadedRelease:
    catalogue, viewers = Catalogue.load(path / CATALOGUE), ViewerTable.load(path / VIEWERS)
    definitions = default_definitions()
    schema = definitions.schema(catalogue, viewers)
    _check_schema(path, schema_hash(schema, definitions), manifest)
    lineage = json.loads((path / LINEAGE).read_text())
    return LoadedRelease(
        path=path,
        catalogue=catalogue,
        viewers=viewers,
        definitions=definitions,
        schema=schema,
        encoder=ViewerEncoder.load(path),
        index=indexes.load(path / INDEX),
        video_VD=np.load(path / VECTORS, allow_pickle=False),
        scorer=Scorer.load(path, catalogue),
        cowatch=CoWatch.load(path),
        video_state=VideoState.load(path / VIDEO_STATE, definitions),
        search=TitleSearch(path),
        config=configs.from_dict(ServingConfig, lineage["serving"]),
        end_at=int(lineage["end_at"]),
        log_offset=int(lineage["log_offset"]),
        release_id=release_id,
        manifest=manifest,
        lineage=lineage,
    )


def _check_schema(path: Path, here: str, manifest: release.Manifest | None) -> None:
    said = {str(json.loads((path / SCHEMA).read_text())["hash"])} | ({manifest.feature_schema} if manifest else set())
    if said != {here}:
        raise ReleaseRefused(
            f"the release in {path} was trained with feature schema {' and '.join(sorted(said))}, this program has {here}: "
            "train a new release, or serve this one with the program that made it"
        )


def _check(loaded: LoadedRelease) -> None:
    """Parts that fit the catalogue and each other, and numbers that are numbers."""
    num_videos, vectors = len(loaded.catalogue), loaded.video_VD
    slots = sum(spec.tiles for spec in loaded.video_state.sums)
    _refuse(vectors.ndim != 2 or len(vectors) != num_videos, f"{len(vectors)} video vectors for {num_videos} videos")
    _refuse(not np.isfinite(vectors).all(), "video vectors that are not finite")
    _refuse(
        vectors.shape[1] != loaded.encoder.dim,
        f"video vectors of {vectors.shape[1]} and viewer vectors of {loaded.encoder.dim}",
    )
    norms = np.linalg.norm(vectors, axis=1)
    _refuse(bool((np.abs(norms - 1) > 1e-3).any()), "video vectors that are not of unit length")
    _refuse(len(loaded.cowatch) != num_videos, f"neighbours of {len(loaded.cowatch)} videos for {num_videos}")
    _refuse(int(loaded.cowatch.rows_VN.max(initial=-1)) >= num_videos, "neighbours that are not in the catalogue")
    _refuse(
        loaded.video_state.counts.shape != (num_videos, slots),
        f"video counters of shape {loaded.video_state.counts.shape} instead of {(num_videos, slots)}",
    )
    if num_videos:
        verification.check_files(loaded)


def _refuse(wrong: bool, what: str) -> None:
    if wrong:
        raise ReleaseRefused(f"the release has {what}; publish it again")


def _nothing(*given: Any) -> None:
    """Accept, or let go, without a word."""


class ReleaseHolder(Generic[T]):
    """What is live: built from the release that a pointer names, replaced as one reference, never half."""

    def __init__(
        self,
        root: Path,
        build: Callable[[str], T],
        *,
        accept: Callable[[T, T], None] = _nothing,
        retire: Callable[[T], None] = _nothing,
        keep_warm: bool = False,
        pointer: str = "live",
    ) -> None:
        """Build from what the pointer names now.

        Args:
            root: the folder of releases.
            build: makes everything that belongs to one release, given its id; raises ReleaseRefused.
            accept: gets a new one and the live one before the new one serves; raises ReleaseRefused.
            retire: gets what nobody will ask again; requests that began with it may still be running.
            keep_warm: keep the one before in memory, for a rollback without loading; about doubles what releases need.
            pointer: which pointer, or a release id.

        Raises:
            ReleaseRefused: there is nothing to serve.
        """
        self._root, self._build, self._accept, self._retire = root, build, accept, retire
        self._keep_warm, self._pointer = keep_warm, pointer
        self._lock = threading.Lock()
        self._id = self._named()
        self._live = build(self._id)
        self._warm: tuple[str, T] | None = None

    @property
    def live(self) -> T:
        """The present one; read it once per request."""
        return self._live

    @property
    def release_id(self) -> str:
        """Of the present one."""
        return self._id

    @property
    def held(self) -> tuple[T, ...]:
        """The present one and, where there is one, the one kept warm."""
        return (self._live,) if self._warm is None else (self._live, self._warm[1])

    def reload(self) -> T:
        """Serve what the pointer names now. Raises ReleaseRefused, and then nothing has changed."""
        with self._lock:
            wanted = self._named()
            if wanted != self._id:
                self._swap(wanted)
            return self._live

    def rollback(self) -> T:
        """Serve the previous release and let the pointer say so. Raises ReleaseRefused, and then nothing has changed."""
        with self._lock:
            previous = release.resolve(self._root, "previous")
            if previous is None or previous == self._id:
                raise ReleaseRefused("there is no previous release to go back to")
            self._swap(previous, compare=False)
            release.point(self._root, "live", previous)
            return self._live

    def _named(self) -> str:
        if self._pointer not in release.POINTERS:
            return self._pointer
        found = release.resolve(self._root, self._pointer)
        if found is None:
            raise ReleaseRefused(f"no release in {self._root} is {self._pointer}; run `upnext train` first")
        return found

    def _swap(self, release_id: str, *, compare: bool = True) -> None:
        """Let `release_id` serve. What has served before needs no comparison, nor does what a rollback asks for."""
        warm, outgoing = self._warm, (self._id, self._live)
        if warm is not None and warm[0] == release_id:
            self._live, self._id, self._warm = warm[1], release_id, outgoing
            return
        fresh = self._build(release_id)
        try:
            if compare:
                self._accept(fresh, self._live)
        except BaseException:
            self._retire(fresh)
            raise
        self._live, self._id = fresh, release_id
        self._warm = outgoing if self._keep_warm else None
        gone = warm if self._keep_warm else outgoing
        if gone is not None:
            self._retire(gone[1])
