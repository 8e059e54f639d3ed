"""Settings that may be tuned: a space is names with the values each may take. Knows neither models nor search methods."""

import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core import config
from core.errors import BadInput, ConfigError

Scalar = bool | int | float | str
Settings = Mapping[str, Scalar]
"""One point of a space."""


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool = False
    """Whether equal ratios, not equal differences, matter equally."""
    whole: bool = False
    """Whether only whole numbers count."""
    points: int = 4
    """How many of them a grid takes."""

    def __post_init__(self) -> None:
        """Raises ConfigError on a range without numbers."""
        if not self.low < self.high or (self.log and self.low <= 0) or self.points < 2:
            raise ConfigError(f"{self} is no range: low < high, low > 0 with log, at least 2 points")

    def values(self) -> tuple[Scalar, ...]:
        """`points` of its numbers, evenly spaced, low to high."""
        spaced = np.geomspace if self.log else np.linspace
        found = spaced(self.low, self.high, self.points)
        return tuple(dict.fromkeys(round(float(v)) if self.whole else float(f"{v:.6g}") for v in found))


Space = Mapping[str, Range | tuple[Scalar, ...]]
"""Name → what it may be: a range of numbers, or one of some values."""


def grid(space: Space) -> list[dict[str, Scalar]]:
    """Every combination, the last name varying fastest."""
    values = [v.values() if isinstance(v, Range) else v for v in space.values()]
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*values)]


def parse(table: Mapping[str, Any]) -> dict[str, Range | tuple[Scalar, ...]]:
    """A space from plain values: a list is one of its values, `{low, high, log, whole, points}` is a range.

    Raises:
        ConfigError: anything else.
    """
    space: dict[str, Range | tuple[Scalar, ...]] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            space[name] = config.from_dict(Range, value)
        elif isinstance(value, list) and value and all(isinstance(v, Scalar) for v in value):
            space[name] = tuple(value)
        else:
            raise ConfigError(f"'{name}' must be a list of values or a table with low and high, got {value!r}")
    return space


def read(path: Path) -> dict[str, Range | tuple[Scalar, ...]]:
    """A space from a TOML file, as `parse` wants it.

    Raises:
        BadInput: there is no such file, it is no TOML, or no space.
    """
    try:
        return parse(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{path} cannot be read as TOML: {error}") from error
