"""How much does a page lose by not knowing a video, or a viewer, and which stand-in loses least? Asked of the world's truth.

    python -m benchmarks.cold_regret [--space world-tiny]

The regret of a page is 1 − its true worth (satisfied seconds, examination by place) over that of the best possible page of
the same videos. Towers alone, exact search; the world remembers nothing, so its truth is taste, freshness and weekday.

    videos   at the log's end: for videos of one age, pages of 5 of these alone, for every viewer (at most 1,000) as served
      default     the mean of all trained vectors, for every one of them: their order is chance
      category    the mean of the trained vectors of its category
      popularity  its clicks so far
      learned     the video tower on content, channel, category, language and age, as an upload gets it
      trained     its released vector; videos uploaded after training have none, and get `learned`
    viewers  just before the (n + 1)-th click: pages of 10 of all videos that were there and not yet watched
      default     the mean of all viewers' vectors
      popularity  clicks in training
      attributes  the viewer tower on attributes and context, without a history
      learned     the same with the n clicks, as served
      topics      the same with what stands for the three categories that the viewer truly likes best (`serving.onboarding`)

A stand-in is one vector per video or viewer: what an embedding table could hold. `saved` is the share of the default's regret
that a strategy saves, paired over viewers, 95 % interval by resampling viewers. Videos younger than the test period are new to
the towers; older ones are made cold, though the layers did learn from their clicks. One world, one seed.
"""

import argparse
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks import plot, results_file
from benchmarks.plot import Panel, Point
from core import columns as c
from core import config as configs
from core import inference, release, rng, settings
from core.clock import DAY_MS
from core.ragged import Ragged
from data import interactions, versioning
from data.catalogue import lookup
from data.dataset import Dataset
from data.world.config import WorldConfig
from data.world.world import World
from features.memory_store import MemoryStore
from features.online import OnlineFeatures
from pipelines import spaces
from pipelines.evaluation.cases import Cases
from pipelines.evaluation.compare import features_of
from pipelines.gates.questions import snapshot_of
from pipelines.spaces import Space
from retrieval.encoder import VideoEncoder
from serving.onboarding import Onboarding
from serving.releases import LoadedRelease, load_release

Floats = NDArray[np.floating[Any]]
VIDEO_PAGE, VIEWER_PAGE, MOST_VIEWERS, TOPICS = 5, 10, 1_000, 3
AGES_DAYS = (0, 4, 7, 14, 30, 90)
CLICKS = (0, 1, 2, 4, 8, 16)
DEFAULT = "default"
_PICTURE = Path(__file__).parent.parent / "docs" / "images" / "cold-regret.svg"


@dataclass(frozen=True)
class Scene:
    """The release, its log and the truth behind it."""

    loaded: LoadedRelease
    dataset: Dataset
    world: World
    row_V: NDArray[np.int64]
    """The world's row of every video of the catalogue."""

    def worth(self, viewer_ids: NDArray[np.int64], at_N: NDArray[np.int64], chosen_V: NDArray[np.int64]) -> Floats:
        """True satisfied seconds of some videos of the catalogue at the top of a page. [N, V']"""
        rows = lookup(self.world.viewer_ids, viewer_ids)
        found = [
            self.world.expected_satisfaction(row, self.row_V[chosen_V], at) for row, at in zip(rows, at_N.tolist(), strict=True)
        ]
        return np.stack(found)

    def regret(self, worth_NV: Floats, score_NV: Floats, k: int) -> Floats:
        """[N] what pages by score lose against the best; worth −inf is not on offer, ties in score are left to chance."""
        draw_NV = rng.stream(1, "cold regret ties").random(worth_NV.shape)
        shown = np.where(np.isfinite(worth_NV), score_NV, -np.inf)
        order_NV = np.lexsort((draw_NV, -shown), axis=1)[:, :k]
        chance_K = self.world.truth.examination(np.arange(k))
        best_NK = -np.sort(-worth_NV, axis=1)[:, :k]
        got = (np.take_along_axis(worth_NV, order_NV, axis=1) * chance_K).sum(axis=1)
        return np.asarray(1.0 - got / (best_NK * chance_K).sum(axis=1), dtype=np.float64)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--space", default=None, help="dataset of a world; the last trained one by default")
    parser.add_argument("--picture", type=Path, default=_PICTURE, help="write the plot here")
    arguments = parser.parse_args()
    space = spaces.current(settings.load().var_dir, arguments.space)
    result = measure(space)
    print(json.dumps(result, indent=1))
    draw(result, arguments)
    results_file.keep(f"cold-regret-{space.name}", result, arguments)


