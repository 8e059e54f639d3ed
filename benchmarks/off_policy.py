"""Do the off-policy estimators find the truth? Repeated logs of a world whose policy values are known exactly.

    python -m benchmarks.off_policy --repetitions 200

Single slots: each repetition logs N impressions of 40 videos in 3 positions and estimates another policy.

    table      uniform → the same shares for everybody, as `upnext ope` has it
    wide       flat Plackett–Luce → a sharp personal policy on the same score
    narrow     ε-greedy on another score, ε = 0.1 → the same personal policy
    thompson   64 stored samples of a linear posterior, ε = 0.1 → the same personal policy

Slates: pages of 3 of 12 videos, Plackett–Luce flat → sharp, with exact marginals by enumeration. Per estimator: bias, standard
deviation, RMSE, all in clicks per row (per page for slates), and how often the 95 % interval holds the truth; per scenario: how
often the diagnostics refused a verdict. Truth: exact mean over all viewers of the world.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import results_file
from core import rng
from core.inference import Interval, wilson
from data.world.config import lab
from data.world.world import World
from experiments import bootstrap, diagnostics, estimators, policies, posteriors, reward_model
from experiments.estimators import Floats, Terms

NUM_VIDEOS, NUM_POSITIONS, NUM_ROWS = 40, 3, 4_000
NUM_SLATE_VIDEOS, NUM_SLOTS, NUM_PAGES = 12, 3, 2_000
DRAWS = 500
SCORE_NOISE = 1.0
SEED = 1


@dataclass(frozen=True)
class Stage:
    """Viewers of a world in front of K videos; everything a policy may use, and the truth."""

    click_VKP: Floats
    """P(click) by viewer, video and position."""
    guess_VK: Floats
    """A noisy personal score, as a model would have."""
    other_VK: Floats
    """Another model's."""
    feature_VKD: Floats
    """What Thompson sampling regresses on."""


Outcome = tuple[dict[str, Interval], bool]
"""Estimates by name, and whether the diagnostics refused."""
Repetition = Callable[[np.random.Generator], Outcome]


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--repetitions", type=int, default=200)
    arguments = parser.parse_args()
    result = measure(arguments.repetitions)
    print("\n".join(_lines(result["scenarios"])))
    results_file.keep(f"off-policy-{result['world']}", result, arguments)


def measure(repetitions: int) -> dict[str, Any]:
    """Every scenario, described."""
    config = lab()
    world = World(config)
    single, slate = _stage(world, NUM_VIDEOS), _stage(world, NUM_SLATE_VIDEOS)
    runs = {name: _single(single, *pair) for name, pair in _scenarios(single).items()} | {"slates": _slates(slate)}
    found = {name: _repeat(run, truth, repetitions) for name, (run, truth) in runs.items()}
    return {
        "world": config.name,
        "repetitions": repetitions,
        "rows": NUM_ROWS,
        "pages": NUM_PAGES,
        "bootstrap_draws": DRAWS,
        "scenarios": found,
    }


def _stage(world: World, num_videos: int) -> Stage:
    """The first videos of a fixed random choice, at the first instant of the log."""
    random, at = rng.stream(SEED, "stage"), world.config.start_at
    videos = random.choice(world.videos.num_available(at), num_videos, replace=False)
    viewers = np.arange(len(world.viewers))[:, None, None]
    click = world.probability_of_click(viewers, videos[None, :, None], at, np.arange(NUM_POSITIONS))
    affinity = np.asarray(world.truth.affinity(viewers[..., 0], videos[None, :], np.asarray(at)), dtype=np.float64)
    guess, other = (affinity + SCORE_NOISE * random.standard_normal(affinity.shape) for _ in range(2))
    quality = np.broadcast_to(world.videos.quality[videos], affinity.shape)
    return Stage(click, guess, other, np.stack([np.ones_like(affinity), other, quality], axis=2))


def _scenarios(stage: Stage) -> dict[str, tuple[Floats, Floats]]:
    """(behaviour, target) as [V, K] probabilities, by name."""
    random = rng.stream(SEED, "before the log")
    viewers = random.integers(0, len(stage.click_VKP), 2_000)
    shown = random.integers(0, NUM_VIDEOS, 2_000)
    clicked = random.random(2_000) < stage.click_VKP[viewers, shown, 0]
    posterior = posteriors.LinearPosterior.fit(stage.feature_VKD[viewers, shown], clicked, noise=float(clicked.std()))
    sample_MVK = np.einsum("vkd,md->mvk", stage.feature_VKD, posterior.samples(SEED))
    everyone = np.broadcast_to(stage.guess_VK.mean(axis=0), stage.guess_VK.shape)
    left, sharp = np.ones(everyone.shape, dtype=bool), policies.plackett_luce(1.5 * stage.guess_VK, epsilon=0.05)
    pairs = {
        "table": (policies.epsilon_greedy(everyone, 1.0), policies.plackett_luce(2.0 * everyone)),
        "wide": (policies.plackett_luce(0.5 * stage.guess_VK, epsilon=0.05), sharp),
        "narrow": (policies.epsilon_greedy(stage.other_VK, 0.1), sharp),
        "thompson": (policies.thompson(sample_MVK, 0.1), sharp),
    }
    return {name: (behaviour(left), target(left)) for name, (behaviour, target) in pairs.items()}


