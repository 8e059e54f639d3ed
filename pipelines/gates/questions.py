"""The same questions for two releases, though each has its own catalogue and was trained on its own snapshot.

The questions are the test clicks of the later of the two snapshots, after the later of the two test cuts, so that neither
release has learned from any of them. Each answers from its own files, with features read point in time; its videos are then
named by the catalogue of the snapshot that asks, and a video that this catalogue lacks is a miss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core import release
from core.errors import ReleaseRefused
from data import interactions as logs
from data import versioning
from data.catalogue import Catalogue, ViewerTable
from data.dataset import Dataset
from data.interactions import Interactions
from data.splits import Pairs, find_leaks
from pipelines import presets
from pipelines.evaluation import chance, representative, slices
from pipelines.evaluation.cases import Cases, HeldOut, time_split
from pipelines.evaluation.compare import PROTOCOL, features_of, two_stage
from pipelines.evaluation.evaluate import FittedModels, TwoStage, evaluate, fit_baselines
from pipelines.evaluation.leaderboard import About, Leaderboard
from pipelines.presets import RunConfig
from pipelines.reader import OfflineReader
from pipelines.spaces import Space
from serving.releases import LoadedRelease

TOP = 10
CANDIDATE = chance.NEXT
"""What the leaderboard calls the release."""


@dataclass(frozen=True)
class Questions:
    """What every model is asked, and what baselines may learn from."""

    dataset: Dataset
    catalogue: Catalogue
    """Names the videos of all answers."""
    viewers: ViewerTable
    clicks: Interactions
    test_from: int
    held_out: HeldOut
    run: RunConfig
    """Of the release whose snapshot asks."""

    @staticmethod
    def of(space: Space, releases: Sequence[LoadedRelease]) -> "Questions":
        """Raises BadInput when a snapshot is gone, ReleaseRefused for a release without a manifest."""
        asks = max(releases, key=lambda loaded: loaded.end_at)
        run = presets.recorded(asks.lineage["run"])
        dataset = versioning.open_snapshot(space.snapshots, snapshot_of(asks))
        clicks = logs.clicks(dataset.events, asks.catalogue.video_ids)
        test_from = max(int(loaded.lineage["split"]["test_from"]) for loaded in releases)
        uploaded_at = asks.catalogue.uploaded_at
        held_out = time_split(clicks, test_from, uploaded_at, max_cases=run.evaluation.max_cases, seed=run.seed)
        return Questions(dataset, asks.catalogue, asks.viewers, clicks, test_from, held_out, run)


class Answered:
    """A release as a model (`pipelines.evaluation.evaluate.TwoStage`) that also remembers its pages."""

    def __init__(self, loaded: LoadedRelease, questions: Questions, order: str = CANDIDATE) -> None:
        """order: row of the leaderboard, one of `chance.orders`."""
        cases = questions.held_out.cases
        features = features_of(questions.dataset, loaded.catalogue, loaded.viewers, cases, loaded.definitions)
        reader = OfflineReader(features, cases.viewer_ids, cases.at)
        formula = chance.orders(loaded)[order]
        self._ranked = two_stage(loaded, reader, questions.dataset, formula)
        self._rows = questions.catalogue.rows(loaded.catalogue.video_ids)
        self.pages_NK = np.full((len(cases), TOP), -1, dtype=np.int32)
        """First ten of each case, once asked."""

    @property
    def model(self) -> TwoStage:
        """What evaluation asks."""
        return TwoStage(self._rank)

    def _rank(self, cases: Cases, chosen: slice) -> NDArray[np.int32]:
        own = self._ranked(cases, chosen)
        ranked = np.where(own >= 0, self._rows[own], -1).astype(np.int32)
        self.pages_NK[chosen] = ranked[:, :TOP]
        return ranked


def leaderboard(questions: Questions, answered: Mapping[str, Answered]) -> Leaderboard:
    """The baselines, tuned on what came before the test, and the release in each order."""
    limits, held_out, uploaded_at = questions.run.evaluation, questions.held_out, questions.catalogue.uploaded_at
    train = questions.clicks.before(questions.test_from)
    fitted = fit_baselines(
        train,
        uploaded_at=uploaded_at,
        max_validation=limits.max_validation,
        max_ease_videos=limits.ease_videos,
        seed=questions.run.seed,
    )
    about = About(
        leaks=find_leaks(Pairs.of(train), held_out.pairs(), uploaded_at),
        labels=slices.label(held_out, questions.catalogue, questions.viewers),
        shifts=representative.before_and_after(questions.clicks, questions.test_from, questions.catalogue.category),
    )
    models = fitted | FittedModels({name: each.model for name, each in answered.items()})
    return evaluate(models, held_out, PROTOCOL, about=about, seed=questions.run.seed)


def trained_of(space: Space, release_id: str) -> str:
    """The release whose training made the models: itself, or what it is a refresh of, however often. Raises ReleaseRefused."""
    while before := release.load(space.releases, release_id).manifest.metrics.get("refresh_of"):
        release_id = before
    return release_id


def snapshot_of(loaded: LoadedRelease) -> str:
    """The snapshot it was trained from."""
    if loaded.manifest is None:
        raise ReleaseRefused(f"the files in {loaded.path} are not published: they do not say what they were trained from")
    return loaded.manifest.snapshot
