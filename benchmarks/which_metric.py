"""Which offline metric should one trust? Policies of very different quality, in a world whose truth can be asked.

    python -m benchmarks.which_metric --world tiny

Each policy ranks twice: for the test clicks of the log, which give every offline metric, and for the page that each of those
viewers would get at t0, which the world values exactly: expected satisfied seconds (watched and not regretted), watch seconds
and clicks. A metric is as good as its order of the policies: Kendall's τ and Spearman's ρ against the true satisfied seconds,
with 95 % intervals from resampling viewers. Policies: real models, two oracles that know the truth about clicks or about
satisfaction, chance, and real models with a share of their ranking shuffled. The log was written by a policy that likes popular
videos, so offline metrics inherit its taste; that is part of the answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from benchmarks import models, results_file
from core import columns as c
from core import events as ev
from core import metrics, rng
from core.ragged import Ragged
from data import interactions as logs
from data.catalogue import Catalogue, ViewerTable
from data.dataset import Dataset
from data.interactions import Interactions
from data.splits import TimeSplit, global_time_split
from data.world.world import World
from pipelines import fit, presets
from pipelines.evaluation import compare
from pipelines.evaluation.cases import Cases, HeldOut, time_split
from pipelines.evaluation.evaluate import DEPTH, Model, measure
from pipelines.presets import RunConfig
from pipelines.releases import bundle
from retrieval.baselines import top_k
from serving.releases import open_files

Floats = NDArray[np.float64]
PAGE = 10
DRAWS = 300
ORACLES = ("oracle clicks", "oracle satisfaction")


@dataclass(frozen=True)
class Known:
    """Ranks by what only the world knows."""

    value: Callable[..., Floats]

    def rank(self, cases: Cases, rows: slice) -> NDArray[np.int32]:
        """See Model."""
        videos = np.arange(cases.num_videos)
        viewers = cases.viewer_ids[rows, None] - 1  # the world's rows
        return top_k(cases.hide(self.value(viewers, videos, cases.at[rows, None]).astype(np.float32), rows), DEPTH)


@dataclass(frozen=True)
class Shuffled:
    """A ranking in which a share of the places is drawn anew; with `share` 1, chance."""

    model: Model
    share: float

    def rank(self, cases: Cases, rows: slice) -> NDArray[np.int32]:
        """See Model."""
        ranked = self.model.rank(cases, rows)
        random = rng.stream(1, "shuffled", str(self.share), rows.start)
        place = np.broadcast_to(np.arange(ranked.shape[1], dtype=np.float64), ranked.shape)
        filled = (ranked >= 0).sum(axis=1, keepdims=True)
        moved = random.random(ranked.shape) < self.share
        key = np.where(moved, random.random(ranked.shape) * filled, place)
        return np.take_along_axis(ranked, np.argsort(np.where(ranked >= 0, key, np.inf), axis=1, kind="stable"), axis=1)


@dataclass(frozen=True)
class Setting:
    """A log, its test clicks, and the pages of their viewers at t0."""

    world: World
    """Remembers what happened before t0, and nothing later."""
    dataset: Dataset
    split: TimeSplit
    clicks: Interactions
    test: HeldOut
    pages: Cases
    """[W] one per viewer with a test click."""
    watch_s: Floats
    """[N] what came of each test click: seconds watched, 0 if regretted."""


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--world", choices=tuple(models.WORLDS), default="tiny")
    arguments = parser.parse_args()
    setting, config = open_setting(arguments.world), presets.tiny()
    with TemporaryDirectory() as folder:
        for_test, for_pages = _policies(setting, config, Path(folder))
        offline = {name: offline_metrics(model, setting) for name, model in for_test.items()}
        truth = {name: true_values(model, setting) for name, model in for_pages.items()}
    result = {"viewers": len(setting.pages), "cases": len(setting.test), **report(offline, truth, setting)}
    for row in result["policies"]:
        shown = "  ".join(f"{name} {row[name]:8.4f}" for name in ("satisfied_s", "clicks", "hr@10", "ndcg@10"))
        print(f"{row['policy']:<24} {shown}")
    for row in result["metrics"]:
        bounds = "[{:+.2f}, {:+.2f}]"
        print(
            f"{row['metric']:<22} τ {row['kendall']:+.2f} {bounds.format(*row['kendall_interval'])}"
            f"   without oracles {row['kendall_real']:+.2f} {bounds.format(*row['kendall_real_interval'])}"
        )
    results_file.keep(f"which-metric-world-{arguments.world}", result, arguments)


def open_setting(name: str) -> Setting:
    """Make the world and its log, and cut the log."""
    dataset, world = models.open_log(name), World(models.WORLDS[name]())
    split = global_time_split(dataset.events)
    world.remember(dataset.events.filter(pl.col(c.RECEIVED_AT) < split.test_from))
    video_ids = dataset.videos[c.VIDEO_ID].to_numpy()
    clicks = logs.clicks(dataset.events, video_ids)
    test = time_split(clicks, split.test_from, dataset.videos[c.UPLOADED_AT].fill_null(0).to_numpy())
    viewer_ids = np.unique(test.cases.viewer_ids)
    known = clicks.before(split.test_from)
    rows = np.searchsorted(known.viewer_ids, viewer_ids)
    pages = Cases(
        viewer_ids=viewer_ids,
        at=np.full(len(viewer_ids), split.test_from, dtype=np.int64),
        histories=Ragged.slices(known.video_rows, known.offsets[rows], known.offsets[rows + 1]),
        warm=np.diff(known.offsets)[rows] > 0,
        uploaded_at=test.cases.uploaded_at,
    )
    return Setting(world, dataset, split, clicks, test, pages, _watched(dataset, test, video_ids))


def _watched(dataset: Dataset, test: HeldOut, video_ids: NDArray[np.int64]) -> Floats:
    keys = [c.VIEWER_ID, c.VIDEO_ID]
    asked = pl.DataFrame({c.VIEWER_ID: test.cases.viewer_ids, c.VIDEO_ID: video_ids[test.targets.values]})
    watches = dataset.events.filter(pl.col(c.KIND) == ev.WATCH).group_by(keys).agg(pl.col(c.VALUE).first())
    regrets = dataset.events.filter(pl.col(c.KIND) == ev.REGRET).select(keys).unique().with_columns(regretted=True)
    found = asked.join(watches, on=keys, how="left", maintain_order="left").join(
        regrets, on=keys, how="left", maintain_order="left"
    )
    return (
        found.select(pl.when(pl.col("regretted").is_null()).then(pl.col(c.VALUE).fill_null(0)).otherwise(0.0))
        .to_series()
        .to_numpy()
    )


def _policies(setting: Setting, config: RunConfig, folder: Path) -> tuple[dict[str, Model], dict[str, Model]]:
    """Every policy, once ready for the test clicks and once for the pages: features belong to their moments."""
    dataset, split, world = setting.dataset, setting.split, setting.world
    catalogue, viewers = Catalogue.of(dataset.videos), ViewerTable.of(dataset.viewers)
    material = fit.prepare(dataset, catalogue, viewers, split)
    towers, ranker = fit.both(material, config)
    loaded = open_files(bundle.write(folder / "release", material, towers, ranker, config, 0).path)
    simple = models.fit_baselines(setting.clicks.before(split.test_from))
    oracles = dict(zip(ORACLES, (Known(world.probability_of_click), Known(world.expected_satisfaction)), strict=True))
    both = []
    for cases in (setting.test.cases, setting.pages):
        real = {**simple, **compare.release_models(loaded, dataset, viewers, cases)}
        worse = {
            f"{name}, {share:.0%} shuffled": Shuffled(real[name], share)
            for name in ("two_stage", "ease")
            for share in (0.1, 0.3)
        }
        both.append({**real, **oracles, **worse, "chance": Shuffled(real["popularity"], 1.0)})
    return both[0], both[1]


def offline_metrics(model: Model, setting: Setting) -> dict[str, Floats]:
    """[N] per test click."""
    test = setting.test
    found = measure(model, test)
    blocks = [slice(begin, min(begin + 512, len(test))) for begin in range(0, len(test), 512)]
    hits = np.concatenate([test.hits(model.rank(test.cases, rows), rows) for rows in blocks])
    num = test.cases.num_videos
    # A target that was not retrieved is taken to lie in the middle of what was not.
    rank = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, (hits.shape[1] + num) // 2)
    gain = np.where(rank <= PAGE, 1 / np.log2(rank + 1), 0.0)
    plain = {name: values for name, values in found.items() if "given" not in name}
    return {
        **plain,
        "mrr": 1 / rank,
        "hr@10 of 99 sampled": metrics.sampled_hit_rate(rank, num, 99, 10),
        "ndcg@10 of 99 sampled": metrics.sampled_ndcg(rank, num, 99, 10),
        "watch seconds@10": (rank <= PAGE) * setting.watch_s,
        "watch-weighted ndcg@10": gain * setting.watch_s,
    }


def true_values(model: Model, setting: Setting) -> dict[str, Floats]:
    """[W] expected satisfied seconds, watch seconds and clicks of the page that each viewer gets at t0, and the page itself."""
    pages, world = setting.pages, setting.world
    page = model.rank(pages, slice(0, len(pages)))[:, :PAGE]
    videos, viewers = np.maximum(page, 0), pages.viewer_ids[:, None] - 1
    asked = (viewers, videos, pages.at[:, None], np.arange(page.shape[1]))
    click = np.where(page >= 0, world.probability_of_click(*asked), 0.0)
    satisfied = np.where(page >= 0, world.expected_satisfaction(*asked), 0.0)
    watch = click * world.expected_watch_s(*asked[:3])
    return {"satisfied_s": satisfied.sum(axis=1), "watch_s": watch.sum(axis=1), "clicks": click.sum(axis=1), "page": page}


def report(
    offline: Mapping[str, dict[str, Floats]], truth: Mapping[str, dict[str, Floats]], setting: Setting
) -> dict[str, Any]:
    """Every policy's figures, and per metric how well its order agrees with the true one."""
    names = list(offline)
    coverage = {name: len(np.unique(truth[name]["page"])) / setting.pages.uploaded_at.size for name in names}
    rows = [
        {"policy": name}
        | {key: float(truth[name][key].mean()) for key in ("satisfied_s", "watch_s", "clicks")}
        | {"coverage@10": coverage[name]}
        | {metric: float(values.mean()) for metric, values in offline[name].items()}
        for name in names
    ]
    value_PW = np.stack([truth[name]["satisfied_s"] for name in names])
    real = np.array([name not in ORACLES for name in names])
    owner = np.searchsorted(setting.pages.viewer_ids, setting.test.cases.viewer_ids)
    found = []
    for metric in offline[names[0]]:
        by_viewer = np.stack([np.bincount(owner, offline[name][metric], minlength=value_PW.shape[1]) for name in names])
        found.append({"metric": metric, **_agreement(by_viewer.astype(np.float64), value_PW, real)})
    chosen = np.array([coverage[name] for name in names])
    found.append({"metric": "coverage@10", **_agreement(np.tile(chosen[:, None], value_PW.shape[1]), value_PW, real)})
    return {"policies": sorted(rows, key=lambda row: -row["satisfied_s"]), "metrics": found}


def _agreement(metric_PW: Floats, value_PW: Floats, real_P: NDArray[np.bool_], draws: int = DRAWS) -> dict[str, Any]:
    """Rank correlation over policies of the two sums over viewers (a metric's mean but for a constant), and over resamples."""
    random, num = rng.stream(1, "viewers"), metric_PW.shape[1]
    weights = np.stack([np.bincount(random.integers(0, num, num), minlength=num) for _ in range(draws)])
    metric_DP, value_DP = weights @ metric_PW.T, weights @ value_PW.T
    result = {}
    for suffix, keep in (("", np.ones_like(real_P)), ("_real", real_P)):
        for name, correlate in (("kendall", stats.kendalltau), ("spearman", stats.spearmanr)):
            drawn = [correlate(m[keep], v[keep]).statistic for m, v in zip(metric_DP, value_DP, strict=True)]
            result[name + suffix] = float(correlate(metric_PW.sum(axis=1)[keep], value_PW.sum(axis=1)[keep]).statistic)
            result[f"{name}{suffix}_interval"] = np.quantile(drawn, [0.025, 0.975]).tolist()
    return result


if __name__ == "__main__":
    main()
