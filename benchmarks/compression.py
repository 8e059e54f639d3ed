"""What do fewer bytes for embedding tables cost? Quality against bytes of every way, as a table and a Pareto plot.

    python -m benchmarks.compression --interactions ../shared/data/ml-1m/interactions.parquet [--space world-tiny]

world   The live release with its video vectors (towers) and the ranker's own table of videos compressed after training, both
        in the same way. recall: test clicks among the 100 nearest of the whole catalogue; AUC: the ranker's click head on
        impressions of the test period, which also reads the towers' score.
file    Vectors of iALS (64 numbers) from all but each viewer's last video, the vectors compressed, the viewer solved for from
        those. recall: the last one among the 100 best not watched; AUC: the share of these that score below it.

Bytes are of the compressed tables, as a share of fp32. Intervals: 95 % over viewers (AUC of the ranker: resampled viewers are
not worth the time here, none given). Tables trained with fewer rows: `benchmarks.id_tables`.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import cold_start, plot, results_file
from benchmarks.embeddings import compressed
from benchmarks.plot import Panel, Point
from core import inference, metrics, release, settings
from core.ragged import Ragged
from data.interactions import group
from embeddings.compression import Rows
from pipelines import spaces
from pipelines.evaluation.compare import features_of
from pipelines.evaluation.held_out import read_log
from pipelines.gates import measure as gates
from pipelines.gates.gates import GatesConfig
from pipelines.gates.questions import Questions
from pipelines.spaces import Space
from ranking.rows import Whole
from retrieval.factorisation import FoldIn, Ials
from serving.releases import LoadedRelease, load_release

Floats = NDArray[np.float32]
Points = list[dict[str, Any]]
_PICTURE = Path(__file__).parent.parent / "docs" / "images" / "compression.svg"
_DEPTH = 100
_FULL = "fp32"


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--space", default=None, help="dataset of a world; the last trained one by default")
    parser.add_argument("--interactions", type=Path, default=None, help="a training file with positions; ml-1m for example")
    parser.add_argument("--picture", type=Path, default=_PICTURE, help="write the plot here")
    arguments = parser.parse_args()
    space = spaces.current(settings.load().var_dir, arguments.space)
    result: dict[str, Any] = {space.name: of_world(space)}
    if arguments.interactions is not None:
        result[arguments.interactions.parent.name] = of_file(arguments.interactions)
    print(json.dumps(result, indent=1))
    draw(result, arguments)
    results_file.keep("compression", result, arguments)


def of_world(space: Space) -> dict[str, Any]:
    """Towers and ranker of the live release."""
    loaded = load_release(space.releases, release.resolve(space.releases, "live") or "")
    questions = Questions.of(space, [loaded])
    cases, target_N = questions.held_out.cases, questions.held_out.targets.values
    served = features_of(questions.dataset, loaded.catalogue, loaded.viewers, cases, loaded.definitions)
    viewer_ND = loaded.encoder.encode(served.viewer_part(np.arange(len(cases))))
    shown = gates.impressions(questions.dataset, questions.test_from, [loaded], GatesConfig())
    begin = loaded.scorer.content_mean.size
    own = slice(begin, begin + loaded.scorer.columns.video_dim)
    points: Points = []
    both = zip(_tables(loaded.video_VD), _tables(np.ascontiguousarray(_rows(loaded)[:, own])), strict=True)
    for (name, video_VD, first), (_, own_VE, second) in both:
        changed = _with(loaded, video_VD, own_VE, own)
        score_NV = viewer_ND @ video_VD.T
        rank_N = cold_start.rank(score_NV, score_NV[np.arange(len(cases)), target_N], questions.held_out)
        click = gates.heads_of(changed, questions.dataset, shown)["click"]
        auc = metrics.auc(click.observed, click.predicted)
        points.append(_point(name, first + second, rank_N < _DEPTH, cases.viewer_ids) | {"auc": round(auc, 4)})
    return {"videos": len(loaded.catalogue), "test_clicks": len(cases), "impressions": len(shown), "points": _shares(points)}


def of_file(path: Path) -> dict[str, Any]:
    """Vectors of iALS, with each viewer's last video held out."""
    log = read_log(path)
    events = log.interactions
    last_U = events.offsets[1:] - 1
    target_U = events.video_rows[last_U].astype(np.int64)
    kept = np.setdiff1d(np.arange(len(events)), last_U)
    owners, rows, at = events.viewer_ids[events.viewer_rows[kept]], events.video_rows[kept], events.at[kept]
    known = group(owners, rows, at, len(log.video_ids), ordered=True)
    fitted, histories = Ials(dim=64, sweeps=8).fit(known), Ragged(known.offsets, known.video_rows)
    points: Points = []
    for name, video_VD, size in _tables(fitted.video_VD):
        rank_U, below_U = _ranks(replace(fitted, video_VD=video_VD), histories, target_U)
        auc = inference.t_interval(below_U).mean
        points.append(_point(name, size, rank_U < _DEPTH, events.viewer_ids) | {"auc": round(auc, 4)})
    return {"videos": len(log.video_ids), "viewers": len(target_U), "points": _shares(points)}


