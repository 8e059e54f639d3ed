"""How many times fewer pages does interleaving need than an A/B test, for the same decision? Measured in several worlds.

    python -m benchmarks.interleaving --worlds 8

Two rankers order the same 40 candidates of each page by the true P(click), disturbed by noise: the first by BASE_NOISE in
logits, the second by more. The same viewers see both rankers' pages and their team draft. With the viewer as the independent
unit, the pages that 80 % power at α = .05 takes are

    A/B:           (z_{1−α/2} + z_{1−β})² · 2 · (v₁ + v₂) / δ²       δ: difference in clicks a page; v: variance per page
    with CUPED:    the same, v of clicks a page less θ · (clicks a page before), from PAGES_BEFORE pages of the first ranker
    interleaving:  (z_{1−α/2} + z_{1−β})² · v / Δ²                   Δ: mean preference, −1 to 1

in both arms together. δ and Δ are exact given the pages (the world knows its click probabilities), v comes from simulated
clicks. Numbers are geometric means over worlds, each with its own viewers, videos and luck, with t intervals of the logarithm.
`power` repeats each decision on as many pages as were found to be needed, by drawing viewers: near .8, a little less where a
dozen viewers are enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks import results_file
from core import rng
from core.clock import DAY_MS, HOUR_MS
from core.inference import t_interval
from data.world import config as worlds
from data.world.behaviour import Pages, click_chance
from data.world.world import World
from experiments import interleaving
from experiments.effects import Sample, cuped, difference

BASE_NOISE = 1.0
NOISES = (1.05, 1.1, 1.2, 1.4, 1.7, 2.0)
NUM_CANDIDATES, SLOTS = 40, 10
PAGES_PER_VIEWER, PAGES_BEFORE = 5, 20
ALPHA, POWER = 0.05, 0.8
POWER_TRIALS = 300
SEED = 1
AB, CUPED, INTERLEAVING = "ab", "ab_cuped", "interleaving"
METHODS = (AB, CUPED, INTERLEAVING)

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Seen:
    """One pair of rankers on P pages, grouped by viewer."""

    viewer: Ids
    """[P] viewer of each page."""
    before: Floats
    """[viewers] clicks a page on pages that the first ranker made earlier."""
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
    parser.add_argument("--worlds", type=int, default=8, help="at least two, for intervals")
    parser.add_argument("--viewers", type=int, default=2_000, help="viewers of each who see five pages")
    arguments = parser.parse_args()
    lab = worlds.lab()
    made = (World(replace(lab, seed=lab.seed + number)) for number in range(arguments.worlds))
    points = [[_point(watch(world, arguments.viewers, noise), noise) for noise in NOISES] for world in made]
    result = {
        "world": lab.name,
        "worlds": arguments.worlds,
        "viewers": arguments.viewers,
        "pages": arguments.viewers * PAGES_PER_VIEWER,
        "pages_before": arguments.viewers * PAGES_BEFORE,
        "candidates": NUM_CANDIDATES,
        "slots": SLOTS,
        "base_noise": BASE_NOISE,
        "curve": [over_worlds(each) for each in zip(*points, strict=True)],
    }
    for point in result["curve"]:
        print(point)
    results_file.keep("interleaving", result, arguments)


def watch(world: World, num_viewers: int, noise: float) -> Seen:
    """Viewers see pages of both rankers and of their team draft; before that, of the first one alone."""
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
        before=_before(world, viewer[::PAGES_PER_VIEWER], random),
        expected=np.stack([chance.sum(axis=1) for chance in chances[:2]]),
        clicks=np.stack([each.sum(axis=1) for each in clicked[:2]]).astype(np.float64),
        preference=interleaving.credit(merged.team_BK, clicked[2]).astype(np.float64),
        expected_preference=_expected_preference(chances[2], merged.team_BK),
    )


def _before(world: World, viewers: Ids, random: np.random.Generator) -> Floats:
    """[viewers] clicks a page of the first ranker's, in the week before."""
    viewer = np.repeat(viewers, PAGES_BEFORE)
    at = world.config.end_at - random.integers(DAY_MS, 8 * DAY_MS, len(viewer))
    page = _rank(world, viewer, at, _candidates(world, len(viewer), random), BASE_NOISE, random)[:, :SLOTS]
    clicked = random.random(page.shape) < _chances(world, viewer, at, page)
    return np.asarray(clicked.sum(axis=1).reshape(-1, PAGES_BEFORE).mean(axis=1), dtype=np.float64)


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
    """Of one world."""
    pages = pages_needed(seen)
    return {
        "noise": noise,
        "lift": float(1 - seen.expected[1].mean() / seen.expected[0].mean()),
        "clicks_per_page": float(seen.expected[0].mean()),
        "preference": float(seen.expected_preference.mean()),
        "pages": pages,
        "power": _powers(seen, pages, rng.stream(SEED, "interleaving power", repr(noise))),
    }


