"""A release of N videos out of a trained one, so that serving can be measured at sizes that nobody trains in minutes.

With fewer videos than were trained, some are left out by chance, and the models are the same.

The added videos are siblings of the trained ones: the content of one, moved a little, with the category, channel, language and
age of another of the same category, put through the release's own video tower, which needs no id. So vectors lie where our
towers put them, in the crowds that make nearest-neighbour search hard; counters, durations and titles are the sibling's. What
needs a history starts empty: neighbours and the ranker's own vectors. All goes through a release's real files, so the service
that opens them is the real one.

Shape legend: V trained videos, M added ones, D vector size.
"""

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from core import columns as c
from core import release, rng
from data.catalogue import Catalogue
from pipelines import spaces
from pipelines.spaces import Space
from ranking.scorer import VIDEOS, own_vectors, write_videos
from retrieval import index as indexes
from retrieval.config import IndexConfig
from retrieval.cowatch import CoWatch
from retrieval.encoder import TABLES, VECTORS, VideoEncoder
from serving import releases, search
from serving.releases import LoadedRelease, open_files

_BLOCK = 100_000
"""Videos encoded at a time: of ten million, the tower's hidden layers alone would take ten gigabytes."""
CONTENT_NOISE = 0.5
"""Standard deviation of a content vector's change, in units of the content's own."""


def enlarge(var_dir: Path, source: Space, num_videos: int) -> Space:
    """The space `<source>-<N>` with one live release of `num_videos`; made once for every live release of `source`."""
    base_id = release.resolve(source.releases, "live") or ""
    base = release.load(source.releases, base_id)
    space = spaces.open_space(var_dir, f"{source.name}-{num_videos}")
    made = release.resolve(space.releases, "live")
    if made and release.load(space.releases, made).manifest.config_fingerprint == f"{base_id}+{num_videos}":
        return space
    facts = asdict(base.manifest) | {"config_fingerprint": f"{base_id}+{num_videos}"}
    for name in ("release_id", "files"):
        facts.pop(name)
    shutil.rmtree(space.releases, ignore_errors=True)
    num_trained = len(releases.open_catalogue(base.path))

    def write(path: Path) -> None:
        if num_videos < num_trained:
            gone = rng.stream(1, "left out").permutation(num_trained)[num_videos:]
            write_without(open_files(base.path, trusted=True), gone, path)
        else:
            _write(base.path, path, num_videos)

    published = release.publish(space.releases, write, **facts)
    release.point(space.releases, "live", published.release_id)
    return space


def _write(base: Path, path: Path, num_videos: int) -> None:
    """All files of the release, the ones with a row per video made longer."""
    shutil.copytree(base, path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(release.MANIFEST, search.FILE, VIDEOS))
    catalogue = releases.open_catalogue(base)
    random = rng.stream(1, "enlarged")
    sibling_M = random.integers(0, len(catalogue), num_videos - len(catalogue))
    larger = _catalogue(catalogue, sibling_M, random)
    larger.save(path / releases.CATALOGUE)
    vectors = _vectors(base, larger, len(catalogue))
    np.save(path / VECTORS, vectors)
    indexes.build(vectors, IndexConfig()).save(path / releases.INDEX)
    state = load_file(base / releases.VIDEO_STATE)
    counts = np.concatenate([state["counts"], state["counts"][:, sibling_M]], axis=1)
    save_file(state | {"counts": counts}, path / releases.VIDEO_STATE)
    learned = own_vectors(base)
    write_videos(path, larger, np.concatenate([learned, np.zeros((len(sibling_M), learned.shape[1]), np.float32)]))
    neighbours = CoWatch.load(base)
    fill = ((0, len(sibling_M)), (0, 0))
    CoWatch(np.pad(neighbours.rows_VN, fill, constant_values=-1), np.pad(neighbours.weights_VN, fill)).save(path)
    search.build(larger, path)


def _catalogue(catalogue: Catalogue, sibling_M: NDArray[np.int64], random: np.random.Generator) -> Catalogue:
    """The trained videos and M more, with ids above theirs."""
    frame, content = catalogue.frame, catalogue.content[sibling_M]
    moved = content + CONTENT_NOISE * catalogue.content.std(axis=0) * random.standard_normal(content.shape, dtype=np.float32)
    attributes = [c.CHANNEL_ID, c.CHANNEL, c.CATEGORY, c.LANGUAGE, c.UPLOADED_AT]
    other = frame.select(attributes)[_same_category(catalogue.category, sibling_M, random)]
    video_id = pl.Series(c.VIDEO_ID, int(catalogue.video_ids.max()) + 1 + np.arange(len(sibling_M)))
    added = frame.drop(c.CONTENT)[sibling_M].with_columns(
        video_id,
        video_id.cast(pl.String).alias(c.EXTERNAL_ID),
        pl.Series(c.CONTENT, moved).cast(frame.schema[c.CONTENT]),
        *(other[name] for name in attributes),
    )
    return Catalogue.coded(pl.concat([frame, added.select(frame.columns)]), catalogue.vocabularies)


def _same_category(category_V: NDArray[np.int32], rows_M: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """A random row of the category of each row."""
    order = np.argsort(category_V, kind="stable")
    begin = np.searchsorted(category_V[order], np.arange(category_V.max() + 2))
    wanted = category_V[rows_M]
    place = begin[wanted] + (random.random(len(rows_M)) * (begin[wanted + 1] - begin[wanted])).astype(np.int64)
    return order[place]


def _vectors(base: Path, larger: Catalogue, num_trained: int) -> NDArray[np.float32]:
    """[V + M, D]: the release's own, then what its video tower says."""
    tower, trained = VideoEncoder.load(base), np.load(base / VECTORS)
    found = np.empty((len(larger), trained.shape[1]), dtype=np.float32)
    found[:num_trained] = trained
    for begin in range(num_trained, len(larger), _BLOCK):
        new = slice(begin, begin + _BLOCK)
        found[new] = tower.encode(larger.content[new], larger.codes[new], larger.uploaded_at[new], tower.trained_at)
    return found


def write_without(loaded: LoadedRelease, rows: NDArray[np.int64], path: Path) -> None:
    """The release's files without some videos."""
    kept = np.setdiff1d(np.arange(len(loaded.catalogue)), rows)
    shutil.copytree(loaded.path, path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(release.MANIFEST, search.FILE))
    smaller = Catalogue.coded(loaded.catalogue.frame[kept], loaded.catalogue.vocabularies)
    smaller.save(path / releases.CATALOGUE)
    search.build(smaller, path)
    vectors = loaded.video_VD[kept]
    np.save(path / VECTORS, vectors)
    indexes.build(vectors, IndexConfig()).save(path / releases.INDEX)
    for file, name, axis in ((TABLES, "raw", 0), (releases.VIDEO_STATE, "counts", 1)):
        tensors = load_file(path / file)
        save_file(tensors | {name: tensors[name].take(kept, axis=axis)}, path / file)
    write_videos(path, smaller, own_vectors(loaded.path)[kept])
    place = np.full(len(loaded.catalogue) + 1, -1, dtype=np.int32)
    place[kept] = np.arange(len(kept))
    neighbours = place[loaded.cowatch.rows_VN[kept]]
    CoWatch(neighbours, np.where(neighbours >= 0, loaded.cowatch.weights_VN[kept], 0).astype(np.float32)).save(path)
