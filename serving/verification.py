"""Is a release fit to serve? What a process asks of one before it takes over from the one that serves.

    recall      of the exact k nearest, the share that its index finds: score(found) ≥ score(k-th exact) − ε
    belonging   its video vectors are what its own video tower says of these videos
    canaries    pages for a few of its viewers and a stranger: whole, undegraded, in an order
    agreement   (o − c) / (1 − c), o the share of a list that two releases have in common, c the share that chance would;
                of the nearest videos to a viewer, and of pages

The first two look at files (`serving.releases` asks them of every release that is opened), the third at the parts at work
(`serving.live`), the last at two releases in service. Agreement finds what no file shows: towers or a ranker that are sound by
themselves and belong to other ids. Knows nothing of quality: that is measured before publishing (`pipelines.gates.gates`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core import rng
from core.blocks import blocks
from core.errors import ReleaseRefused
from core.policy import Policy, Request, Slate
from retrieval.encoder import VideoEncoder
from retrieval.index import VectorIndex
from retrieval.sources import Floats
from serving.config import ExplorationConfig
from serving.trace import is_fault

if TYPE_CHECKING:
    from serving.live import LiveRelease
    from serving.releases import LoadedRelease

Ids = NDArray[np.int64]

MIN_NEAREST, MIN_PAGES = 0.1, 0.1
"""On the tiny world, releases of two seeds agree by .63 and .67. Shuffled video vectors leave .03 and .22 (pages have other
sources, too); a ranker whose video vectors are shuffled leaves pages at .77, and is not found here."""
_QUERIES, _NEAREST, _AT_ONCE = 32, 100, 4
_LOST = 0.05
"""Recall that an index may lack of what it had when it was built."""
_NO_DIFFERENCE = 4e-3
"""Of two inner products: what 16-bit vectors can get wrong."""
_CANARIES, _PAGE = 16, 10
_DEPTH = 50
"""Videos per page that are compared."""
_TRIALS = 3
"""Pages tried: a busy machine may miss the store's few milliseconds once, a broken part fails every time."""