def over_worlds(points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One point of the curve, of the same noise in several worlds."""
    found: dict[str, Any] = {"noise": points[0]["noise"]}
    for name, digits in (("lift", 5), ("clicks_per_page", 4), ("preference", 5)):
        mean = t_interval([point[name] for point in points])
        found |= {name: round(mean.mean, digits), f"{name}_95": [round(mean.low, digits), round(mean.high, digits)]}
    pages = {method: np.array([point["pages"][method] for point in points]) for method in METHODS}
    for method, needed in pages.items():
        found |= _geometric(f"{method}_pages", needed, 0)
    found |= _geometric("times_fewer", pages[AB] / pages[INTERLEAVING], 1)
    found |= _geometric("times_fewer_cuped", pages[CUPED] / pages[INTERLEAVING], 1)
    found["power"] = {method: round(float(np.mean([point["power"][method] for point in points])), 3) for method in METHODS}
    return found


def _geometric(name: str, values: Floats, digits: int) -> dict[str, Any]:
    mean = t_interval(np.log(values))
    low, middle, high = (round(float(np.exp(value)), digits or None) for value in (mean.low, mean.mean, mean.high))
    return {name: middle, f"{name}_95": [low, high]}


def pages_needed(seen: Seen) -> dict[str, float]:
    """Pages in all, in whole viewers, by method."""
    effort = float((stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(POWER)) ** 2)
    delta = float(np.diff(seen.expected.mean(axis=1))[0])
    plain, adjusted = (2 * effort * sum(_per_page(arm) for arm in arms) / delta**2 for arms in _arms(seen))
    preference = float(seen.expected_preference.mean())
    mixed = effort * _per_page(_by_viewer(seen.preference, seen.expected_preference)) / preference**2
    return {AB: plain, CUPED: adjusted, INTERLEAVING: mixed}


def _arms(seen: Seen) -> tuple[list[Floats], list[Floats]]:
    """Both arms' clicks a page by viewer, as they are and adjusted for what the viewers did before."""
    arms = list(_by_viewer(seen.clicks, seen.expected))
    return arms, cuped(arms, [seen.before, seen.before])


def _per_page(mean_by_viewer: Floats) -> float:
    """Variance of a mean over pages, times the number of pages; pages of a viewer are not independent."""
    return Sample.of(mean_by_viewer).variance * PAGES_PER_VIEWER


def _powers(seen: Seen, pages: dict[str, float], random: np.random.Generator) -> dict[str, float]:
    """Share of repeated decisions that come out right, on as many pages as are needed."""
    plain, adjusted = _arms(seen)
    preference = _by_viewer(seen.preference, seen.expected_preference)
    right = dict.fromkeys(METHODS, 0)
    for _ in range(POWER_TRIALS):
        for method, arms in ((AB, plain), (CUPED, adjusted)):
            drawn = [Sample.of(random.choice(arm, max(round(pages[method] / 2 / PAGES_PER_VIEWER), 2))) for arm in arms]
            right[method] += difference(drawn[1], drawn[0]).interval(1 - ALPHA).low > 0
        said = random.choice(preference, max(round(pages[INTERLEAVING] / PAGES_PER_VIEWER), 2))
        right[INTERLEAVING] += interleaving.outcome(said, np.arange(len(said))).delta.low > 0
    return {method: round(count / POWER_TRIALS, 3) for method, count in right.items()}


def _by_viewer(values: Floats, expected: Floats) -> Floats:
    """[..., viewers] mean over each viewer's pages, moved so that the overall mean is the exact one."""
    exact = values - values.mean(axis=-1, keepdims=True) + expected.mean(axis=-1, keepdims=True)
    return exact.reshape(*exact.shape[:-1], -1, PAGES_PER_VIEWER).mean(axis=-1)


if __name__ == "__main__":
    main()
