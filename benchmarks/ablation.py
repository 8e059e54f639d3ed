"""What does the ranker lose without a group of its inputs? It is trained again without each, and served without it.

    python -m benchmarks.ablation --world tiny --seeds 3

A hidden number is 0, a hidden code "unknown", a hidden history empty: in the training rows and in front of the served scorer
alike, so a model never meets an input that it was not trained on. Retrieval stays as it is. Values are means over seeds, case
by case; differences to the full ranker are paired, with intervals over viewers and q values over all groups. The seeds of the
full ranker say how much of this is luck. What the ranker looks up by itself (a video's own vector and its content) stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks import models, results_file
from core import inference
from data import interactions as logs
from data.catalogue import ViewerTable
from data.splits import global_time_split
from features.schema import FeatureBatch, FeatureSchema
from pipelines import fit, labelling, presets
from pipelines.evaluation import compare
from pipelines.evaluation.cases import HeldOut, time_split
from pipelines.evaluation.evaluate import TwoStage, measure
from pipelines.evaluation.leaderboard import GIVEN_RETRIEVED, MAIN
from pipelines.presets import RunConfig
from pipelines.progress import unwatched
from pipelines.reader import OfflineReader
from pipelines.releases import bundle
from ranking import export, train
from ranking.batches import Impressions, Lists, RankingData
from ranking.config import NEXT_CLICK
from ranking.scorer import Scorer
from serving.releases import LoadedRelease, open_files

Floats = NDArray[np.float32]
Rows = TypeVar("Rows", Impressions, Lists)


@dataclass(frozen=True)
class Hidden:
    """A group of inputs that the ranker does without."""

    name: str
    schema: FeatureSchema
    columns: frozenset[str] = frozenset()
    history: bool = False
    affinity: bool = False

    def batch(self, batch: FeatureBatch) -> FeatureBatch:
        """The batch without them."""
        viewer = replace(
            batch.viewer,
            dense_BF=self._without(batch.viewer.dense_BF, self.schema.viewer_dense),
            codes_BC=self._without(batch.viewer.codes_BC, self.schema.viewer_codes),
            history_BL=np.full_like(batch.viewer.history_BL, -1) if self.history else batch.viewer.history_BL,
        )
        return replace(
            batch,
            viewer=viewer,
            video_dense_BKF=self._without(batch.video_dense_BKF, self.schema.video_dense),
            cross_dense_BKF=self._without(batch.cross_dense_BKF, self.schema.cross_dense),
            cross_codes_BKC=self._without(batch.cross_codes_BKC, self.schema.cross_codes),
        )

    def scores(self, affinity: Floats) -> Floats:
        """The towers' score, or nothing."""
        return np.zeros_like(affinity) if self.affinity else affinity

    def data(self, data: RankingData) -> RankingData:
        """The training rows without them."""
        return replace(data, impressions=self._rows(data.impressions), lists=self._rows(data.lists))

    def _rows(self, rows: Rows | None) -> Rows | None:
        if rows is None:
            return None
        provide = rows.features
        return replace(rows, features=lambda chosen: self.batch(provide(chosen)), affinity=self.scores(rows.affinity))

    def _without(self, values: NDArray, names: Sequence[str]) -> NDArray:
        keep = np.array([name not in self.columns for name in names], dtype=values.dtype)
        return values * keep if len(names) else values


@dataclass(frozen=True)
class BlindScorer(Scorer):
    """A scorer that is never shown the hidden inputs."""

    hidden: Hidden

    def logits(self, batch: FeatureBatch, affinity_BK: Floats) -> Floats:
        """See Scorer."""
        return super().logits(self.hidden.batch(batch), self.hidden.scores(affinity_BK))


