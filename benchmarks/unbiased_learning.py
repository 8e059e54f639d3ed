"""Does learning with propensities beat learning as if the log were fair? Click rates per video, against the world's truth.

    python -m benchmarks.unbiased_learning

In each of several worlds a personal ε-mixed Plackett–Luce policy logs one video per request. From that log the click rate of
every video over all viewers is learned naively and with weights 1 / propensity, for several ε. Reported per ε: the root mean
square error of the rates, and what a newcomer's page of the five best-rated videos would truly earn (mean P(click), first
position): weighted minus naive paired within worlds, with 95 % t intervals, and the same page if the rates were known.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import results_file
from core import rng
from core.inference import t_interval
from data.world.config import tiny
from data.world.world import World
from experiments import policies, unbiased
from experiments.estimators import Floats

NUM_VIDEOS, NUM_ROWS, PAGE, SCORE_NOISE = 60, 100_000, 5, 1.0
EPSILONS = (0.02, 0.1, 0.3)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--worlds", type=int, default=20)
    arguments = parser.parse_args()
    result = measure(arguments.worlds)
    print(json.dumps(result["by_epsilon"], indent=1))
    results_file.keep(f"unbiased-learning-{result['world']}", result, arguments)


def measure(worlds: int) -> dict[str, Any]:
    """Both ways of learning in every world, for every ε."""
    found = [_one_world(seed) for seed in range(worlds)]
    return {
        "world": tiny().name,
        "worlds": worlds,
        "videos": NUM_VIDEOS,
        "rows": NUM_ROWS,
        "by_epsilon": {
            str(epsilon): {
                name: _interval([one[epsilon][name] for one in found]) for name in found[0][epsilon]
            } for epsilon in EPSILONS
        },
    }  # fmt: skip


def _one_world(seed: int) -> dict[float, dict[str, float]]:
    world = World(replace(tiny(), seed=seed))
    random, at = rng.stream(seed, "unbiased learning"), world.config.start_at
    videos = random.choice(world.videos.num_available(at), NUM_VIDEOS, replace=False)
    viewers = np.arange(len(world.viewers))[:, None]
    click_VK = world.probability_of_click(viewers, videos, at)
    affinity = np.asarray(world.truth.affinity(viewers, videos, np.asarray(at)), dtype=np.float64)
    guess_VK = affinity + SCORE_NOISE * random.standard_normal(affinity.shape)
    return {epsilon: _compare(click_VK, guess_VK, epsilon, random) for epsilon in EPSILONS}


def _compare(click_VK: Floats, guess_VK: Floats, epsilon: float, random: np.random.Generator) -> dict[str, float]:
    shown_VK = policies.plackett_luce(2.0 * guess_VK, epsilon=epsilon)(np.ones(guess_VK.shape, dtype=bool))
    viewer = random.integers(0, len(click_VK), NUM_ROWS)
    cumulative = np.cumsum(shown_VK[viewer], axis=1)
    action = (cumulative > random.random((NUM_ROWS, 1)) * cumulative[:, -1:]).argmax(axis=1)
    reward = random.random(NUM_ROWS) < click_VK[viewer, action]
    truth = click_VK.mean(axis=0)
    learned = {
        "naive": unbiased.rates(action, reward, NUM_VIDEOS),
        "weighted": unbiased.rates(action, reward, NUM_VIDEOS, shown_VK[viewer, action]),
    }
    found = {"page_value_known": _page_value(truth, truth)}
    for what, measured in (("error", _error), ("page_value", _page_value)):
        found |= {f"{what}_{name}": measured(rate, truth) for name, rate in learned.items()}
        found[f"{what}_difference"] = found[f"{what}_weighted"] - found[f"{what}_naive"]
    return found


def _error(rate_K: Floats, truth_K: Floats) -> float:
    """Root mean square error over the videos that were shown at all."""
    return float(np.sqrt(np.nanmean((rate_K - truth_K) ** 2)))


def _page_value(rate_K: Floats, truth_K: Floats) -> float:
    """Mean true click rate of the videos that look best."""
    best = np.argsort(-np.nan_to_num(rate_K, nan=-1.0), kind="stable")[:PAGE]
    return float(truth_K[best].mean())


def _interval(values: list[float]) -> dict[str, float]:
    found = t_interval(values)
    return {"mean": found.mean, "low": found.low, "high": found.high}


if __name__ == "__main__":
    main()
