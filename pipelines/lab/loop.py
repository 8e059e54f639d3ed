"""The laboratory for feedback loops: serve → log → retrain, week after week, under several policies on the same world.

    the world's history → first release ┬→ policy A: [pages → reactions → log → warm-started training → next release] × weeks
                                        └→ policy B: …

Serving is `serving` in process, training is what `upnext train` runs, reactions are the world's. Policies of one seed share
world, history, visits and luck, so their differences are paired; seeds differ in all of these. Every week is kept
(`pipelines.lab.state`), so that a killed run continues; a continued run gives the same numbers as one in one go.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl

from core import columns as c
from core.clock import DAY_MS
from core.errors import BadInput
from core.process import end_with
from data import dataset as datasets
from data.dataset import Dataset
from data.world import simulate
from data.world.world import World
from features.memory_store import MemoryStore
from pipelines.lab import record as lab_record
from pipelines.lab import training
from pipelines.lab import week as lab_week
from pipelines.lab.config import Arm, LabConfig
from pipelines.lab.policies import Thompson, recommender, serving_policy
from pipelines.lab.state import EVENTS, RECORD, Shelf, commit
from pipelines.presets import RunConfig
from pipelines.progress import Stages
from serving.live import go_live

_POLL_S = 0.5
Job = tuple[Any, ...]
Work = Callable[..., None]
Train = Callable[[Dataset, LabConfig, RunConfig, Path], None]


def run(
    config: LabConfig, arms: Sequence[Arm], seeds: Sequence[int], weeks: int, root: Path, stages: Stages, *, workers: int = 2
) -> Shelf:
    """Live through all weeks of all policies and seeds that are not there yet.

    Raises:
        BadInput: the world ends before.
    """
    if not 1 <= weeks <= config.max_weeks:
        raise BadInput(f"this world lasts {config.max_weeks} weeks, {weeks} were asked for; set run.world.days")
    shelf, pairs = Shelf.of(root, config), [(seed, arm) for seed in seeds for arm in arms]

    def begun() -> int:
        return sum(shelf.start(seed).is_dir() for seed in seeds)

    def lived() -> int:
        return sum(min(shelf.done(seed, arm.name), weeks) for seed, arm in pairs)

    with shelf.alone():
        todo = [(config, seed, shelf) for seed in seeds if not shelf.start(seed).is_dir()]
        staged(stages, "start", begin, todo, workers, begun, len(seeds))
        staged(stages, "weeks", _live, [(config, *pair, weeks, shelf) for pair in pairs], workers, lived, weeks * len(pairs))
    return shelf


def staged(
    stages: Stages, name: str, work: Work, jobs: Sequence[Job], workers: int, done: Callable[[], int], total: int
) -> None:
    """Do jobs, and show how much of their result is there."""
    with stages(name) as stage:
        before = done()
        for _ in _each(work, jobs, workers):
            stage.advance(done() / total, f"{done()} of {total}")
        stage.note = f"{total}, of which {before} were there"


def _each(work: Work, jobs: Sequence[Job], workers: int) -> Iterator[None]:
    """Do the jobs, in processes when there are several workers; yields now and then."""
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            work(*job)
            yield
        return
    # A fork of a process with threads may hang, so children start anew.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=end_with, initargs=(os.getpid(),)) as pool:
        waiting = {pool.submit(work, *job) for job in jobs}
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=_POLL_S)
                for future in finished:
                    future.result()
                yield
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def one_thread() -> Iterator[None]:
    """Several processes with several threads each fight for the cores; results also depend on the number of threads."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def begin(config: LabConfig, seed: int, shelf: Shelf, train: Train = training.first) -> None:
    """The world's history and the release that every policy of the seed starts from."""
    settings = config.of_seed(seed)
    world = World(settings.world)
    # The same world, whose log by the old policy ends early.
    world.config = replace(settings.world, days=config.history_days)
    history = simulate.history(world)

    def write(folder: Path) -> None:
        history.events.write_parquet(folder / EVENTS)
        train(dataset_of(world, history.events, config, 1), config, settings, folder)

    with one_thread():
        commit(shelf.start(seed), write)


def _live(config: LabConfig, seed: int, arm: Arm, weeks: int, shelf: Shelf) -> None:
    """The weeks of one policy that are not there yet."""
    world = World(config.of_seed(seed).world)
    with one_thread():
        for week in range(shelf.done(seed, arm.name) + 1, weeks + 1):
            _live_week(world, config, seed, arm, week, shelf)


def _live_week(world: World, config: LabConfig, seed: int, arm: Arm, week: int, shelf: Shelf) -> None:
    """Serve, measure, retrain, keep."""
    settings, began, worked = config.of_seed(seed), time.perf_counter(), time.process_time()
    window = config.starts_at(week), config.starts_at(week + 1)
    past = shelf.events(seed, arm.name, week - 1)
    world.remember(past)
    model = training.open_model(shelf.week(seed, arm.name, week - 1), settings)
    live = go_live(model.loaded, MemoryStore())
    live.apply(past.filter(pl.col(c.RECEIVED_AT) >= window[0]).to_arrow())
    recent = past.filter(pl.col(c.EVENT_AT) >= window[0] - config.remember_days * DAY_MS)
    policy = serving_policy(arm, live, config, seed, recent)

    def observe(events: pl.DataFrame) -> None:
        live.apply(events.to_arrow())
        if isinstance(policy, Thompson):
            policy.observe(events)

    greedy = recommender(live, settings.serving, epsilon=0.0)
    served = lab_week.serve(world, policy, greedy, window, observe, sample=config.sample, label="lab")
    served_s = time.perf_counter() - began
    events = pl.concat([past, served.events])
    record = lab_record.of_week(world, served, events, config, week)

    def write(folder: Path) -> None:
        served.events.write_parquet(folder / EVENTS)
        training.next_release(dataset_of(world, events, config, week + 1), model, arm, config, settings, week, folder)
        spent = {"serve": served_s, "whole": time.perf_counter() - began, "cpu": time.process_time() - worked}
        record["seconds"] = {name: round(seconds, 2) for name, seconds in spent.items()}
        (folder / RECORD).write_text(json.dumps(record, indent=1))

    commit(shelf.week(seed, arm.name, week), write)
    shelf.forget_release(seed, arm.name, week - 1)


def dataset_of(world: World, events: pl.DataFrame, config: LabConfig, week: int) -> Dataset:
    """What is known when week `week` begins, and the catalogue until it ends: uploads are known by their content at once."""
    known = events.filter(pl.col(c.RECEIVED_AT) < config.starts_at(week))
    videos = world.video_frame().filter(pl.col(c.UPLOADED_AT) < config.starts_at(week + 1))
    return datasets.make(world.config.name, known, world.viewer_frame(), videos)
