"""Where a laboratory run keeps its weeks, so that it can be killed at any moment and continued.

    <root>/<fingerprint of the config>/seed-1/start/              the history and the release that every policy starts from
    <root>/<fingerprint of the config>/seed-1/<policy>/week-03/   events.parquet, record.json, and the release that comes next

A folder appears by one rename, complete; what a killed run left half-written has another name and is removed by the next.
Releases are kept only where the next week starts from.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from core import config as configs
from core.errors import BadInput

EVENTS, RECORD, CONFIG = "events.parquet", "record.json", "config.json"
_HEAVY = ("release", "towers.safetensors")


@dataclass(frozen=True)
class Shelf:
    """The weeks of one config."""

    path: Path

    @staticmethod
    def of(root: Path, config: object) -> "Shelf":
        """Opened, created when absent; `config` is the frozen dataclass that decides everything."""
        path = root / configs.fingerprint(config)
        path.mkdir(parents=True, exist_ok=True)
        (path / CONFIG).write_text(json.dumps(configs.to_dict(config), indent=1, sort_keys=True))
        return Shelf(path)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Only one command at a time lives here; the kernel lets the next one in when its holder is killed.

        Raises:
            BadInput: another one is at work.
        """
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BadInput(f"another run is at work in {self.path}; wait for it, or end it") from error
            yield

    def start(self, seed: int) -> Path:
        """What all policies of a seed begin with; it may not be there yet."""
        return self.path / f"seed-{seed}" / "start"

    def week(self, seed: int, arm: str, week: int) -> Path:
        """One week of one policy; it may not be there yet. Week 0 is the start."""
        return self.path / f"seed-{seed}" / arm / f"week-{week:02d}" if week else self.start(seed)

    def done(self, seed: int, arm: str) -> int:
        """Weeks that are complete."""
        week = 0
        while self.week(seed, arm, week + 1).is_dir():
            week += 1
        return week

    def events(self, seed: int, arm: str, weeks: int) -> pl.DataFrame:
        """The history and the first `weeks` weeks of a policy, in the order written."""
        return pl.concat([pl.read_parquet(self.week(seed, arm, week) / EVENTS) for week in range(weeks + 1)])

    def record(self, seed: int, arm: str, week: int) -> dict[str, Any]:
        """What was measured in a complete week."""
        found: dict[str, Any] = json.loads((self.week(seed, arm, week) / RECORD).read_text())
        return found

    def forget_release(self, seed: int, arm: str, week: int) -> None:
        """Drop what only the week after needed; the start stays, other policies begin there."""
        for name in _HEAVY if week else ():
            path = self.week(seed, arm, week) / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def commit(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder that then becomes `path`, all at once."""
    staged = path.with_name(f".staged-{path.name}")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    write(staged)
    os.replace(staged, path)
