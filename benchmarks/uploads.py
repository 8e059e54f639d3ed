"""From an upload to a page: how long does it take through the running service, and what does a search cost meanwhile?

    python -m benchmarks.uploads --uploads 40

Starts the service over a copy of the live release. `POST /videos` sends copies of the most active videos, one after the other
and then as many at once; from the moment in which the service knows a video every request may get it. Then pages of some
viewers are looked through for them, half are taken down (`DELETE /videos/…`), and the pages looked through again. A search
is measured in this process: the main index alone, and with the newer vectors beside it.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import own_service, results_file
from benchmarks.own_service import Site
from core import columns as c
from core import release, rng, settings
from pipelines import spaces
from pipelines.spaces import Space
from serving.releases import LoadedRelease, load_release

VIEWERS = 50
_SEARCHES, _NEAREST = 200, 500
_POLL_S, _PATIENCE_S = 0.005, 30.0
_SAID = (c.TITLE, c.CHANNEL, c.CATEGORY, c.LANGUAGE, c.DURATION_S, c.CONTENT)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--uploads", type=int, default=40, help="one after the other; then as many in one batch")
    parser.add_argument("--space", default=None, help="dataset to serve; the last trained one by default")
    arguments = parser.parse_args()
    space = spaces.current(settings.load().var_dir, arguments.space)
    result = measure(space, arguments)
    print(json.dumps(result, indent=1))
    results_file.keep(f"uploads-{space.name}", result, arguments)


def measure(space: Space, arguments: argparse.Namespace) -> dict[str, Any]:
    """Upload, look, take down, look again, describe."""
    loaded, num = load_release(space.releases, release.resolve(space.releases, "live") or ""), arguments.uploads
    videos = _videos(loaded, 2 * num)
    viewers = loaded.viewers.frame[c.EXTERNAL_ID][:VIEWERS].to_list()
    with own_service.running(space) as site:
        one_s = [_upload_s(site, [video]) for video in videos[:num]]
        batch_s = _upload_s(site, videos[num:])
        ids = {video["video_id"] for video in videos}
        shown = ids & _shown(site, viewers)
        gone = sorted(ids)[::2]
        removal_s = [_removal_s(site, video_id) for video_id in gone]
        again = _shown(site, viewers)
        memory_mib = site.memory_mib()
    return {
        "videos": len(loaded.catalogue),
        "uploads": 2 * num,
        "seconds_until_candidate": _spread(one_s),
        "batch": {"uploads": num, "seconds": round(batch_s, 3)},
        "shown_at_once": {"of uploads": len(shown), "on pages": len(viewers)},
        "seconds_until_gone": _spread(removal_s),
        "shown_after_removal": len(again & set(gone)),
        "search_ms": _search_ms(loaded, 2 * num),
        "service_memory_mib": memory_mib,
    }


def _upload_s(site: Site, videos: list[dict[str, Any]]) -> float:
    """Seconds until the service knows all of them."""
    began = time.monotonic()
    status, said = site.ask("POST", "/videos", {"videos": videos})
    if status != 200 or said["rejected"]:
        raise RuntimeError(f"an upload was answered {status}: {said}")
    return _until(site, videos[-1]["video_id"], 200, began)


def _removal_s(site: Site, video_id: str) -> float:
    """Seconds until the service no longer knows it."""
    began = time.monotonic()
    site.ask("DELETE", f"/videos/{video_id}")
    return _until(site, video_id, 404, began)


def _until(site: Site, video_id: str, status: int, began: float) -> float:
    while site.ask("GET", f"/videos/{video_id}")[0] != status:
        if time.monotonic() - began > _PATIENCE_S:
            raise RuntimeError(f"/videos/{video_id} does not answer {status}")
        time.sleep(_POLL_S)
    return time.monotonic() - began


def _shown(site: Site, viewers: list[str]) -> set[str]:
    """Videos on a page of 100 of each viewer."""
    pages = [site.get(f"/recommend?viewer_id={viewer}&k=100&preview=true") for viewer in viewers]
    return {video["video_id"] for page in pages for video in page["videos"]}


def _videos(loaded: LoadedRelease, num: int) -> list[dict[str, Any]]:
    """New videos that say of themselves what the most active ones do."""
    active = np.argsort(-loaded.video_state.counts.sum(axis=0), kind="stable")
    found = []
    for place in range(num):
        row = loaded.catalogue.frame.row(int(active[place % len(active)]), named=True)
        said = {name: row[name] for name in _SAID if row[name] is not None}
        found.append(said | {"video_id": f"upload-{place}", c.CHANNEL_ID: str(row[c.CHANNEL_ID])})
    return found


def _search_ms(loaded: LoadedRelease, num: int) -> dict[str, float]:
    """With as many vectors beside the index as were uploaded."""
    longer = loaded.index.extended(np.concatenate([loaded.video_VD, loaded.video_VD[:num]]), most=1.0)
    queries = loaded.video_VD[rng.stream(1, "queries").integers(0, len(loaded.video_VD), _SEARCHES)]
    return {
        "main index": _median_ms(lambda query: loaded.index.search(query, _NEAREST), queries),
        "with newer vectors": _median_ms(lambda query: longer.search(query, _NEAREST), queries),
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"median": round(float(np.median(seconds)), 4), "most": round(max(seconds), 4)}


def _median_ms(search: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    took = []
    for query in queries:
        began = time.perf_counter()
        search(query[None])
        took.append((time.perf_counter() - began) * 1e3)
    return round(float(np.median(took)), 3)


if __name__ == "__main__":
    main()
