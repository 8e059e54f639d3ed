"""The leaderboard of a training run: tuned baselines, the towers alone, and both stages.

Both models are read from the files of the release, and the two-stage system is `serving.recommender` itself over features read
point in time. Weights are from before t0; a viewer's own later clicks enter the history, never the training.

The question of the leaderboard is which video is clicked next *in this log*, and part of the answer is what its policy liked to
show. `two_stage` answers it: ordered by the head that learned from lists. `as_served` is the order of the pages, by what a
viewer makes of a video once it is shown; what that is worth, pages of chance tell (`pipelines.evaluation.chance`). A log
without impressions has one order, and one row.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core import release
from core.clock import HOUR_MS, SECOND_MS
from core.errors import BadInput
from core.policy import Request
from data import interactions as logs
from data import versioning
from data.catalogue import Catalogue, ViewerTable
from data.dataset import Dataset
from data.splits import Pairs, TimeSplit, find_leaks
from features import offline
from features.definitions import Definitions
from pipelines import presets
from pipelines.evaluation import chance, representative, slices
from pipelines.evaluation.cases import Cases, time_split
from pipelines.evaluation.evaluate import DEPTH, FittedModels, Model, Towers, TwoStage, evaluate, fit_baselines
from pipelines.evaluation.leaderboard import About, Leaderboard
from pipelines.presets import RunConfig
from pipelines.progress import Stages
from pipelines.reader import OfflineReader
from pipelines.spaces import Space
from ranking.config import CombineConfig
from serving.releases import CATALOGUE, LINEAGE, VIEWERS, LoadedRelease, open_files

PROTOCOL = (
    "global time split: every first click after t0 is a case, one target, full catalogue, seen videos filtered, "
    "weights from before t0"
)

_PAGE = 20
"""What is served at most of a page when nDCG@20 is measured."""


def compare(
    dataset: Dataset,
    path: Path,
    catalogue: Catalogue,
    viewers: ViewerTable,
    split: TimeSplit,
    config: RunConfig,
    advance: Callable[[float, str], None],
    fitting_s: Mapping[str, float] | None = None,
) -> Leaderboard:
    """Fit the baselines, load the release's files, measure all on the same cases; `fitting_s` is what models took before."""
    advance(0.0, "tuning baselines")
    clicks = logs.clicks(dataset.events, catalogue.video_ids)
    limits = config.evaluation
    held_out = time_split(clicks, split.test_from, catalogue.uploaded_at, max_cases=limits.max_cases, seed=config.seed)
    train = clicks.before(split.test_from)
    fitted = fit_baselines(
        train,
        uploaded_at=catalogue.uploaded_at,
        max_validation=limits.max_validation,
        max_ease_videos=limits.ease_videos,
        seed=config.seed,
    )
    advance(0.6, "two towers and two stages")
    loaded = open_files(path)
    fitted |= FittedModels(release_models(loaded, dataset, viewers, held_out.cases), fitting_s or {})
    about = About(
        leaks=find_leaks(Pairs.of(train), held_out.pairs(), catalogue.uploaded_at),
        labels=slices.label(held_out, catalogue, viewers),
        shifts=representative.before_and_after(clicks, split.test_from, catalogue.category),
        sightings=train.counts(),
        replay=chance.replay(loaded, dataset, split.test_from, train.counts(), config.seed),
    )
    return evaluate(fitted, held_out, PROTOCOL, about=about, seed=config.seed)


@dataclass(frozen=True)
class Again:
    """A release that was measured once more, and what it was made from."""

    leaderboard: Leaderboard
    config: RunConfig
    release: str
    snapshot: str


def again(space: Space, stages: Stages) -> Again:
    """Measure the live release of a space once more, on the snapshot it was trained from.

    Raises:
        BadInput: nothing is live.
    """
    live = release.resolve(space.releases, "live")
    if live is None:
        raise BadInput(f"no release of '{space.name}' is live; run `upnext train` first")
    with stages("open") as stage:
        found = release.load(space.releases, live)
        dataset = versioning.open_snapshot(space.snapshots, found.manifest.snapshot)
        lineage = json.loads((found.path / LINEAGE).read_text())
        config, split = presets.recorded(lineage["run"]), TimeSplit(**lineage["split"])
        catalogue, viewers = Catalogue.load(found.path / CATALOGUE), ViewerTable.load(found.path / VIEWERS)
        stage.note = live
    with stages("evaluate") as stage:
        leaderboard = compare(dataset, found.path, catalogue, viewers, split, config, stage.advance)
    return Again(leaderboard, config, live, found.manifest.snapshot)


