"""How many times fewer pages does interleaving need than an A/B test, for the same decision? Measured in the world.

    python -m benchmarks.interleaving

Two rankers order the same 40 candidates of each page by the true P(click), disturbed by noise: the first by BASE_NOISE in
logits, the second by more. The same viewers see both rankers' pages and their team draft. With the viewer as the independent
unit, the pages that 80 % power at α = .05 takes are

    A/B:           (z_{1−α/2} + z_{1−β})² · 2 · (v₁ + v₂) / δ²       δ: difference in clicks a page; v: variance per page
    interleaving:  (z_{1−α/2} + z_{1−β})² · v / Δ²                   Δ: mean preference, −1 to 1

in both arms together. δ and Δ are exact given the pages (the world knows its click probabilities), v comes from simulated
clicks. Intervals are percentile bootstraps over viewers. `power` repeats each decision on as many pages as were found to be
needed, by drawing viewers: near .8, a little less where a dozen viewers are enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks import results_file
from core import rng
from core.clock import HOUR_MS
from data.world import config as worlds
from data.world.behaviour import Pages, click_chance
from data.world.world import World
from experiments import interleaving
from experiments.effects import Sample, difference
from experiments.ratio import linearised

BASE_NOISE = 1.0
NOISES = (1.05, 1.1, 1.2, 1.4, 1.7, 2.0)
NUM_CANDIDATES, SLOTS = 40, 10
PAGES_PER_VIEWER = 5
ALPHA, POWER = 0.05, 0.8
DRAWS = 400
POWER_TRIALS = 300
SEED = 1

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """One pair of rankers on P pages, grouped by viewer."""

    viewer: NDArray[np.int64]
    """[P] viewer of each page."""
    expected: Floats
    """[2, P] expected clicks on each ranker's page."""
    clicks: Floats
    """[2, P] simulated clicks on each ranker's page."""
    preference: Floats
    """[P] +1 where the interleaved page preferred the first ranker, −1 the second, 0 a tie."""
    expected_preference: Floats
    """[P] its expectation given the page."""


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--viewers", type=int, default=2_000, help="viewers who see five pages each")
    arguments = parser.parse_args()
    result = measure(World(worlds.lab()), arguments.viewers)
    for point in result["curve"]:
        print(point)
    results_file.keep("interleaving", result, arguments)


def measure(world: World, num_viewers: int, noises: Sequence[float] = NOISES) -> dict[str, Any]:
    """The curve over the second ranker's noise, smallest effect first."""
    return {
        "world": world.config.name,
        "viewers": num_viewers,
        "pages": num_viewers * PAGES_PER_VIEWER,
        "candidates": NUM_CANDIDATES,
        "slots": SLOTS,
        "base_noise": BASE_NOISE,
        "curve": [_point(watch(world, num_viewers, noise), noise) for noise in noises],
    }


def watch(world: World, num_viewers: int, noise: float) -> Seen:
    """Viewers see pages of both rankers and of their team draft."""
    random = rng.stream(SEED, "interleaving pages", repr(noise))
    viewer = np.repeat(random.permutation(len(world.viewers))[:num_viewers], PAGES_PER_VIEWER)
    at = world.config.end_at - random.integers(0, 24 * HOUR_MS, len(viewer))
    candidates = _candidates(world, len(viewer), random)
    rankings = [_rank(world, viewer, at, candidates, disturbance, random) for disturbance in (BASE_NOISE, noise)]
    coins = random.random((len(viewer), SLOTS)) < 0.5
    merged = interleaving.team_draft(rankings[0], rankings[1], SLOTS, coins)
    uniforms = random.random((3, len(viewer), SLOTS))
    chances = [_chances(world, viewer, at, page) for page in (rankings[0][:, :SLOTS], rankings[1][:, :SLOTS], merged.video_BK)]
    clicked = [drawn < chance for drawn, chance in zip(uniforms, chances, strict=True)]
    return Seen(
        viewer=viewer,
        expected=np.stack([chance.sum(axis=1) for chance in chances[:2]]),
        clicks=np.stack([each.sum(axis=1) for each in clicked[:2]]).astype(np.float64),
        preference=interleaving.credit(merged.team_BK, clicked[2]).astype(np.float64),
        expected_preference=_expected_preference(chances[2], merged.team_BK),
    )


def _expected_preference(chance: Floats, team: NDArray[np.int8]) -> Floats:
    """[P] P(more clicks for the first team) − P(more for the second), clicks being independent."""
    first, second = (_click_counts(np.where(team == each, chance, 0.0)) for each in (interleaving.FIRST, interleaving.SECOND))
    ahead = np.sign(np.subtract.outer(np.arange(SLOTS + 1), np.arange(SLOTS + 1)))
    return np.einsum("pi,ij,pj->p", first, ahead, second)


def _click_counts(chance: Floats) -> Floats:
    """[P, SLOTS + 1] distribution of the number of clicks (Poisson binomial), slot by slot."""
    counts = np.zeros((len(chance), SLOTS + 1))
    counts[:, 0] = 1.0
    for p in chance.T[:, :, None]:
        counts[:, 1:] = counts[:, 1:] * (1 - p) + counts[:, :-1] * p
        counts[:, :1] *= 1 - p
    return counts


