"""A year of a recommender that runs by itself, against one that retrains blindly and one that never learns again.

    the world's history → first release ┬→ system: [serve · look · act] × 7 → data checks → train → gates → canary next week
                                        ├→ blind:  serve × 7 → train → serve it
                                        └→ frozen: serve × 7

All arms of a seed meet the same visits, the same luck and the same faults, so their differences are paired; seeds differ in all
of these. A year that is killed goes on with the week it was in (`pipelines.lab.state`) and gives the same numbers. What is
compared is the true satisfaction of people's pages; pages that bots ask for do not count.
"""

from collections.abc import Sequence
from pathlib import Path

from core.errors import BadInput
from data.dataset import Dataset
from data.world.world import World
from pipelines.lab import loop as lab_loop
from pipelines.lab import year_training
from pipelines.lab.config import LabConfig
from pipelines.lab.state import Shelf
from pipelines.lab.year_config import YearConfig
from pipelines.lab.year_week import live_week
from pipelines.presets import RunConfig
from pipelines.progress import Stages


def run(
    config: YearConfig, arms: Sequence[str], seeds: Sequence[int], weeks: int, root: Path, stages: Stages, *, workers: int = 2
) -> Shelf:
    """Live through all weeks of all arms and seeds that are not there yet.

    Raises:
        BadInput: the world ends before.
    """
    if not 1 <= weeks <= config.lab.max_weeks:
        raise BadInput(f"this world lasts {config.lab.max_weeks} weeks, {weeks} were asked for; set lab.run.world.days")
    shelf, pairs = Shelf.of(root, config), [(seed, arm) for seed in seeds for arm in arms]

    def begun() -> int:
        return sum(shelf.start(seed).is_dir() for seed in seeds)

    def lived() -> int:
        return sum(min(shelf.done(seed, arm), weeks) for seed, arm in pairs)

    with shelf.alone():
        todo = [(config, seed, shelf) for seed in seeds if not shelf.start(seed).is_dir()]
        lab_loop.staged(stages, "start", _begin, todo, workers, begun, len(seeds))
        jobs = [(config, *pair, weeks, shelf) for pair in pairs]
        lab_loop.staged(stages, "weeks", _live, jobs, workers, lived, weeks * len(pairs))
    return shelf


def _begin(config: YearConfig, seed: int, shelf: Shelf) -> None:
    """The world's history and the first release, trained as all later ones."""

    def first(dataset: Dataset, lab: LabConfig, run: RunConfig, folder: Path) -> None:
        year_training.train(dataset, lab.starts_at(1), config, run, folder)

    lab_loop.begin(config.world, seed, shelf, first)


def _live(config: YearConfig, seed: int, arm: str, weeks: int, shelf: Shelf) -> None:
    """The weeks of one arm that are not there yet."""
    world = World(config.world.of_seed(seed).world)
    with lab_loop.one_thread():
        for week in range(shelf.done(seed, arm) + 1, weeks + 1):
            live_week(world, config, seed, arm, week, shelf)