def measure(space: Space) -> dict[str, Any]:
    """Both halves."""
    loaded = load_release(space.releases, release.resolve(space.releases, "live") or "")
    dataset = versioning.open_snapshot(space.snapshots, snapshot_of(loaded))
    world = World(configs.from_dict(WorldConfig, json.loads(space.world.read_text())))
    scene = Scene(loaded, dataset, world, lookup(world.video_ids, loaded.catalogue.video_ids).astype(np.int64))
    viewers = np.intersect1d(loaded.viewers.viewer_ids, world.viewer_ids)
    asked = np.sort(rng.stream(1, "cold regret viewers").permutation(viewers)[:MOST_VIEWERS])
    return {
        "videos": len(loaded.catalogue),
        "viewers": len(asked),
        "video_page": VIDEO_PAGE,
        "viewer_page": VIEWER_PAGE,
        "videos_by_age_days": videos_by_age(scene, asked),
        "viewers_by_clicks": viewers_by_clicks(scene, asked),
    }


def videos_by_age(scene: Scene, viewers: NDArray[np.int64]) -> list[dict[str, Any]]:
    """For every age with enough videos: regret of each strategy, and what it saves."""
    loaded, at = scene.loaded, scene.dataset.end_at
    cases = Cases(
        viewers,
        np.full(len(viewers), at),
        _nothing_watched(len(viewers)),
        np.ones(len(viewers), bool),
        loaded.catalogue.uploaded_at,
    )
    served = features_of(scene.dataset, loaded.catalogue, loaded.viewers, cases, loaded.definitions)
    viewer_ND = loaded.encoder.encode(served.viewer_part(np.arange(len(viewers))))
    vectors = video_vectors(scene)
    clicks_V = interactions.clicks(scene.dataset.events, loaded.catalogue.video_ids).counts()
    found = []
    for since, until in itertools.pairwise(AGES_DAYS):
        age_V = (at - loaded.catalogue.uploaded_at) / DAY_MS
        chosen_V = np.flatnonzero((age_V >= since) & (age_V < until))
        if len(chosen_V) < 3 * VIDEO_PAGE:
            continue
        worth_NV = scene.worth(viewers, cases.at, chosen_V)
        scores = {name: viewer_ND @ video_VD[chosen_V].T for name, video_VD in vectors.items()}
        scores["popularity"] = np.tile(clicks_V[chosen_V], (len(viewers), 1))
        regret = {name: scene.regret(worth_NV, score, VIDEO_PAGE) for name, score in scores.items()}
        found.append({"days": [since, until], "videos": len(chosen_V), "strategies": summary(regret, viewers)})
    return found


def video_vectors(scene: Scene) -> dict[str, NDArray[np.float32]]:
    """[V, D] what stands for every video, by strategy."""
    loaded, videos = scene.loaded, scene.loaded.catalogue
    tower = VideoEncoder.load(loaded.path)
    learned = tower.encode(videos.content, videos.codes, videos.uploaded_at, scene.dataset.end_at)
    known = videos.uploaded_at < int(loaded.lineage["split"]["test_from"])
    everywhere = np.tile(loaded.video_VD[known].mean(axis=0), (len(videos), 1))
    by_category = everywhere.copy()
    for code in np.unique(videos.category):
        inside = videos.category == code
        if (inside & known).any():
            by_category[inside] = loaded.video_VD[inside & known].mean(axis=0)
    trained = np.where(known[:, None], loaded.video_VD, learned)
    return {DEFAULT: everywhere, "category": by_category, "learned": learned, "trained": trained}


