"""Logs in the layout of the Open Bandit Dataset (Saito et al. 2020): `item_id, position, click, propensity_score` per row.

A path is a .csv (or Parquet) file, or the folder that holds it; other columns are ignored. Row numbers in messages count the
header as line 1. Knows nothing of estimators.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.errors import BadInput
from data.quarantine import LINE, RawTable
from data.sources import text
from experiments.estimators import Floats

VIDEO, POSITION, REWARD, PROPENSITY = "item_id", "position", "click", "propensity_score"
_CONTEXT = "item_context.csv"
"""Stands beside the log in the dataset's own folders."""

_LEAST = 1e-100
"""A smaller propensity is none: squares of its weight would not be numbers."""

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class BanditLog:
    """N logged rows: one video shown in one position each."""

    video_N: Codes
    position_N: Codes
    reward_N: Floats
    propensity_N: Floats

    def __len__(self) -> int:
        return len(self.reward_N)


def read(path: Path) -> BanditLog:
    """A behaviour log with its propensities.

    Raises:
        BadInput: no file, no rows, or a value that cannot be (a propensity outside (0, 1], a click other than 0 or 1).
        SchemaMismatch: a column is missing.
    """
    table = _open(path)
    roles = {VIDEO: "what was shown", POSITION: "where", REWARD: "0 or 1", PROPENSITY: "probability of having shown it there"}
    for column, role in roles.items():
        text.require(table, column, role)
    video, position = _codes(table)
    reward, propensity = _numbers(table, REWARD), _numbers(table, PROPENSITY)
    _refuse(table, REWARD, (reward != 0) & (reward != 1), "must be 0 or 1")
    rule = (
        "must be above 0 and at most 1: it is the probability with which the logging policy showed this video in this position"
    )
    _refuse(table, PROPENSITY, ~((propensity >= _LEAST) & (propensity <= 1)), rule)
    return BanditLog(video, position, reward, propensity)


def read_shown(path: Path) -> tuple[Codes, Codes]:
    """(videos, positions) of the rows of a log whose propensities do not matter. Raises as `read`."""
    table = _open(path)
    for column in (VIDEO, POSITION):
        text.require(table, column, "of the target policy's log")
    return _codes(table)


def _open(path: Path) -> RawTable:
    if path.is_dir():
        logs = sorted(file for file in path.glob("*.csv") if file.name != _CONTEXT)
        if len(logs) != 1:
            found = ", ".join(file.name for file in logs) or "none"
            raise BadInput(f"{path} must hold exactly one log (.csv), found: {found}; pass the file itself")
        path = logs[0]
    table = text.read(path)
    if len(table.broken):
        first = table.broken.row(0, named=True)
        raise BadInput(f"{path}: {len(table.broken):,} broken rows; line {first['line']}: {first['reason']}")
    if not len(table.frame):
        raise BadInput(f"{path} has a header but no rows")
    return table


def _codes(table: RawTable) -> tuple[Codes, Codes]:
    return _whole(table, VIDEO), _whole(table, POSITION)


def _whole(table: RawTable, column: str) -> Codes:
    values = table.frame[column].cast(pl.Int64, strict=False)
    _refuse(table, column, values.is_null().to_numpy(), "must be a whole number")
    return values.to_numpy()


def _numbers(table: RawTable, column: str) -> Floats:
    values = table.frame[column].cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    _refuse(table, column, ~np.isfinite(values), "must be a number")
    return np.asarray(values, dtype=np.float64)


def _refuse(table: RawTable, column: str, wrong: NDArray[np.bool_], rule: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        value, line = table.frame[column][row], table.frame[LINE][row]
        raise BadInput(
            f"{table.file}: {int(wrong.sum()):,} values of {column} are unusable (line {line}: '{value}'); it {rule}"
        )
