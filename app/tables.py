"""What the tables page shows: the tables of the live release, its index, the releases there are, and how they came to serve.

Sizes are those in memory now, uploads included; where a cache stands before a table (`ranking.rows`), with what it catches.
Reading is open; changing the release needs the admin token (`ops`).
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter
from safetensors import safe_open
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.answers import Json
from app.live import LiveReleases
from app.services import Services
from core import moves, release
from core.errors import ReleaseRefused
from retrieval.encoder import TABLES
from serving.releases import LoadedRelease

_MOVES = 20
_RELEASES = 50


class Tables:
    """The page's data over HTTP."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def router(self) -> APIRouter:
        """Its route."""
        router = APIRouter(default_response_class=Json, tags=["operations"])
        router.add_api_route("/ops/tables/summary", self.summary)
        return router

    async def summary(self) -> Response:
        """Tables with their sizes, the index, what came since the release, all releases, the last moves of their pointers."""
        return Json(await run_in_threadpool(self._services.tables))


def summary(live: LiveReleases) -> dict[str, Any]:
    """Everything on the page."""
    release_now = live.running.opened.release
    loaded, index = release_now.loaded, release_now.loaded.index
    beside = 0 if index.newer is None else len(index.newer)
    guard = live.probation
    return {
        "live": live.live.release_id,
        "warm": live.warm_id,
        "tables": [*_in_memory(loaded), *_of_codes(loaded.path)],
        "cache": _cache(loaded),
        "index": {"kind": index.kind, "vectors": len(index), "beside": beside, "recall": index.recall, "at": index.recall_at},
        "uploads": len(loaded.catalogue) - _released(loaded),
        "removed": len(release_now.suppressed.removed_ids),
        "guard": None if guard is None else guard.to_json(),
        "releases": _releases(live.root),
        "moves": [made.to_json() for made in moves.read(live.root.parent)[-_MOVES:]][::-1],
    }


def _in_memory(loaded: LoadedRelease) -> Iterator[dict[str, Any]]:
    """Tables with a row per video; uploads make these longer."""
    neighbours = loaded.cowatch.rows_VN.nbytes + loaded.cowatch.weights_VN.nbytes
    ranker = loaded.scorer.videos
    yield _told("ranker: videos", ranker.shape, "float32", ranker.nbytes, grows=True)
    for name, array, num_bytes in (
        ("video vectors", loaded.video_VD, loaded.video_VD.nbytes),
        ("content", loaded.catalogue.content, loaded.catalogue.content.nbytes),
        ("counters", loaded.video_state.counts.T, loaded.video_state.counts.nbytes),
        ("watched together", loaded.cowatch.rows_VN, neighbours),
    ):
        yield _told(name, array.shape, str(array.dtype), num_bytes, grows=True)
    codes = loaded.scorer.codes_TD
    yield _told("ranker: codes", codes.shape, str(codes.dtype), codes.nbytes, grows=False)


def _cache(loaded: LoadedRelease) -> dict[str, Any] | None:
    """What the cache before the ranker's table of videos has caught; None where there is none."""
    stats = loaded.scorer.videos.cached
    return None if stats is None else {"rows": loaded.config.ranker_rows, "lookups": stats.lookups, "hit_rate": stats.hit_rate}


@lru_cache(maxsize=4)
def _of_codes(path: Path) -> list[dict[str, Any]]:
    """Tables that the towers look up in, from the head of their file."""
    found = []
    with safe_open(path / TABLES, framework="numpy") as file:
        for name in sorted(file.keys()):
            shape = file.get_slice(name).get_shape()
            said = "raw video vectors" if name == "raw" else name.replace("_", ": ", 1).replace("_", " ")
            found.append(_told(f"towers: {said}", shape, "float32", int(np.prod(shape)) * 4, grows=False))
    return found


def _told(name: str, shape: Any, dtype: str, num_bytes: int, *, grows: bool) -> dict[str, Any]:
    return {"name": name, "rows": int(shape[0]), "dim": int(shape[1]), "dtype": dtype, "bytes": int(num_bytes), "grows": grows}


def _released(loaded: LoadedRelease) -> int:
    """Videos of the release as it was published."""
    return int(getattr(loaded.catalogue, "num_released", len(loaded.catalogue)))


def _releases(root: Path) -> list[dict[str, Any]]:
    """The newest first, with the pointers that name them."""
    pointers = {name: release.resolve(root, name) for name in release.POINTERS}
    found = []
    for release_id in release.names(root)[: -_RELEASES - 1 : -1]:
        try:
            manifest = release.load(root, release_id).manifest
        except ReleaseRefused:
            continue
        found.append(
            {
                "release_id": release_id,
                "created_at": manifest.created_at,
                "pointers": [name for name, target in pointers.items() if target == release_id],
                "refresh_of": manifest.metrics.get("refresh_of"),
                "snapshot": manifest.snapshot,
            }
        )
    return found