def viewers_by_clicks(scene: Scene, viewers: NDArray[np.int64]) -> list[dict[str, Any]]:
    """For every number of clicks so far: regret of each strategy, and what it saves."""
    loaded = scene.loaded
    clicks = interactions.clicks(scene.dataset.events, loaded.catalogue.video_ids)
    moments = pl.DataFrame({"viewer": clicks.viewer_ids[clicks.viewer_rows], "video": clicks.video_rows, c.EVENT_AT: clicks.at})
    by_viewer = (
        moments.filter(pl.col("viewer").is_in(viewers.tolist()))
        .sort("viewer", c.EVENT_AT)
        .group_by("viewer", maintain_order=True)
    )
    logs = by_viewer.agg(pl.all()).to_dicts()
    before_test = clicks.before(int(loaded.lineage["split"]["test_from"])).counts()
    blank = OnlineFeatures(loaded.definitions, loaded.catalogue, loaded.viewers, MemoryStore(), loaded.video_state)
    onboarding = Onboarding(loaded.catalogue, loaded.activity(scene.dataset.events))
    found = []
    for num in CLICKS:
        some = [log for log in logs if len(log["video"]) > num]
        if len(some) < 30:
            continue
        watched = Ragged.of([np.array(log["video"][:num], dtype=np.int32) for log in some])
        ids = np.array([log["viewer"] for log in some])
        at = np.array([log[c.EVENT_AT][num] for log in some])
        cases = Cases(ids, at, watched, np.ones(len(ids), bool), loaded.catalogue.uploaded_at)
        worth_NV = cases.hide(scene.worth(ids, at, np.arange(len(loaded.catalogue))).astype(np.float32), slice(0, len(ids)))
        served = features_of(scene.dataset, loaded.catalogue, loaded.viewers, cases, loaded.definitions)
        part = served.viewer_part(np.arange(len(ids)))
        learned = loaded.encoder.encode(part)
        vectors = {
            DEFAULT: np.tile(learned.mean(axis=0), (len(ids), 1)),
            "attributes": loaded.encoder.encode(blank.viewer_part(ids, at)),
            "learned": learned,
            "topics": loaded.encoder.encode(onboarding.begin(part, liked(scene, worth_NV), at)),
        }
        scores = {name: vector_ND @ loaded.video_VD.T for name, vector_ND in vectors.items()}
        scores["popularity"] = np.tile(before_test, (len(ids), 1))
        regret = {name: scene.regret(worth_NV, score, VIEWER_PAGE) for name, score in scores.items()}
        found.append({"clicks": num, "viewers": len(ids), "strategies": summary(regret, ids)})
    return found


def liked(scene: Scene, worth_NV: Floats) -> list[list[str]]:
    """Of each viewer the categories whose videos are worth most on average, best first; worth −inf is not on offer."""
    names, category_V = scene.loaded.catalogue.vocabularies[0].values, scene.loaded.catalogue.category
    offered_NV = np.isfinite(worth_NV)
    inside_VC = category_V[:, None] == np.arange(1, len(names))
    total_NC = np.where(offered_NV, worth_NV, 0.0) @ inside_VC
    mean_NC = total_NC / np.maximum(offered_NV.astype(np.float64) @ inside_VC, 1)
    return [[names[code + 1] for code in order] for order in np.argsort(-mean_NC, axis=1)[:, :TOPICS].tolist()]


def summary(regret: Mapping[str, Floats], viewers: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """Mean regret with its interval, and the share of the default's that is saved."""
    found = {}
    for name, values in regret.items():
        mean = inference.cluster_interval(values, viewers)
        saved = inference.paired_bootstrap(regret[DEFAULT], values, viewers, rng.stream(1, "cold regret", name))
        whole = float(regret[DEFAULT].mean())
        shares = {"saved": saved.mean / whole, "saved_low": saved.low / whole, "saved_high": saved.high / whole}
        figures = {"regret": mean.mean, "low": mean.low, "high": mean.high, **(shares if name != DEFAULT else {})}
        found[name] = {key: round(float(value), 4) for key, value in figures.items()}
    return found


def draw(result: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    """Regret by age as a picture."""
    halves = (
        ("New videos", "age of the videos, days", result["videos_by_age_days"], lambda row: "–".join(map(str, row["days"]))),
        ("New viewers", "clicks so far", result["viewers_by_clicks"], lambda row: str(row["clicks"])),
    )
    panels = []
    for title, x, rows, tick in halves:
        series = {
            name: [
                Point(place, of["regret"], of["low"], of["high"])
                for place, of in enumerate(r["strategies"][name] for r in rows)
            ]
            for name in (rows[0]["strategies"] if rows else [])
        }
        panels.append(Panel(title, x, "regret of a page", series, {place: tick(row) for place, row in enumerate(rows)}))
    arguments.picture.write_text(plot.draw(panels))


def _nothing_watched(num: int) -> Ragged:
    return Ragged(np.zeros(num + 1, dtype=np.int64), np.zeros(0, dtype=np.int32))


if __name__ == "__main__":
    main()
