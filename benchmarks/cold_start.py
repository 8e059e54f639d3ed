"""How much is a video worth that nobody has clicked, and a viewer who has clicked nothing?

    python -m benchmarks.cold_start

The test clicks of the live release's own snapshot, asked of its towers by exact search over the whole catalogue. The same
clicks are asked again with the clicked video, or with the viewer, made cold; so all rows of the table are about the same cases.

    video  trained   its released vector
           cold      from content, category, channel, language and age, as an upload gets it
           nothing   age alone: what a tower of ids would know
    viewer history   as served
           cold      attributes and context, an empty history
           nothing   context alone
           popularity  no towers: clicks in training

The towers did learn from clicks on a video made cold, through its content and codes, though not through its own row: among many
videos that is little. Naturally cold videos are few in a small world; they are counted. ± is half of the 95 % interval over
viewers.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import results_file
from core import inference, release, settings
from data import interactions, versioning
from features.memory_store import MemoryStore
from features.online import OnlineFeatures
from pipelines import spaces
from pipelines.evaluation.cases import HeldOut, time_split
from pipelines.evaluation.compare import features_of
from pipelines.gates.questions import snapshot_of
from pipelines.spaces import Space
from retrieval.encoder import VideoEncoder
from serving.releases import LoadedRelease, load_release

Floats = NDArray[np.float32]
_STRANGER = -1


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--space", default=None, help="dataset; the last trained one by default")
    arguments = parser.parse_args()
    space = spaces.current(settings.load().var_dir, arguments.space)
    result = measure(space)
    print(json.dumps(result, indent=1))
    results_file.keep(f"cold-start-{space.name}", result, arguments)


def measure(space: Space) -> dict[str, Any]:
    """Ask every case in every way."""
    loaded = load_release(space.releases, release.resolve(space.releases, "live") or "")
    dataset = versioning.open_snapshot(space.snapshots, snapshot_of(loaded))
    clicks = interactions.clicks(dataset.events, loaded.catalogue.video_ids)
    test_from = int(loaded.lineage["split"]["test_from"])
    held_out, trained = time_split(clicks, test_from, loaded.catalogue.uploaded_at), clicks.before(test_from).counts()
    cases, target_N, blank = held_out.cases, held_out.targets.values, _blank(loaded)
    served = features_of(dataset, loaded.catalogue, loaded.viewers, cases, loaded.definitions)
    viewer_ND = loaded.encoder.encode(served.viewer_part(np.arange(len(cases))))
    cold_VD, empty_VD = _cold_videos(loaded)
    nobody = np.full_like(cases.viewer_ids, _STRANGER)
    score_NV = viewer_ND @ loaded.video_VD.T

    def as_if(video_VD: Floats) -> NDArray[np.int64]:
        return rank(score_NV, np.einsum("nd,nd->n", viewer_ND, video_VD[target_N]), held_out)

    def asked_by(asking_ND: Floats) -> NDArray[np.int64]:
        scores = asking_ND @ loaded.video_VD.T
        return rank(scores, scores[np.arange(len(target_N)), target_N], held_out)

    popular_NV = np.tile(trained.astype(np.float32), (len(target_N), 1))
    ranks = {
        "video trained, viewer with history": as_if(loaded.video_VD),
        "video cold": as_if(cold_VD),
        "video nothing": as_if(empty_VD),
        "viewer cold": asked_by(loaded.encoder.encode(blank.viewer_part(cases.viewer_ids, cases.at))),
        "viewer nothing": asked_by(loaded.encoder.encode(blank.viewer_part(nobody, cases.at))),
        "popularity": rank(popular_NV, trained[target_N].astype(np.float32), held_out),
    }
    return {
        "videos": len(loaded.catalogue),
        "test_clicks": len(target_N),
        "naturally_cold": {
            "videos clicked": int((trained[target_N] == 0).sum()), "viewers": int((cases.histories.counts == 0).sum())
        },
        "table": {name: _metrics(places, cases.viewer_ids) for name, places in ranks.items()},
    }  # fmt: skip


def _blank(loaded: LoadedRelease) -> OnlineFeatures:
    """Features of viewers of whom the store knows nothing."""
    return OnlineFeatures(loaded.definitions, loaded.catalogue, loaded.viewers, MemoryStore(), loaded.video_state)


def _cold_videos(loaded: LoadedRelease) -> tuple[Floats, Floats]:
    """[V, D] vectors of every video from content and codes, and from age alone."""
    tower, videos = VideoEncoder.load(loaded.path), loaded.catalogue
    cold = tower.encode(videos.content, videos.codes, videos.uploaded_at, tower.trained_at)
    nothing = tower.encode(np.zeros_like(videos.content), np.zeros_like(videos.codes), videos.uploaded_at, tower.trained_at)
    return cold, nothing


def rank(score_NV: Floats, target_score_N: Floats, held_out: HeldOut) -> NDArray[np.int64]:
    """0-based rank of each case's target among what may be shown; half of the ties are taken to be better."""
    row_N, num = held_out.targets.values, len(score_NV)
    others = held_out.cases.hide(score_NV.copy(), slice(0, num))
    others[np.arange(num), row_N] = -np.inf
    better = (others > target_score_N[:, None]).sum(axis=1)
    return better + (others == target_score_N[:, None]).sum(axis=1) // 2


def _metrics(rank_N: NDArray[np.int64], viewer_ids: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    values = {f"recall@{k}": (rank_N < k).astype(float) for k in (10, 100, 500)}
    values["ndcg@10"] = np.where(rank_N < 10, 1 / np.log2(rank_N + 2), 0.0)
    found = {name: inference.cluster_interval(of, viewer_ids) for name, of in values.items()}
    return {name: {"mean": round(i.mean, 4), "±": round((i.high - i.low) / 2, 4)} for name, i in found.items()}


if __name__ == "__main__":
    main()
