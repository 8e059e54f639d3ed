"""A release directory → everything serving needs, checked; and the one reference to what is live.

`open_files` refuses a release whose parts do not belong together (rows, widths, feature schema, values that are not finite,
recall, vectors of another tower), with the reason in plain words, before any request sees it; `load_release` adds the
manifest's hashes, or trusts another process that has asked all this. `ReleaseHolder` has a release tried out, builds it beside
the live one and swaps one reference: a request that began with one release ends with it. Knows nothing of training or HTTP.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import config as configs
from core import release, tensors
from core.blocks import blocks
from core.errors import ReleaseRefused
from data.catalogue import Catalogue, ViewerTable, Vocabulary, read_frame
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
from serving.onboarding import Onboarding
from serving.recommender import Parts, Recommender
from serving.search import LongerSearch, TitleSearch
from serving.stages import FeatureReader, Filter
from serving.suppressed import Suppressed
from serving.thompson import ThompsonRecommender

CATALOGUE, VIEWERS, INDEX = "catalogue.arrow", "viewers.parquet", "index.faiss"
SCHEMA, LINEAGE = "feature_schema.json", "lineage.json"
VIEWER_STATES, VIDEO_STATE = states.FILE, video_state.FILE
VOCABULARIES, REMOVED = "vocabularies.json", "removed_videos.npy"
_EARLIER = "catalogue.parquet"

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
    search: TitleSearch | LongerSearch
    config: ServingConfig
    end_at: int
    """Instant of the last event that the states contain."""
    log_offset: int
    """Offset of the live event log that the states reach; feeding continues after it."""
    release_id: str = ""
    manifest: release.Manifest | None = None
    lineage: dict[str, Any] = field(default_factory=dict)
    removed_ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Videos that had been taken down by the log's end."""

    def touch(self) -> None:
        """Have at hand what pages look up at random places of mapped files."""
        tensors.touch(self.video_VD)
        self.scorer.videos.touch()
        self.index.touch()

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
        parts = Parts(
            catalogue=self.catalogue,
            features=features,
            encoder=self.encoder,
            video_VD=self.video_VD,
            sources=self._sources(videos, config),
            filters=(*self._filters(suppressed or Suppressed(self.catalogue)), *by_label(self.catalogue, config)),
            scorer=self.scorer,
            onboarding=Onboarding(self.catalogue, videos, _refresh_ms(config)),
            schema=self.schema,
            release_id=self.release_id,
            arm=arm,
            config=config,
        )
        return ThompsonRecommender(parts, videos) if config.exploration.kind == "thompson" else Recommender(parts)

    def _sources(self, videos: VideoCounts, config: ServingConfig) -> tuple[Source, ...]:
        uploaded_at, refresh_ms = self.catalogue.uploaded_at, _refresh_ms(config)
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


def _refresh_ms(config: ServingConfig) -> int:
    return max(int(config.refresh_s * 1000), 1)


def by_label(catalogue: Catalogue, config: ServingConfig) -> list[Filter]:
    """The bounds on labels that the config sets."""
    unknown = np.zeros(len(catalogue), dtype=np.float32)
    found: list[Filter] = []
    if config.most_clickbait < 1:
        found.append(filters.Labelled("clickbait", catalogue.labels.get("clickbait", unknown) <= config.most_clickbait))
    if config.least_kids > 0:
        found.append(filters.Labelled("not for kids", catalogue.labels.get("kids", unknown) >= config.least_kids))
    return found


def load_release(root: Path, release_id: str, *, verify: bool = False, trusted: bool = False) -> LoadedRelease:
    """Open `root/<release_id>`.

    Args:
        root: the folder of releases.
        release_id: which one.
        verify: also read every byte and compare with the manifest.
        trusted: somebody else has: see that parts fit, and read no numbers through.

    Raises:
        ReleaseRefused: a file is missing or broken, or the parts do not belong together.
    """
    found = release.load(root, release_id, verify=verify)
    return open_files(found.path, release_id=release_id, manifest=found.manifest, trusted=trusted)


