"""A pipeline run's request, and one of its steps at work.

A run is a folder `var/<space>/pipeline/<run>/` with `request.json`, written once before anything else; every step reads it. So
a resume, in another process and perhaps much later, works on exactly what was asked for first.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from core import config as configs
from core import files, rng
from core.errors import BadInput, ConfigError
from pipelines.orchestration import journal
from pipelines.orchestration.journal import Journal
from pipelines.orchestration.products import Product, Shelf
from pipelines.orchestration.retry import retrying
from pipelines.presets import RunConfig, reseeded
from pipelines.progress import Stages
from pipelines.spaces import Space

REQUEST = "request.json"
Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Request:
    """What a pipeline run was asked for."""

    source: str
    config: RunConfig
    seeds: tuple[int, ...]
    """The first is the config's own, and the one that is registered; the others say how much of a result is luck."""
    gated: bool = True
    """Whether the release must pass its gates before it serves."""
    path: str | None = None
    """Absolute, of the log."""
    mapping: str | None = None
    """Absolute, of the TOML file that names the columns."""
    shards: int = 1
    """Among how many tasks the days of training rows are divided, at most."""
    workers: int = 1
    """How many tasks of this machine may work at a time: rows of several shards, and seeds."""

    def config_of(self, seed: int) -> RunConfig:
        """The config with another seed; as it came for its own."""
        return self.config if seed == self.config.seed else reseeded(self.config, seed)

    def step(self, name: str, seed: int) -> str:
        """What a step that runs once per seed is called in the journal."""
        return step_name(name, self.seeds, seed)

    def write(self, folder: Path) -> None:
        """Begin the run `folder`."""
        files.write_json(folder / REQUEST, configs.to_dict(self))


def step_name(name: str, seeds: Sequence[int], seed: int) -> str:
    """What a step that runs once per seed is called in the journal."""
    return name if len(seeds) == 1 else f"{name}: seed {seed}"


def read(folder: Path) -> Request:
    """What the run in `folder` was asked for; settings that an earlier program wrote and this one no longer has do not count.

    Raises:
        BadInput: there is no such run, or its request cannot be understood any more.
    """
    if not (folder / REQUEST).is_file():
        raise BadInput(f"there is no pipeline run '{folder.name}' in {folder.parent}; `upnext pipeline status` lists them")
    try:
        return configs.from_dict(Request, configs.known(Request, json.loads((folder / REQUEST).read_text())))
    except (ConfigError, TypeError, ValueError) as error:
        raise BadInput(
            f"pipeline run '{folder.name}' was asked for by another version of this program ({error}); begin a new one with "
            "`upnext pipeline run`"
        ) from error


@dataclass
class Job:
    """One step of the run in `folder`."""

    folder: Path
    request: Request
    seed: int
    advance: Callable[[float, str], None]
    note: str = ""
    """What it says when it is done."""
    made: list[Product] = field(default_factory=list)

    @property
    def space(self) -> Space:
        """Where the run keeps its things."""
        return Space(self.folder.parents[1])

    @property
    def shelf(self) -> Shelf:
        """What steps have made."""
        return Shelf(self.space.products)

    @property
    def config(self) -> RunConfig:
        """With this job's seed."""
        return self.request.config_of(self.seed)

    @property
    def stages(self) -> Stages:
        """The steps of the run that are done, with their times."""
        done = journal.status(self.folder).steps.values()
        return Stages(seconds=[(step.name, step.seconds) for step in done if step.seconds is not None])

    def make(self, step: str, packages: tuple[str, ...], write: Callable[[Path], None], **inputs: Any) -> Product:
        """See `Shelf.make`."""
        product = self.shelf.make(step, inputs, packages, write)
        self.made.append(product)
        return product


def perform(
    folder: Path,
    name: str,
    seed: int | None,
    work: Callable[Concatenate[Job, Given], Result],
    *given: Given.args,
    **named: Given.kwargs,
) -> Result:
    """Do `work` as the step `name`, for one seed where there are several: with journal, progress, and further tries."""
    request, diary = read(folder), Journal(folder)
    name = name if seed is None else request.step(name, seed)

    def waits(tried: int, wait_s: float, error: BaseException) -> None:
        diary.write("waits", step=name, note=f"try {tried} failed ({error}); again in {wait_s:.1f} s")

    # The process id tells apart runs that fail together; nothing that is learned depends on it.
    @retrying(rng.stream(request.config.seed, "retry", folder.name, name, os.getpid()), heard=waits)
    def once() -> Result:
        with diary.step(name) as entry:
            job = Job(folder, request, request.config.seed if seed is None else seed, entry.advance)
            entry.result = result = work(job, *given, **named)
            entry.note, entry.reused = job.note, bool(job.made) and all(product.reused for product in job.made)
            return result

    return once()