def _candidates(world: World, num_pages: int, random: np.random.Generator) -> NDArray[np.int64]:
    """[P, C] distinct videos of each page: every C-th one from a random start and a random shuffle."""
    shuffled = random.permutation(len(world.videos))
    start, step = random.integers(0, len(shuffled), (num_pages, 1)), len(shuffled) // NUM_CANDIDATES
    return np.asarray(shuffled[(start + step * np.arange(NUM_CANDIDATES)) % len(shuffled)])


def _chances(world: World, viewer: NDArray[np.int64], at: NDArray[np.int64], page: NDArray[np.int64]) -> Floats:
    return click_chance(world.truth, None, Pages(viewer, page.astype(np.int32), at))[0]


def _rank(
    world: World,
    viewer: NDArray[np.int64],
    at: NDArray[np.int64],
    candidates: NDArray[np.int64],
    noise: float,
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """[P, C] candidates in the order of a ranker whose logits are off by `noise`."""
    rows, instants = viewer[:, None], at[:, None]
    logit = world.truth.attraction_logit(world.truth.affinity(rows, candidates, instants), rows, candidates, instants)
    order = np.argsort(-(logit + noise * random.standard_normal(logit.shape)), axis=1)
    return np.take_along_axis(candidates, order, axis=1)


def _point(seen: Seen, noise: float) -> dict[str, Any]:
    ab, mixed = pages_needed(seen, np.arange(len(seen.viewer)))
    random = rng.stream(SEED, "interleaving bootstrap", repr(noise))
    drawn = np.array([pages_needed(seen, _resampled(len(seen.viewer), random)) for _ in range(DRAWS)])
    lift = 1 - seen.expected[1].mean() / seen.expected[0].mean()
    return {
        "noise": noise,
        "lift": round(float(lift), 5),
        "clicks_per_page": round(float(seen.expected[0].mean()), 4),
        "preference": round(float(seen.expected_preference.mean()), 5),
        "ab_pages": round(ab),
        "ab_pages_95": _range(drawn[:, 0]),
        "interleaving_pages": round(mixed),
        "interleaving_pages_95": _range(drawn[:, 1]),
        "times_fewer": round(ab / mixed, 1),
        "times_fewer_95": _range(drawn[:, 0] / drawn[:, 1]),
        "power": _powers(seen, ab, mixed, random),
    }


def pages_needed(seen: Seen, pages: NDArray[np.int64]) -> tuple[float, float]:
    """(A/B, interleaving) pages in all, from some of the pages, in whole viewers."""
    effort = float((stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(POWER)) ** 2)
    delta = float(np.diff(seen.expected[:, pages].mean(axis=1))[0])
    variance = sum(_per_page(seen.clicks[arm, pages]) for arm in (0, 1))
    preference = float(seen.expected_preference[pages].mean())
    return effort * 2 * variance / delta**2, effort * _per_page(seen.preference[pages]) / preference**2


def _per_page(values: Floats) -> float:
    """Variance of a mean over pages, times the number of pages; pages of a viewer are not independent."""
    by_viewer = values.reshape(-1, PAGES_PER_VIEWER).sum(axis=1)
    sample = Sample.of(linearised(by_viewer, np.full(len(by_viewer), PAGES_PER_VIEWER)))
    return sample.error2 * len(values)


def _resampled(num_pages: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Pages of as many viewers, drawn with replacement."""
    num_viewers = num_pages // PAGES_PER_VIEWER
    drawn = random.integers(0, num_viewers, num_viewers)
    return (drawn[:, None] * PAGES_PER_VIEWER + np.arange(PAGES_PER_VIEWER)).ravel()


def _powers(seen: Seen, ab: float, mixed: float, random: np.random.Generator) -> dict[str, float]:
    """Share of repeated decisions that come out right, on as many pages as are needed."""
    clicks = _by_viewer(seen.clicks, seen.expected)
    preference = _by_viewer(seen.preference, seen.expected_preference)
    right = {"ab": 0, "interleaving": 0}
    for _ in range(POWER_TRIALS):
        arms = [Sample.of(random.choice(arm, max(round(ab / 2 / PAGES_PER_VIEWER), 2))) for arm in clicks]
        found = difference(arms[1], arms[0]).interval(1 - ALPHA)
        right["ab"] += found.low > 0
        said = random.choice(preference, max(round(mixed / PAGES_PER_VIEWER), 2))
        right["interleaving"] += interleaving.outcome(said, np.arange(len(said))).delta.low > 0
    return {name: round(count / POWER_TRIALS, 3) for name, count in right.items()}


def _by_viewer(values: Floats, expected: Floats) -> Floats:
    """[..., viewers] mean over each viewer's pages, moved so that the overall mean is the exact one."""
    exact = values - values.mean(axis=-1, keepdims=True) + expected.mean(axis=-1, keepdims=True)
    return exact.reshape(*exact.shape[:-1], -1, PAGES_PER_VIEWER).mean(axis=-1)


def _range(values: Floats) -> list[float]:
    return [round(float(q), 1) for q in np.percentile(values, [2.5, 97.5])]


if __name__ == "__main__":
    main()
