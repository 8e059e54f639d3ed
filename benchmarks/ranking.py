"""How good is each head of the ranker on a rated log, over seeds: with LightGBM's say, alone, and next to LightGBM by itself?

    python -m benchmarks.ranking --log DIR/log.tsv --seeds 3 --processes 3

The log is cut in time: the last fifth of its rows is held out, and `upnext evaluate ranking` runs on the two parts, once per
seed. A seed changes all that is random: ages of pasts, settings tried, initial weights, order of rows, LightGBM's samples.
`gains` are means over seeds of the AUC gained over LightGBM, with a t interval over seeds; each run has its own over viewers.
`calibration` holds means of the differences in log loss and ECE, below zero where both together are better than LightGBM.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks import results_file
from core import inference
from pipelines.evaluation.held_out import read_frame
from pipelines.progress import Stages
from pipelines.rated import files as rank_files
from pipelines.rated import log as rated_log

HELD_OUT_SHARE = 0.2
GAINS = ("gain", "gain_alone", "gain_over_averaged")
FIGURES = ("auc", "gauc", "logloss", "ece", "mae")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--log", type=Path, required=True, help="a rated log; users.csv beside it is used if present")
    parser.add_argument("--seeds", type=int, default=3, help="how many runs")
    parser.add_argument("--processes", type=int, default=1, help="how many of them at the same time, one thread each")
    arguments = parser.parse_args()
    seeds = range(1, arguments.seeds + 1)
    results_file.keep("ranking", measure(arguments.log, seeds, arguments.processes), arguments)


def measure(log: Path, seeds: range, processes: int = 1) -> dict[str, Any]:
    """Every run, and the means over them."""
    with TemporaryDirectory() as folder:
        once = partial(run, *split(log, Path(folder)))
        if processes == 1:
            return summary([once(seed) for seed in seeds])
        with ProcessPoolExecutor(
            processes, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            return summary(list(pool.map(once, seeds)))


def run(train: Path, held_out: Path, seed: int) -> dict[str, Any]:
    """What `upnext evaluate ranking` says with one seed."""
    stages = Stages()
    report = rank_files.evaluate(train, held_out, rank_files.configure([f"seed={seed}"]), stages)
    found = {"seed": seed, **report.to_json(), "stages": stages.to_json()}
    print(f"seed {seed}: {found['gain']}, alone {found['gain_alone']}", flush=True)
    return found


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over runs, intervals of the gains, and the runs."""
    return {
        "means": {model: means([each[model] for each in runs]) for model in ("heads", "alone", "baseline", "averaged")},
        "gains": {kind: gains([each[kind] for each in runs]) for kind in GAINS},
        "calibration": {name: differences([each["calibration"] for each in runs], name) for name in ("logloss", "ece")},
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


def gains(runs: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float | None]]:
    """AUC gained on each head: mean and interval over seeds, and the mean of the bounds over viewers."""
    found = {}
    for head in runs[0]:
        bounds = {f"{side}_over_viewers": float(np.mean([run[head][side] for run in runs])) for side in ("low", "high")}
        found[head] = {**_over_seeds("auc", [run[head]["auc"] for run in runs]), **bounds}
    return found


def differences(runs: list[dict[str, dict[str, dict[str, float]]]], name: str) -> dict[str, dict[str, float | None]]:
    """Of one measure of calibration, both together minus LightGBM, by head: mean and interval over seeds."""
    return {head: _over_seeds("difference", [run[head][name]["difference"] for run in runs]) for head in runs[0]}


def _over_seeds(name: str, values: list[float]) -> dict[str, float | None]:
    """Mean and t interval; one seed has none."""
    if len(values) == 1:
        return {name: values[0], "low": None, "high": None}
    found = inference.t_interval(np.array(values))
    return {name: found.mean, "low": found.low, "high": found.high}


if __name__ == "__main__":
    main()