def open_files(
    path: Path, *, release_id: str = "", manifest: release.Manifest | None = None, trusted: bool = False
) -> LoadedRelease:
    """Open the files of a release that may not be published yet; `trusted` as in `load_release`.

    Raises:
        ReleaseRefused: see `load_release`.
    """
    try:
        loaded = _open(path, release_id, manifest)
    except ReleaseRefused:
        raise
    except Exception as error:  # every library has its own way to say that a file is broken
        raise ReleaseRefused(f"the release in {path} cannot be opened: {type(error).__name__}: {error}") from error
    _check_shapes(loaded)
    if not trusted:
        _check_numbers(loaded)
    return loaded


def _open(path: Path, release_id: str, manifest: release.Manifest | None) -> LoadedRelease:
    catalogue, viewers = open_catalogue(path), ViewerTable.load(path / VIEWERS)
    trained_with = json.loads((path / SCHEMA).read_text()).get("schema", {})
    definitions = default_definitions(catalogue.labels).of(trained_with)
    schema = definitions.schema(catalogue, viewers)
    _check_schema(path, schema_hash(schema, definitions), manifest)
    lineage = json.loads((path / LINEAGE).read_text())
    config = configs.from_dict(ServingConfig, lineage["serving"])
    video_VD = tensors.mapped_npy(path / VECTORS)
    return LoadedRelease(
        path=path,
        catalogue=catalogue,
        viewers=viewers,
        definitions=definitions,
        schema=schema,
        encoder=ViewerEncoder.load(path),
        index=indexes.on_gpu(indexes.load(path / INDEX), video_VD),
        video_VD=video_VD,
        scorer=Scorer.load(path, catalogue, rows_in_memory=config.ranker_rows),
        cowatch=CoWatch.load(path),
        video_state=VideoState.load(path / VIDEO_STATE, definitions),
        search=TitleSearch(path),
        config=config,
        end_at=int(lineage["end_at"]),
        log_offset=int(lineage["log_offset"]),
        release_id=release_id,
        manifest=manifest,
        lineage=lineage,
        removed_ids=_removed_ids(path),
    )


def open_catalogue(path: Path) -> Catalogue:
    """The catalogue of a release's files, in the codes that its models were trained with.

    A release that was refreshed has videos that training never saw.
    """
    if not (path / CATALOGUE).exists() and (path / _EARLIER).is_file():
        raise ReleaseRefused(f"the release in {path} was published by an earlier version of this program: train a new one")
    vocabularies = tuple(Vocabulary(tuple(values)) for values in json.loads((path / VOCABULARIES).read_text()))
    return Catalogue.coded(read_frame(path / CATALOGUE), vocabularies)


def _removed_ids(path: Path) -> NDArray[np.int64]:
    file = path / REMOVED
    return np.load(file, allow_pickle=False) if file.is_file() else np.zeros(0, dtype=np.int64)


def _check_schema(path: Path, here: str, manifest: release.Manifest | None) -> None:
    said = {str(json.loads((path / SCHEMA).read_text())["hash"])} | ({manifest.feature_schema} if manifest else set())
    if said != {here}:
        raise ReleaseRefused(
            f"the release in {path} was trained with feature schema {' and '.join(sorted(said))}, this program has {here}: "
            "train a new release, or serve this one with the program that made it"
        )


def _check_shapes(loaded: LoadedRelease) -> None:
    """Parts that fit the catalogue and each other."""
    num_videos, vectors = len(loaded.catalogue), loaded.video_VD
    slots = sum(spec.tiles for spec in loaded.video_state.sums)
    _refuse(vectors.ndim != 2 or len(vectors) != num_videos, f"{len(vectors)} video vectors for {num_videos} videos")
    _refuse(
        vectors.shape[1] != loaded.encoder.dim,
        f"video vectors of {vectors.shape[1]} and viewer vectors of {loaded.encoder.dim}",
    )
    _refuse(len(loaded.cowatch) != num_videos, f"neighbours of {len(loaded.cowatch)} videos for {num_videos}")
    _refuse(
        loaded.video_state.counts.shape != (slots, num_videos),
        f"video counters of shape {loaded.video_state.counts.shape} instead of {(slots, num_videos)}: train a new release",
    )


