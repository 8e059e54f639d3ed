"""How fast the transformer tower trains, beside RecTools' SASRec: positions a second at one size, on one file, in one run.

    python -m benchmarks.training_speed --interactions DIR/ml-1m/interactions.parquet --rectools-python ENV/bin/python

A position is a click that is learned from, however much padding surrounds it. Same width, layers, heads, history length,
dropout, full softmax and optimiser family; each library batches as it does by default (RecTools pads every viewer to the full
length). One epoch, one thread per process, rounds in turn, so that all meet the same machine. Beside it the same training in
bfloat16 and in two processes.

Positions per second of CPU time do not change when the machine does other work; positions per second of the clock do. For two
processes the CPU time is the longer of theirs: what the clock would show with a core for each. RecTools is no dependency and
wants older libraries, so it runs under a Python of its own: `python -m venv ENV`, `ENV/bin/pip install "rectools[torch]"`.
"""

import json
import resource
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from benchmarks import results_file
from core.errors import BadInput
from pipelines.evaluation import held_out
from pipelines.evaluation.bare_files import Bare
from retrieval import train as retrieval
from retrieval.config import BFLOAT16, TransformerConfig, TwoTowerConfig
from retrieval.examples import from_interactions

DIM, LAYERS, HEADS, LENGTH, DROPOUT = 128, 2, 2, 200, 0.2
RECTOOLS = {
    "n_blocks": LAYERS,
    "n_heads": HEADS,
    "n_factors": DIM,
    "dropout_rate": DROPOUT,
    "session_max_len": LENGTH,
    "loss": "softmax",
}
OURS, THEIRS = "ours", "RecTools"
VARIANTS = BRIEF, SHARED = "ours, bfloat16", "ours, 2 processes"
Took = dict[str, float]
"""Seconds on the clock and of CPU time."""


def plan(num_videos: int) -> TwoTowerConfig:
    """SASRec as RecTools has it."""
    return replace(
        TwoTowerConfig.sequence(),
        dim=DIM,
        history_length=LENGTH,
        uniform_negatives=num_videos,
        epochs=1,
        transformer=TransformerConfig(layers=LAYERS, heads=HEADS, hidden=4 * DIM, dropout=DROPOUT, gated=False),
    )


def ours(log: held_out.FileLog, **changes: Any) -> Took:
    """One epoch, with some settings changed."""
    bare = Bare.of(log, LENGTH)
    examples = from_interactions(log.interactions, bare.schema)
    began, here, copies = time.perf_counter(), time.process_time(), _children_s()
    with warnings.catch_warnings(action="ignore"):  # that bfloat16 is slow here is what is being measured
        retrieval.train(replace(plan(len(log.video_ids)), **changes), bare.schema, bare.catalogue, examples)
    seconds, cpu = time.perf_counter() - began, max(time.process_time() - here, _children_s() - copies)
    return {"seconds": seconds, "cpu_seconds": cpu}


def theirs(python: Path, file: Path) -> Took:
    """The same of RecTools."""
    script = Path(__file__).with_name("rectools_sasrec.py")
    done = subprocess.run([python, script, file, "--model", json.dumps(RECTOOLS)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadInput(f"{python} could not train RecTools' SASRec: {done.stderr.strip()[-500:]}")
    found: Took = json.loads(done.stdout.splitlines()[-1])
    return found


def _children_s() -> float:
    """CPU seconds of child processes that have ended: with one copy at a time, the copy's."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def speeds(rounds: list[dict[str, Took]], positions: int) -> dict[str, Any]:
    """Positions a second of each run, by round, and ratios within rounds (median first)."""
    found: dict[str, Any] = {}
    for name in rounds[0]:
        against = [each[OURS]["cpu_seconds"] / each[name]["cpu_seconds"] for each in rounds]
        found[name] = {
            "positions_per_cpu_s": [round(positions / each[name]["cpu_seconds"]) for each in rounds],
            "positions_per_s": [round(positions / each[name]["seconds"]) for each in rounds],
            "cpu_speed_against_ours": round(float(np.median(against)), 3),
            "by_round": [round(ratio, 3) for ratio in against],
        }
    return found


def _few(frame: pl.DataFrame, viewers: int, folder: Path) -> tuple[held_out.FileLog, Path]:
    """The first viewers of the file as our log, and as the file that RecTools reads."""
    few = frame.filter(pl.col("viewer_id").is_in(frame["viewer_id"].unique().sort()[:viewers].implode()))
    few.write_csv(folder / "few.csv")
    return held_out.read_log(folder / "few.csv"), folder / "few.csv"


def main() -> None:
    """Print and keep the comparison."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--interactions", type=Path, required=True, help="Parquet: viewer_id, video_id, position.")
    parser.add_argument("--rectools-python", type=Path, help="A Python that has RecTools; without it, ours alone.")
    parser.add_argument("--viewers", type=int, default=300, help="The first so many viewers of the file.")
    parser.add_argument("--without", nargs="*", choices=VARIANTS, default=[], help="Leave these out.")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        log, file = _few(pl.read_parquet(arguments.interactions), arguments.viewers, Path(folder))
        runs: dict[str, Callable[[], Took]] = {
            OURS: partial(ours, log),
            BRIEF: partial(ours, log, precision=BFLOAT16),
            SHARED: partial(ours, log, processes=2),
        }
        if arguments.rectools_python is not None:
            runs[THEIRS] = partial(theirs, arguments.rectools_python, file)
        runs = {name: run for name, run in runs.items() if name not in arguments.without}
        ours(log)  # the first run pays for what is made once
        rounds = [{name: run() for name, run in runs.items()} for _ in range(arguments.rounds)]
    positions = int(np.minimum(np.diff(log.interactions.offsets) - 1, LENGTH).sum())
    found = speeds(rounds, positions)
    for name, each in found.items():
        print(f"{name}: {each['positions_per_cpu_s']} positions per CPU second, {each['cpu_speed_against_ours']} of ours")
    shape = {"videos": len(log.video_ids), "positions": positions, "bfloat16": retrieval.has_bfloat16(torch.device("cpu"))}
    results_file.keep("training-speed", {**shape, "runs": found}, arguments)


if __name__ == "__main__":
    main()