def trained_s(towers_s: float, ranker_s: float) -> dict[str, float]:
    """Seconds of training behind each row of `release_models`; for rows that it does not have, too."""
    return {"two_tower": towers_s, **dict.fromkeys((chance.NEXT, chance.SERVED), towers_s + ranker_s)}


def release_models(loaded: LoadedRelease, dataset: Dataset, viewers: ViewerTable, cases: Cases) -> dict[str, Model]:
    """The towers alone and both stages in each order, from a release's files, over features of these cases' moments."""
    features = features_of(dataset, loaded.catalogue, viewers, cases, loaded.definitions)
    reader = OfflineReader(features, cases.viewer_ids, cases.at)

    def encode(_: Cases, chosen: slice) -> NDArray[np.float32]:
        return loaded.encoder.encode(features.viewer_part(np.arange(len(cases))[chosen]))

    stages = {name: TwoStage(two_stage(loaded, reader, dataset, order)) for name, order in chance.orders(loaded).items()}
    return {"two_tower": Towers(loaded.video_VD, encode), **stages}


def features_of(
    dataset: Dataset, catalogue: Catalogue, viewers: ViewerTable, cases: Cases, definitions: Definitions | None = None
) -> offline.OfflineFeatures:
    """The features of every case's viewer, and of any video, at the case's moment; all declared ones by default."""
    rows = np.zeros(len(cases), dtype=np.int32)  # the features of no particular video are asked for
    return offline.build(
        dataset.events, catalogue, viewers,
        viewer_ids=cases.viewer_ids, at=cases.at, video_rows=rows, with_seen=True, definitions=definitions,
    )  # fmt: skip


def two_stage(
    loaded: LoadedRelease, reader: OfflineReader, dataset: Dataset, order: CombineConfig
) -> Callable[[Cases, slice], NDArray[np.int32]]:
    """The recommender with a formula, asked for every case: its page in order, then whatever else it retrieved."""
    # Nothing is left to chance, and trends are read once per hour of the log.
    explored = replace(loaded.config.exploration, epsilon=0.0)
    config = replace(loaded.config, exploration=explored, refresh_s=HOUR_MS / SECOND_MS)
    loaded = replace(loaded, scorer=replace(loaded.scorer, combine=order))
    recommender = loaded.recommender(reader, videos=loaded.activity(dataset.events), config=config)

    def ranked(cases: Cases, chosen: slice) -> NDArray[np.int32]:
        asked = zip(cases.viewer_ids[chosen].tolist(), cases.at[chosen].tolist(), strict=True)
        requests = [Request(f"case-{chosen.start + i}", viewer, at, k=_PAGE) for i, (viewer, at) in enumerate(asked)]
        pages = np.full((len(requests), _PAGE), -1, dtype=np.int32)
        decided = recommender.decide(requests)
        for page, slate in zip(pages, decided.slates, strict=True):
            page[: len(slate.video_ids)] = loaded.catalogue.rows(slate.video_ids)
        return _followed_by(pages, decided.candidates.rows_BK)

    return ranked


def _followed_by(pages_NP: NDArray[np.int32], retrieved_NK: NDArray[np.int32]) -> NDArray[np.int32]:
    """The pages, then whatever else was retrieved: what recall looks at, where order no longer matters."""
    on_page = (retrieved_NK[:, :, None] == pages_NP[:, None, :]).any(axis=2)
    rest = np.where(on_page, -1, retrieved_NK)
    order = np.argsort(rest < 0, axis=1, kind="stable")
    return np.concatenate([pages_NP, np.take_along_axis(rest, order, axis=1)], axis=1)[:, :DEPTH]