def recall(index: VectorIndex, video_VD: Floats) -> float:
    """Of the exact nearest to directions between random videos, the share whose equal the index finds. [0, 1]"""
    chosen = rng.stream(0, "release recall").integers(0, len(video_VD), size=(_QUERIES, 3))
    query_QD = video_VD[chosen].sum(axis=1)
    k = min(_NEAREST, max(len(video_VD) // 4, 1))
    _, found_QK = index.search(query_QD, k)
    known = (found_QK >= 0) & (found_QK < len(video_VD))
    reached = []
    for some in blocks(_QUERIES, _AT_ONCE):
        score_QV = query_QD[some] @ video_VD.T
        bound_Q = np.array([np.partition(score_V, len(video_VD) - k)[len(video_VD) - k] for score_V in score_QV])
        score_QK = np.take_along_axis(score_QV, np.where(known[some], found_QK[some], 0), axis=1)
        reached.append(known[some] & (score_QK >= bound_Q[:, None] - _NO_DIFFERENCE))
    return float(np.concatenate(reached).mean())


def check_files(loaded: "LoadedRelease") -> None:
    """The index finds these vectors, and its own video tower made them.

    Raises:
        ReleaseRefused: otherwise.
    """
    indexed, videos = len(loaded.index), len(loaded.video_VD)
    if indexed != videos:
        raise ReleaseRefused(f"the release has an index over {indexed} videos of {videos}; publish it again")
    try:
        found = recall(loaded.index, loaded.video_VD)
    except Exception as error:
        raise ReleaseRefused(f"the release has an index that cannot be searched: {error}") from error
    if found < loaded.index.recall - _LOST:
        raise ReleaseRefused(
            f"the release has an index over other vectors: it finds {found:.3f} of the nearest, and {loaded.index.recall:.3f} "
            "when it was built; publish it again"
        )
    if not _made_by_its_tower(loaded):
        raise ReleaseRefused("the release has video vectors that its own video tower did not make; publish it again")


def _made_by_its_tower(loaded: "LoadedRelease") -> bool:
    tower = VideoEncoder.load(loaded.path)
    if not len(tower):
        return False
    rows = np.linspace(0, min(len(tower), len(loaded.catalogue)) - 1, num=_QUERIES, dtype=np.int32)
    made = tower.encode_rows(rows, loaded.catalogue.uploaded_at[rows], tower.trained_at)
    return bool(np.allclose(made, loaded.video_VD[rows], atol=1e-3))


def check_pages(recommender: Policy, loaded: "LoadedRelease") -> None:
    """Pages for some viewers. They warm every part up, and a part that fails shows here, not to a viewer.

    Raises:
        ReleaseRefused: a part does not work, or a page cannot be right.
    """
    if not len(loaded.catalogue):
        raise ReleaseRefused("the release has no videos; check the log it was trained from")
    requests = canaries(loaded, loaded.end_at + 1, _PAGE)
    for _ in range(_TRIALS):
        slates = _one_by_one(recommender, requests)
        broken = sorted({reason for slate in slates for reason in slate.degraded if is_fault(reason)})
        if not broken:
            break
    wrong = next((fault for slate in slates if (fault := _fault(slate, loaded))), None)
    if broken or wrong:
        raise ReleaseRefused(f"the release does not work: {'; '.join(broken) or wrong}")
    if max(len(slate.video_ids) for slate in slates) > 1 and all(np.ptp(slate.scores["utility"]) == 0 for slate in slates):
        raise ReleaseRefused("the release does not work: on every page, all videos have the same utility")


def canaries(loaded: "LoadedRelease", at: int, k: int) -> list[Request]:
    """Home pages of viewers from all over the release's table, and of somebody it has never seen."""
    ids = loaded.viewers.viewer_ids
    some = ids[np.linspace(0, len(ids) - 1, num=min(_CANARIES, len(ids)), dtype=np.int64)] if len(ids) else ids
    stranger = int(ids.max(initial=0)) + 1
    return [Request(f"canary {viewer_id}", int(viewer_id), at, k=k) for viewer_id in [*some.tolist(), stranger]]


def _fault(slate: Slate, loaded: "LoadedRelease") -> str | None:
    """What cannot be true of a page, whoever asked."""
    ids = slate.video_ids
    if not len(ids):
        return "a page came out empty"
    if len(np.unique(ids)) < len(ids) or (loaded.catalogue.rows(ids) < 0).any():
        return "a page shows a video twice, or one that is not in the catalogue"
    if not all(np.isfinite(values).all() for values in slate.scores.values()):
        return "scores of a page are not numbers"
    return None


@dataclass(frozen=True)
class Agreement:
    """How alike two releases are to viewers: 1 the same lists, 0 as chance has it; on videos that both know."""

    nearest: float
    """Of what the towers find."""
    pages: float
    """Of pages without exploration."""


def agreement(fresh: "LiveRelease", live: "LiveRelease") -> Agreement:
    """Ask both for the canaries of the live one."""
    ours, theirs = fresh.loaded.catalogue, live.loaded.catalogue
    num_common = int(np.count_nonzero(ours.rows(theirs.video_ids) >= 0))
    k = min(_DEPTH, num_common // 4)
    if k < 1:
        return Agreement(0.0, 0.0)
    requests = canaries(live.loaded, max(fresh.loaded.end_at, live.loaded.end_at) + 1, 2 * k)

    def alike(answers: "Callable[[LiveRelease, Sequence[Request]], list[Ids]]") -> float:
        of_fresh = [ids[theirs.rows(ids) >= 0][:k] for ids in answers(fresh, requests)]
        of_live = [ids[ours.rows(ids) >= 0][:k] for ids in answers(live, requests)]
        shared = np.mean([len(np.intersect1d(a, b)) / max(len(a), len(b), 1) for a, b in zip(of_fresh, of_live, strict=True)])
        chance = k / num_common
        return float((shared - chance) / (1 - chance))

    return Agreement(alike(_nearest), alike(_pages))


def require_agreement(fresh: "LiveRelease", live: "LiveRelease") -> None:
    """Raises ReleaseRefused when `fresh` has hardly more in common with the live release than chance gives."""
    found = agreement(fresh, live)
    for what, share, least, why in (
        ("finds for viewers", found.nearest, MIN_NEAREST, "its towers are of other videos"),
        ("shows them", found.pages, MIN_PAGES, "its ranker is of other videos"),
    ):
        if share < least:
            raise ReleaseRefused(
                f"what release {fresh.loaded.release_id} {what} agrees by {share:.3f} with the live one, below {least}: "
                f"{why}, or the data have changed; train it again"
            )


def _nearest(release: "LiveRelease", requests: Sequence[Request]) -> list[Ids]:
    viewer_ids, at = np.array([r.viewer_id for r in requests]), np.array([r.at for r in requests])
    vectors = release.loaded.encoder.encode(release.features.viewer_part(viewer_ids, at))
    rows = release.loaded.index.search(vectors, requests[0].k)[1]
    return [release.loaded.catalogue.video_ids[found[found >= 0]] for found in rows]


def _pages(release: "LiveRelease", requests: Sequence[Request]) -> list[Ids]:
    greedy = replace(release.base.config, exploration=ExplorationConfig(epsilon=0.0))
    return [slate.video_ids for slate in _one_by_one(release.base.build(greedy), requests)]


def _one_by_one(recommender: Policy, requests: Sequence[Request]) -> list[Slate]:
    """Pages in turn: a batch holds the interpreter for longer at a time, and viewers' requests wait for it."""
    return [recommender.recommend([request])[0] for request in requests]