def _single(stage: Stage, behaviour_VK: Floats, target_VK: Floats) -> tuple[Repetition, float]:
    """How one log of N impressions is made and what every estimator makes of it, and the target's true value."""
    cumulative_VK = np.cumsum(behaviour_VK, axis=1)
    truth = float(np.einsum("vk,vkp->", target_VK, stage.click_VKP) / len(target_VK) / NUM_POSITIONS)

    def run(random: np.random.Generator) -> Outcome:
        viewer, position = random.integers(0, len(target_VK), NUM_ROWS), random.integers(0, NUM_POSITIONS, NUM_ROWS)
        shown = _drawn(cumulative_VK[viewer], random)
        reward = (random.random(NUM_ROWS) < stage.click_VKP[viewer, shown, position]).astype(np.float64)
        weight = target_VK[viewer, shown] / behaviour_VK[viewer, shown]
        model = reward_model.fit(shown, position, reward, (NUM_VIDEOS, NUM_POSITIONS), random)
        expected = np.einsum("nk,nk->n", target_VK[viewer], model.every_NA)
        terms = estimators.every(estimators.Rows(reward, weight, model.predicted_N, expected))
        return bootstrap.intervals(terms, random, draws=DRAWS), bool(diagnostics.check(weight).refusals)

    return run, truth


def _slates(stage: Stage) -> tuple[Repetition, float]:
    """Pages of distinct videos: exact probabilities of every possible page, hence exact marginals and an exact truth."""
    page_GS = np.array(list(permutations(range(NUM_SLATE_VIDEOS), NUM_SLOTS)))
    behaviour = _enumerated(0.5 * stage.guess_VK, page_GS)
    target = _enumerated(1.5 * stage.guess_VK, page_GS)
    cumulative_VG = np.cumsum(behaviour.prod(axis=2), axis=1)
    marginal = [_marginals(chances.prod(axis=2), page_GS) for chances in (target, behaviour)]
    truth = float(np.einsum("vks,vks->", marginal[0], stage.click_VKP) / len(target))

    def run(random: np.random.Generator) -> Outcome:
        viewer = random.integers(0, len(target), NUM_PAGES)
        page = _drawn(cumulative_VG[viewer], random)
        at = (viewer[:, None], page_GS[page], np.arange(NUM_SLOTS))
        reward = (random.random((NUM_PAGES, NUM_SLOTS)) < stage.click_VKP[at]).astype(np.float64)
        ratio, apart = target[viewer, page] / behaviour[viewer, page], marginal[0][at] / marginal[1][at]
        terms: Mapping[str, Terms] = {
            "sips": estimators.sips(reward, ratio),
            "iips": estimators.iips(reward, apart),
            "iips_wrong_weights": estimators.iips(reward, ratio),
            "rips": estimators.rips(reward, ratio),
            "snrips": estimators.rips(reward, ratio, normalised=True),
        }
        return bootstrap.intervals(terms, random, draws=DRAWS), bool(diagnostics.check(ratio.prod(axis=1)).refusals)

    return run, truth


def _enumerated(score_VK: Floats, page_GS: NDArray[np.int64]) -> Floats:
    """[V, G, S] Plackett–Luce probability of every page's slots given the slots before."""
    strength = np.exp(score_VK)
    placed = strength[:, page_GS]
    before = np.cumsum(placed, axis=2) - placed
    return np.asarray(placed / (strength.sum(axis=1)[:, None, None] - before))


def _marginals(page_VG: Floats, page_GS: NDArray[np.int64]) -> Floats:
    """[V, K, S] probability of each video in each slot."""
    holds_GKS = page_GS[:, None, :] == np.arange(NUM_SLATE_VIDEOS)[None, :, None]
    return np.asarray((page_VG @ holds_GKS.reshape(len(page_GS), -1)).reshape(len(page_VG), NUM_SLATE_VIDEOS, NUM_SLOTS))


def _drawn(cumulative_NK: Floats, random: np.random.Generator) -> NDArray[np.int64]:
    """One column per row, by inversion."""
    return np.asarray((cumulative_NK > random.random((len(cumulative_NK), 1)) * cumulative_NK[:, -1:]).argmax(axis=1))


def _repeat(run: Repetition, truth: float, repetitions: int) -> dict[str, Any]:
    """Bias, spread and coverage over independent logs."""
    outcomes = [run(rng.stream(SEED, "repetition", number)) for number in range(repetitions)]
    return {
        "truth": truth,
        "refused_share": float(np.mean([refused for _, refused in outcomes])),
        "estimators": {name: _described([found[name] for found, _ in outcomes], truth) for name in outcomes[0][0]},
    }


def _described(found: list[Interval], truth: float) -> dict[str, Any]:
    value = np.array([one.mean for one in found])
    covered = wilson(sum(one.low <= truth <= one.high for one in found), len(found))
    return {
        "bias": float(value.mean() - truth),
        "bias_standard_error": float(value.std(ddof=1) / np.sqrt(len(value))),
        "standard_deviation": float(value.std(ddof=1)),
        "rmse": float(np.sqrt(np.mean((value - truth) ** 2))),
        "coverage": covered.mean,
        "coverage_interval": [covered.low, covered.high],
    }


def _lines(scenarios: Mapping[str, Any]) -> Iterator[str]:
    """The same for people."""
    for name, scenario in scenarios.items():
        yield f"{name}: truth {scenario['truth']:.4f}, {scenario['refused_share']:.1%} refused"
        for estimator, found in scenario["estimators"].items():
            low, high = found["coverage_interval"]
            yield (
                f"  {estimator:<20} bias {found['bias']:+.4f} ± {found['bias_standard_error']:.4f}, "
                f"sd {found['standard_deviation']:.4f}, coverage {found['coverage']:.1%} [{low:.1%}, {high:.1%}]"
            )


if __name__ == "__main__":
    main()