@dataclass(frozen=True)
class Bench:
    """Everything that stays the same while groups come and go."""

    loaded: LoadedRelease
    reader: OfflineReader
    held_out: HeldOut
    material: fit.Material
    data: RankingData

    def measure(self, hidden: Hidden, config: RunConfig, seeds: Sequence[int]) -> dict[str, NDArray[np.float64]]:
        """[S, N] of every metric for rankers trained and served without the hidden inputs."""
        found = [self._once(hidden, replace(config, ranker=replace(config.ranker, seed=seed))) for seed in seeds]
        return {metric: np.stack([values[metric] for values in found]) for metric in (MAIN, GIVEN_RETRIEVED)}

    def _once(self, hidden: Hidden, config: RunConfig) -> dict[str, NDArray[np.float64]]:
        material = self.material
        ranker = train.train(config.ranker, material.schema, material.catalogue, hidden.data(self.data))
        with TemporaryDirectory() as folder:
            export.export(ranker, Path(folder), material.catalogue)
            scorer = Scorer.load(Path(folder), material.catalogue)
        parts = {spec.name: getattr(scorer, spec.name) for spec in fields(scorer)}
        loaded = replace(self.loaded, scorer=BlindScorer(**parts, hidden=hidden))
        return measure(TwoStage(compare.two_stage(loaded, self.reader, material.dataset, NEXT_CLICK)), self.held_out)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--world", choices=tuple(models.WORLDS), default="tiny")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    config, seeds = presets.tiny(), range(1, arguments.seeds + 1)
    with TemporaryDirectory() as folder:
        bench = prepare(arguments.world, config, Path(folder))
        groups = hidden_groups(bench.material.schema)
        found = {hidden.name: bench.measure(hidden, config, seeds) for hidden in groups}
    rows = table(found, bench.held_out.cases.viewer_ids)
    for row in rows:
        end, given = row[MAIN], row[GIVEN_RETRIEVED]
        print(f"{row['hidden']:<22} {end['value']:.4f} {_shown(end)}   given retrieved {given['value']:.4f} {_shown(given)}")
    full = [float(value) for value in found[groups[0].name][MAIN].mean(axis=1)]
    print(f"full ranker by seed: {', '.join(f'{value:.4f}' for value in full)}")
    result = {"cases": len(bench.held_out), "full_by_seed": full, "groups": rows}
    results_file.keep(f"ablation-{arguments.world}", result, arguments)


def prepare(world: str, config: RunConfig, folder: Path) -> Bench:
    """Train towers and one full ranker, write a release, and ask its test clicks."""
    dataset = models.open_log(world)
    viewers = ViewerTable.of(dataset.viewers)
    split = global_time_split(dataset.events, config.split.test_fraction, config.split.ranker_fraction)
    catalogue, early = labelling.catalogues(dataset, split, folder, wanted=config.labels)
    material = fit.prepare(dataset, catalogue, viewers, split, early)
    first = fit.towers(material, config, until=split.ranker_from, advance=unwatched)
    data = fit.ranking_data(material, config, first)
    ranker = train.train(config.ranker, material.schema, catalogue, data)
    towers = fit.towers(material, config, until=split.test_from, warm_start=first, advance=unwatched)
    staged = bundle.write(folder / "release", material, towers, ranker, config, 0)
    clicks = logs.clicks(dataset.events, catalogue.video_ids)
    held_out = time_split(clicks, split.test_from, catalogue.uploaded_at, max_cases=config.evaluation.max_cases)
    cases = held_out.cases
    reader = OfflineReader(compare.features_of(dataset, catalogue, viewers, cases), cases.viewer_ids, cases.at)
    return Bench(open_files(staged.path), reader, held_out, material, data)


def hidden_groups(schema: FeatureSchema) -> list[Hidden]:
    """Nothing hidden, then one group after the other."""
    facts = frozenset(name for name in schema.video_dense if name.startswith(("video_age", "video_duration")))
    columns = {
        "viewer numbers": frozenset(schema.viewer_dense),
        "attributes, context": frozenset(schema.viewer_codes),
        "video counters": frozenset(schema.video_dense) - facts,
        "video age and length": facts,
        "match with history": frozenset(schema.cross_dense),
        "crossed codes": frozenset(schema.cross_codes),
    }
    named = [Hidden(name, schema, hidden) for name, hidden in columns.items()]
    single = [Hidden("history", schema, history=True), Hidden("score of the towers", schema, affinity=True)]
    return [Hidden("nothing", schema), *named, *single]


def table(found: dict[str, dict[str, NDArray[np.float64]]], viewer_ids: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Per group: the mean and, but for the first (nothing hidden), the paired difference to it."""
    full, *others = found
    rows: list[dict[str, Any]] = [{"hidden": name} for name in found]
    for metric in (MAIN, GIVEN_RETRIEVED):
        mean = {name: values[metric].mean(axis=0) for name, values in found.items()}
        known = ~np.isnan(mean[full])
        paired = {name: inference.cluster_interval((mean[name] - mean[full])[known], viewer_ids[known]) for name in others}
        q = dict(zip(others, inference.benjamini_hochberg([interval.p for interval in paired.values()]), strict=True))
        for row in rows:
            name = row["hidden"]
            row[metric] = {"value": float(mean[name][known].mean())}
            if name in paired:
                row[metric] |= {"difference": paired[name].to_json(), "q": float(q[name])}
    return rows


def _shown(found: dict[str, Any]) -> str:
    if "difference" not in found:
        return ""
    change = found["difference"]
    return f"{change['mean']:+.4f} [{change['low']:+.4f}, {change['high']:+.4f}] q {found['q']:.3f}"


if __name__ == "__main__":
    main()
