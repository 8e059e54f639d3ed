"""How good is each head of the ranker on a rated log, over seeds: with LightGBM's say, alone, and next to LightGBM by itself?

    python -m benchmarks.ranking --log DIR/log.tsv --seeds 3

The log is cut in time: the last fifth of its rows is held out, and `upnext evaluate ranking` runs on the two parts, once per
seed. A seed changes all that is random: ages of pasts, settings tried, initial weights, order of rows, LightGBM's samples.
`gains` are means over seeds of the AUC gained over LightGBM, with a t interval over seeds; each run has its own over viewers.
"""

from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks import results_file
from core import inference
from pipelines.evaluation.held_out import read_frame
from pipelines.progress import Stages
from pipelines.rated import files as rank_files
from pipelines.rated import log as rated_log

HELD_OUT_SHARE = 0.2
FIGURES = ("auc", "gauc", "logloss", "ece", "mae")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--log", type=Path, required=True, help="a rated log; users.csv beside it is used if present")
    parser.add_argument("--seeds", type=int, default=3, help="how many runs")
    arguments = parser.parse_args()
    results_file.keep("ranking", measure(arguments.log, range(1, arguments.seeds + 1)), arguments)


def measure(log: Path, seeds: range) -> dict[str, Any]:
    """Every run, and the means over them."""
    with TemporaryDirectory() as folder:
        train, held_out = split(log, Path(folder))
        runs = []
        for seed in seeds:
            stages = Stages()
            report = rank_files.evaluate(train, held_out, rank_files.configure([f"seed={seed}"]), stages)
            runs.append({"seed": seed, **report.to_json(), "stages": stages.to_json()})
            print(f"seed {seed}: {runs[-1]['gain']}, alone {runs[-1]['gain_alone']}", flush=True)
    averaged = {model: means([run[model] for run in runs]) for model in ("heads", "alone", "baseline")}
    return {
        "means": averaged,
        "gains": {kind: gains([run[kind] for run in runs]) for kind in ("gain", "gain_alone")},
        "runs": runs,
    }


def split(log: Path, folder: Path) -> tuple[Path, Path]:
    """The earlier rows and the last fifth, as files; rows of one instant stay together."""
    at = np.sort(rated_log.read(log).at)
    boundary = at[int(len(at) * (1 - HELD_OUT_SHARE))]
    frame = read_frame(log)
    later = frame[rated_log.time_column(frame)] >= boundary
    paths = folder / "train.parquet", folder / "held_out.parquet"
    for path, rows in zip(paths, (~later, later), strict=True):
        frame.filter(rows).write_parquet(path)
    viewers = log.with_name(rated_log.VIEWERS_FILE)
    if viewers.is_file():
        copyfile(viewers, folder / rated_log.VIEWERS_FILE)
    return paths


def means(runs: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Of each figure of each head."""
    return {
        head: {name: float(np.mean([run[head][name] for run in runs])) for name in FIGURES if name in runs[0][head]}
        for head in runs[0]
    }


def gains(runs: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """AUC gained on each head: mean and interval over seeds, and the mean of the bounds over viewers."""
    found = {}
    for head in runs[0]:
        over_seeds = inference.t_interval(np.array([run[head]["auc"] for run in runs]))
        bounds = {f"{side}_over_viewers": float(np.mean([run[head][side] for run in runs])) for side in ("low", "high")}
        found[head] = {"auc": over_seeds.mean, "low": over_seeds.low, "high": over_seeds.high, **bounds}
    return found


if __name__ == "__main__":
    main()
