"""Is a thousand chosen labels worth ten thousand drawn by chance? Label-efficiency curves on the world's videos.

    python -m benchmarks.active_learning --seeds 5 --plot docs/images/label-efficiency.svg

A softmax regression on content vectors learns from people who err: on 20,000 videos it may ask about, tested on 10,000 others
against the truth. Two questions: clickbait (two classes, where all ways of choosing by probability are the same) and topic (24
classes). An answer is wrong with probability 5 %, for clickbait up to 30 % close to the boundary, and costs 8 seconds. Reported
per question, with 95 % t intervals over worlds: the accuracy curves, and how many random labels equal 1,000 chosen ones, by
interpolation of the random curve (the mean ratio is geometric). A world in which even the largest random sample is worse
counts as that sample's size: the ratio is then a lower bound, `at_least` says in how many. Also, counted in answers: three
answers per video instead of one.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results_file
from benchmarks.plot import Panel, Point, draw
from core import rng
from core.inference import t_interval
from data.labels import active, logistic
from data.labels.active import Annotators, Method
from data.labels.logistic import Floats, Softmax
from data.world import kinds
from data.world.catalogue import Videos, make_videos
from data.world.config import lab

NUM_POOL, NUM_TEST = 20_000, 10_000
CHOSEN, STEP = 1_000, 150
SIZES = (100, 250, 400, 550, 700, 850, 1_000, 1_500, 2_000, 3_000, 5_000, 7_000, 10_000, 15_000)
ERROR, HARD_ERROR, HARD_WITHIN = 0.05, 0.3, 0.15
METHODS: Mapping[str, tuple[Method, ...]] = {"clickbait": ("margin",), "topic": ("uncertainty", "margin", "entropy")}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--plot", type=Path, default=None, help="write the curves here as SVG")
    arguments = parser.parse_args()
    worlds = {seed: make_videos(_config(seed)) for seed in range(1, arguments.seeds + 1)}
    result = {}
    for question in METHODS:
        found = [one_world(question, videos, seed) for seed, videos in worlds.items()]
        result[question] = _over_worlds(found, question)
        print(question, result[question]["equal_random"])
    if arguments.plot is not None:
        arguments.plot.write_text(figure(result))
    results_file.keep("active-learning", {"chosen": CHOSEN, **result}, arguments)


def _config(seed: int) -> Any:
    return replace(lab(), seed=seed, num_videos=NUM_POOL + NUM_TEST, num_channels=1_500)


def one_world(question: str, videos: Videos, seed: int) -> dict[str, dict[int, float]]:
    """Accuracy on the test videos by way of choosing and number of labels."""
    x, truth, error, classes = _task(question, videos, seed)
    people = Annotators(truth[:NUM_POOL], error[:NUM_POOL], classes)
    pool, test = x[:NUM_POOL], x[NUM_POOL:]

    def accuracy(model: Softmax) -> float:
        return float((model.probability(test).argmax(axis=1) == truth[NUM_POOL:]).mean())

    def by_chance(count: int, who: Annotators) -> float:
        random = rng.stream(seed, "by chance", question, who.votes)
        rows = random.permutation(NUM_POOL)[:count]
        return accuracy(logistic.fit(pool[rows], logistic.one_hot(who.labels(rows, random), classes)))

    curves = {"random": {size: by_chance(size, people) for size in SIZES}}
    for method in METHODS[question]:
        random = rng.stream(seed, "chosen", question, method)
        rounds = active.learn(pool, lambda rows: people.labels(rows, random), classes, method, random, step=STEP, most=CHOSEN)  # noqa: B023
        curves[method] = {labels: accuracy(model) for labels, model in rounds}
    careful = replace(people, votes=3)
    curves["random, three answers"] = {3_000: by_chance(1_000, careful), 15_000: by_chance(5_000, careful)}
    return curves


def _task(question: str, videos: Videos, seed: int) -> tuple[Floats, Any, Floats, int]:
    """Features, classes of the truth, chance of a wrong answer, number of classes; videos in random order."""
    order = rng.stream(seed, "order").permutation(len(videos))
    x = np.concatenate([videos.content_VC, np.log(videos.duration_s)[:, None]], axis=1).astype(np.float64)
    x = ((x - x.mean(axis=0)) / x.std(axis=0))[order]
    if question == "topic":
        return x, videos.main_topic[order].astype(np.int64), np.full(len(x), ERROR), videos.topics_VT.shape[1]
    level = videos.clickbait[order].astype(np.float64)
    close = np.clip(1.0 - np.abs(level - kinds.CLICKBAIT) / HARD_WITHIN, 0.0, 1.0)
    return x, (level >= kinds.CLICKBAIT).astype(np.int64), ERROR + (HARD_ERROR - ERROR) * close, 2


def _over_worlds(found: list[dict[str, dict[int, float]]], question: str) -> dict[str, Any]:
    curves = {
        name: {labels: t_interval([one[name][labels] for one in found]).to_json() for labels in found[0][name]}
        for name in found[0]
    }
    equal, paired = {}, {}
    for method in METHODS[question]:
        needed = [_equal_random(one, method) for one in found]
        capped = [min(value, float(SIZES[-1])) for value in needed]
        equal[method] = {
            "ratio": _geometric(capped),
            "by_world": capped,
            "at_least": sum(value > SIZES[-1] for value in needed),
            "hours_saved": CHOSEN * (_geometric(capped)["mean"] - 1.0) * Annotators.answer_s / 3_600,
        }
        paired[method] = t_interval([one[method][CHOSEN] - one["random"][CHOSEN] for one in found]).to_json()
    return {"accuracy": curves, "equal_random": equal, "chosen − random at 1,000": paired}


def figure(result: Mapping[str, Any]) -> str:
    """Accuracy by number of labels with its interval over worlds, one panel per question."""
    panels = []
    for question in METHODS:
        series = {
            name: [Point(float(n), one["mean"], one["low"], one["high"], f"{name}, {n} labels") for n, one in curve.items()]
            for name, curve in result[question]["accuracy"].items()
        }
        ticks = {float(n): f"{n:,}" for n in (100, 300, 1_000, 3_000, 10_000)}
        panels.append(Panel(f"{question}, accuracy", "labels", "", series, ticks, log_x=True, y_from=0.7))
    return draw(panels)


def _geometric(needed: list[float]) -> dict[str, float]:
    """Random labels per chosen one: geometric mean over worlds, with its interval."""
    found = t_interval(np.log(np.array(needed) / CHOSEN))
    return {name: float(np.exp(value)) for name, value in (("mean", found.mean), ("low", found.low), ("high", found.high))}


def _equal_random(one: dict[str, dict[int, float]], method: str) -> float:
    """Random labels that are as good as the chosen ones; inf if no sample was."""
    sizes, quality = (np.array(list(values), dtype=np.float64) for values in (one["random"], one["random"].values()))
    needed = active.labels_needed(sizes, quality, one[method][CHOSEN])
    return float("inf") if np.isnan(needed) else needed


if __name__ == "__main__":
    main()