def _check_numbers(loaded: LoadedRelease) -> None:
    """Numbers that are numbers, neighbours that there are, and what `serving.verification` asks of files."""
    num_videos, vectors = len(loaded.catalogue), loaded.video_VD
    for rows in blocks(num_videos):
        _refuse(not np.isfinite(vectors[rows]).all(), "video vectors that are not finite")
        wrong = np.abs(np.linalg.norm(vectors[rows], axis=1) - 1) > 1e-3
        _refuse(bool(wrong.any()), "video vectors that are not of unit length")
    _refuse(int(loaded.cowatch.rows_VN.max(initial=-1)) >= num_videos, "neighbours that are not in the catalogue")
    loaded.scorer.require_videos(loaded.catalogue)
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
        rehearse: Callable[[str, str | None], None] = _nothing,
        retire: Callable[[T], None] = _nothing,
        keep_warm: bool = False,
        pointer: str = "live",
    ) -> None:
        """Build from what the pointer names now.

        Args:
            root: the folder of releases.
            build: makes everything that belongs to one release, given its id; raises ReleaseRefused.
            rehearse: gets the id of a new one, and of the live one to compare it with, before it is built; None where what is
                asked for is the way back, which is compared with nothing. Raises ReleaseRefused.
            retire: gets what nobody will ask again; requests that began with it may still be running.
            keep_warm: keep the one before in memory, for a rollback without loading; about doubles what releases need.
            pointer: which pointer, or a release id.

        Raises:
            ReleaseRefused: there is nothing to serve.
        """
        self._root, self._build, self._rehearse, self._retire = root, build, rehearse, retire
        self._keep_warm, self._pointer = keep_warm, pointer
        self._lock = threading.Lock()
        first = self._named()
        self._held: tuple[tuple[str, T], ...] = ((first, build(first)),)

    @property
    def live(self) -> T:
        """The present one; read it once per request."""
        return self._held[0][1]

    @property
    def release_id(self) -> str:
        """Of the present one."""
        return self._held[0][0]

    @property
    def held(self) -> tuple[T, ...]:
        """The present one and, where there is one, the one kept warm."""
        return tuple(each for _, each in self._held)

    def reload(self) -> T:
        """Serve what the pointer names now. Raises ReleaseRefused, and then nothing has changed."""
        with self._lock:
            wanted = self._named()
            if wanted != self.release_id:
                self._swap(wanted)
            return self.live

    def promote(self, release_id: str) -> T:
        """Serve this release and let the pointer say so. Raises ReleaseRefused, and then nothing has changed."""
        with self._lock:
            if release_id != self.release_id:
                self._swap(release_id)
            release.point(self._root, "live", release_id)
            return self.live

    def rollback(self) -> T:
        """Serve the previous release and let the pointer say so. Raises ReleaseRefused, and then nothing has changed.

        That is the one kept warm; where there is none, what the pointer `previous` names.
        """
        with self._lock:
            previous = self._held[1][0] if len(self._held) > 1 else release.resolve(self._root, "previous")
            if previous is None or previous == self.release_id:
                raise ReleaseRefused("there is no previous release to go back to")
            self._swap(previous, compare=False)
            release.point(self._root, "live", previous)
            return self.live

    def _named(self) -> str:
        if self._pointer not in release.POINTERS:
            return self._pointer
        found = release.resolve(self._root, self._pointer)
        if found is None:
            raise ReleaseRefused(f"no release in {self._root} is {self._pointer}; run `upnext train` first")
        return found

    def _swap(self, release_id: str, *, compare: bool = True) -> None:
        """Let `release_id` serve. What is kept warm has served before, and needs no rehearsal."""
        outgoing, *warm = self._held
        if warm and warm[0][0] == release_id:
            self._held = (warm[0], outgoing)
            return
        self._rehearse(release_id, outgoing[0] if compare else None)
        fresh = self._build(release_id)
        kept = (outgoing,) if self._keep_warm else ()
        self._held = ((release_id, fresh), *kept)
        for _, gone in warm if self._keep_warm else (outgoing,):
            self._retire(gone)
