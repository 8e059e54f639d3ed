"""What do a few hundred answers add to labelling functions? Two people at the desk of the labelling page, in several worlds.

    python -m benchmarks.labelling --worlds 6

In each world (`lab`) two people answer in turn whatever the desk asks them, wrong with probability 5 %. Compared on the videos
that nobody was asked about, after every 100 answers: the label model alone, the label model corrected by the answers (as the
page and the training run do it), and the same regression without any labelling function. Also: the error that the two people's
disagreement gives away; and how many of the videos at or above the bound of kids mode are what they should be, and how many of
those that should be are found. An answer is counted as 8 seconds. Reported with 95 % t intervals over worlds.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from app.fakes import MemoryLog
from benchmarks import results_file
from core import rng
from core.inference import t_interval
from data.catalogue import Catalogue
from data.labels.active import Annotators
from data.labels.answers import NO, YES, Answer, Answers
from data.labels.desk import Desk
from data.labels.taught import Question
from data.world import kinds
from data.world.config import lab
from data.world.simulate import history
from data.world.world import World
from pipelines import labelling, labels
from serving.config import ServingConfig

FIRST_SEED, MOST, STEP, ERROR = 101, 300, 100, 0.05
BOUND = ServingConfig().kids_mode
Truth = NDArray[np.bool_]


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--worlds", type=int, default=6)
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {"clickbait": [], "kids": []}
    for seed in range(FIRST_SEED, FIRST_SEED + arguments.worlds):
        world = World(replace(lab(), seed=seed))
        dataset = history(world)
        plain = Catalogue.of(dataset.videos)
        catalogue = labelling.labelled(plain, labels.programmatic(dataset), None)
        truths = {"clickbait": kinds.is_clickbait(world), "kids": kinds.is_for_kids(world)}
        for question, truth in truths.items():
            found[question].append(dict(one_world(question, catalogue, plain, truth, seed)))
            print(seed, question, found[question][-1])
    result = {
        q: {name: t_interval([one[name] for one in worlds]).to_json() for name in worlds[0]} for q, worlds in found.items()
    }
    hours = MOST * Annotators.answer_s / 3_600
    results_file.keep("labelling", {"world": lab().name, "hours": hours, "quality": result}, arguments)


def one_world(question: str, catalogue: Catalogue, plain: Catalogue, truth: Truth, seed: int) -> Iterator[tuple[str, float]]:
    """Accuracy and AUC by way and number of answers."""
    answers, random = Answers(MemoryLog()), rng.stream(seed, "two people", question)
    desk, ways = (
        Desk(catalogue, answers),
        {"corrected": Question.of(catalogue, question), "people alone": Question.of(plain, question)},
    )
    for number in range(1, MOST + 1):
        who = ("ada", "bob")[number % 2]
        video_id = desk.next(question, who)
        assert video_id is not None
        right = truth[catalogue.rows([video_id])[0]] ^ (random.random() < ERROR)
        answers.add(Answer(f"{number}", question, video_id, who, YES if right else NO, number))
        desk.refit(question)
        if number % STEP == 0:
            tally, error = answers.tally(question, catalogue), answers.error(question)
            others = np.setdiff1d(np.arange(len(truth)), tally.rows)
            found: dict[str, NDArray[Any]] = {"label model": catalogue.labels[question]}
            found |= {name: way.probability(tally, error) for name, way in ways.items()}
            for name, p in found.items():
                for what, value in _measured(p[others], truth[others]).items():
                    yield f"{name} at {number}: {what}", value
    agreement = answers.agreement(question)
    yield "pairs", float(agreement.pairs)
    yield "error from disagreement", answers.error(question)


def _measured(probability: NDArray[Any], truth: Truth) -> dict[str, float]:
    ranks, positives = rankdata(probability), int(truth.sum())
    area = (ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * (len(truth) - positives))
    shown = probability >= BOUND
    return {
        "accuracy": float(((probability > 0.5) == truth).mean()),
        "auc": float(area),
        "right above the bound": float(truth[shown].mean()) if shown.any() else 1.0,
        "found above the bound": float(shown[truth].mean()),
    }


if __name__ == "__main__":
    main()