def _ranks(fitted: FoldIn, histories: Ragged, target_U: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """[U] each target's 0-based rank among what was not watched, and the share of these that score below; ties half."""
    score_UV = fitted.scores(histories)
    score_UV[histories.owners, histories.values] = -np.inf
    target = score_UV[np.arange(len(target_U)), target_U][:, None]
    better, equal = (score_UV > target).sum(axis=1), (score_UV == target).sum(axis=1) - 1
    others = np.isfinite(score_UV).sum(axis=1) - 1
    return better + equal // 2, 1.0 - (better + equal / 2) / others


def _tables(vector_VD: Floats) -> Iterator[tuple[str, Floats, int]]:
    """(way, the vectors as they are read, bytes)"""
    yield _FULL, vector_VD, vector_VD.nbytes
    ways: Mapping[str, Rows] = compressed(vector_VD)
    for name, kept in ways.items():
        yield name, kept.read(np.arange(len(vector_VD))), kept.nbytes


def _with(loaded: LoadedRelease, video_VD: Floats, own_VE: Floats, own: slice) -> LoadedRelease:
    video_VS = _rows(loaded)
    video_VS[:, own] = own_VE
    return replace(loaded, video_VD=video_VD, scorer=replace(loaded.scorer, videos=Whole(video_VS)))


def _rows(loaded: LoadedRelease) -> Floats:
    return loaded.scorer.videos.take(np.arange(len(loaded.catalogue), dtype=np.int32))


def _point(name: str, size: int, found_N: NDArray[np.bool_], viewers: NDArray[np.int64]) -> dict[str, Any]:
    recall = inference.cluster_interval(found_N.astype(np.float64), viewers)
    figures = {"recall": recall.mean, "low": recall.low, "high": recall.high}
    return {"way": name, "bytes": size} | {key: round(value, 4) for key, value in figures.items()}


def _shares(points: Points) -> Points:
    """With each size as a share, and whether no other way is both smaller and better in recall."""
    for point in points:
        point["share_of_bytes"] = round(point["bytes"] / points[0]["bytes"], 4)
        ahead = [other for other in points if other["bytes"] <= point["bytes"] and other["recall"] >= point["recall"]]
        point["pareto"] = all(other["way"] == point["way"] for other in ahead)
    return points


def draw(result: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    """Recall and AUC against bytes, a panel for each."""
    panels = []
    ticks = {1.0: "1", 0.5: "1/2", 0.25: "1/4", 0.125: "1/8"}
    for name, found in result.items():
        for figure, title, y_from in (("recall", f"{name}: recall@{_DEPTH}", 0.0), ("auc", f"{name}: AUC", 0.5)):
            series: dict[str, list[Point]] = {}
            for point in found["points"]:
                low, high = (point["low"], point["high"]) if figure == "recall" else (None, None)
                at = Point(point["share_of_bytes"], point[figure], low, high, label=point["way"])
                series.setdefault(point["way"].split(",")[0].split(" to ")[0], []).append(at)
            panels.append(Panel(title, "bytes, share of fp32", "", series, ticks, log_x=True, y_from=y_from))
    arguments.picture.write_text(plot.draw(panels))


if __name__ == "__main__":
    main()
