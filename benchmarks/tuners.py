"""Which search method finds good settings with the least training? One model, one split, four methods, several seeds.

    python -m benchmarks.tuners --log ml-100k --seeds 5

iALS learns from each viewer's videos but a fifth and is judged by nDCG@10 on those, of 500 viewers. alpha and l2 are searched;
how long it learns, up to 9 sweeps, is what asha saves on. Every method may spend as many sweeps as the grid of 16 settings, so
cost is counted in sweeps and no clock takes part. A method's cost is that of all trials up to the first whose value is at least
99 % of the best that any method found with any seed. The grid has no seed: it runs once.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import models, results_file
from core.space import Range, Settings, Space, grid
from data import interactions as logs
from data.catalogue import Catalogue
from data.interactions import Interactions
from pipelines.evaluation.cases import HeldOut, share_out
from pipelines.evaluation.evaluate import Scored, measure
from pipelines.evaluation.leaderboard import MAIN
from pipelines.tuning.search import METHODS, Found, Method, Rungs, Search, Trial
from retrieval.factorisation import Ials

SPACE: Space = {"alpha": Range(1.0, 64.0, log=True), "l2": Range(0.0003, 0.3, log=True)}
RUNGS = Rungs(least=1, most=9, factor=3)
GOAL = 0.99
_DIM = 16


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--log", choices=models.LOGS, default=models.default_log())
    parser.add_argument("--seeds", type=int, default=5, help="searches by each method that draws at random")
    arguments = parser.parse_args()
    dataset = models.open_log(arguments.log)
    clicks = logs.clicks(dataset.events, Catalogue.of(dataset.videos).video_ids)
    result = compare(Sweeps(*share_out(clicks, max_cases=500, seed=1)), range(1, arguments.seeds + 1))
    for row in result["methods"]:
        print(f"{row['method']:<8} best {row['best']:.4f}  reached {row['reached']} of {row['runs']}", row["sweeps_to_goal"])
    results_file.keep(f"tuners-{arguments.log}", result, arguments)


@dataclass(frozen=True)
class Sweeps:
    """nDCG@10 of iALS after some sweeps: an Objective (`pipelines.tuning.search`)."""

    train: Interactions
    validation: HeldOut

    def __call__(self, settings: Settings, epochs: int | None) -> float:
        """See Objective."""
        sweeps = {"dim": _DIM, "decay": 1.0, "sweeps": epochs or RUNGS.most}
        scorer = Ials(**sweeps, **settings).fit(self.train)  # type: ignore[arg-type]
        return float(measure(Scored(scorer), self.validation)[MAIN].mean())


def compare(objective: Sweeps, seeds: range) -> dict[str, Any]:
    """Every method with every seed, and what each took to come near the best of all."""
    found = {
        method: [run(objective, method, seed) for seed in (seeds if method != "grid" else seeds[:1])] for method in METHODS
    }
    best = max(one.best.score for runs in found.values() for one in runs)
    return {"best": best, "goal": GOAL * best, "methods": [_row(method, runs, GOAL * best) for method, runs in found.items()]}


def run(objective: Sweeps, method: Method, seed: int) -> Found:
    """One search, up to where it has spent the grid's budget; each of asha's rungs costs about as much as its first."""
    budget = RUNGS.most * len(grid(SPACE))
    each = RUNGS.least * len(RUNGS.epochs) if method == "asha" else RUNGS.most
    trials = Search(SPACE, method, budget // each, seed, RUNGS).run(objective).trials
    spent = np.cumsum([_sweeps(trial) for trial in trials])
    return Found(method, trials[: int((spent <= budget).sum())])


def sweeps_to_reach(found: Found, value: float) -> int | None:
    """Sweeps of all trials up to the first whose value is at least this; None when none is."""
    spent = 0
    for trial in found.trials:
        spent += _sweeps(trial)
        if trial.score >= value:
            return spent
    return None


def _sweeps(trial: Trial) -> int:
    return trial.epochs or RUNGS.most


def _row(method: Method, runs: list[Found], goal: float) -> dict[str, Any]:
    costs = [sweeps_to_reach(found, goal) for found in runs]
    return {
        "method": method,
        "runs": len(runs),
        "trials": float(np.mean([len(found.trials) for found in runs])),
        "best": float(np.mean([max(trial.score for trial in found.trials) for found in runs])),
        "reached": sum(cost is not None for cost in costs),
        "sweeps_to_goal": costs,
    }


if __name__ == "__main__":
    main()
