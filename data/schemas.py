"""What the three tables of a dataset must look like, declared once with pandera, and the same declaration as row rules.

A schema says types, emptiness, uniqueness, ranges, and what must hold within a row. pandera's own run of it is slow, for it
collects every check by itself; `rules` turns the same declaration into expressions that polars evaluates in one pass. A test
holds both to the same verdict.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pandera.polars as pa
import polars as pl

from core import columns as c
from core import events as ev

OUTCOMES = (ev.CLICK, ev.WATCH, ev.LIKE, ev.DISLIKE)
KEYS = {"events": c.EVENT_ID, "viewers": c.VIEWER_ID, "videos": c.VIDEO_ID}
_HOLDS = "holds"


@dataclass(frozen=True)
class Rule:
    """Something that every row must keep."""

    what: str
    broken: pl.Expr
    """True for rows that break it, never null."""

    @property
    def columns(self) -> list[str]:
        """The columns it reads."""
        return self.broken.meta.root_names()


def schema(table: str) -> pa.DataFrameSchema:
    """The declaration of `events`, `viewers` or `videos`."""
    return {"events": _events, "viewers": _viewers, "videos": _videos}[table]()


def rules(declared: pa.DataFrameSchema) -> list[Rule]:
    """A schema's emptiness, range and row checks; types and uniqueness are not about single rows."""
    found = []
    for name, column in declared.columns.items():
        if not column.nullable:
            found.append(Rule(f"{name} is never empty", pl.col(name).is_null()))
        found += [Rule(f"{name} {check.error}", ~check.statistics[_HOLDS].fill_null(True)) for check in column.checks]
    return found + [Rule(check.error, ~check.statistics[_HOLDS].fill_null(False)) for check in declared.checks]


def _events() -> pa.DataFrameSchema:
    kind = pl.col(c.KIND)
    return pa.DataFrameSchema(
        {
            c.EVENT_ID: pa.Column(pl.String, unique=True),
            c.KIND: _column(c.KIND, pl.String, ("is a known kind", lambda v: v.is_in(list(ev.KINDS)))),
            c.EVENT_AT: _column(c.EVENT_AT, pl.Int64, _SINCE_1970),
            c.RECEIVED_AT: _column(c.RECEIVED_AT, pl.Int64, _SINCE_1970),
            c.VIEWER_ID: _column(c.VIEWER_ID, pl.Int64, _NOT_NEGATIVE),
            c.VIDEO_ID: _column(c.VIDEO_ID, pl.Int64, _NOT_NEGATIVE, nullable=True),
            c.REQUEST_ID: pa.Column(pl.String, nullable=True),
            c.POSITION: _column(c.POSITION, pl.Int32, _NOT_NEGATIVE, nullable=True),
            c.VALUE: _column(c.VALUE, pl.Float64, ("is finite", lambda v: v.is_finite()), nullable=True),
            c.PROPENSITY: _column(c.PROPENSITY, pl.Float64, ("is in (0, 1]", lambda v: (v > 0) & (v <= 1)), nullable=True),
        },
        checks=[
            _row("received_at ≥ event_at", pl.col(c.RECEIVED_AT) >= pl.col(c.EVENT_AT)),
            _row("a watch has a length ≥ 0", (kind != ev.WATCH) | (pl.col(c.VALUE) >= 0)),
            _row("names its video", pl.col(c.VIDEO_ID).is_not_null() | ~kind.is_in([ev.IMPRESSION, *OUTCOMES])),
            _row("an impression names its request", (kind != ev.IMPRESSION) | pl.col(c.REQUEST_ID).is_not_null()),
        ],
    )


def _viewers() -> pa.DataFrameSchema:
    columns = {c.VIEWER_ID: _column(c.VIEWER_ID, pl.Int64, _NOT_NEGATIVE, unique=True)}
    texts = {name: pa.Column(pl.String) for name in (c.EXTERNAL_ID, *c.VIEWER_ATTRIBUTES)}
    return pa.DataFrameSchema({**columns, **texts})


def _videos() -> pa.DataFrameSchema:
    texts = {name: pa.Column(pl.String) for name in (c.EXTERNAL_ID, c.TITLE, c.CATEGORY, c.LANGUAGE)}
    finite = pl.col(c.CONTENT).list.eval(pl.element().is_finite()).list.all()
    return pa.DataFrameSchema(
        {
            c.VIDEO_ID: _column(c.VIDEO_ID, pl.Int64, _NOT_NEGATIVE, unique=True),
            **texts,
            c.CHANNEL_ID: _column(c.CHANNEL_ID, pl.Int64, _NOT_NEGATIVE),
            c.DURATION_S: _column(
                c.DURATION_S, pl.Float32, ("is finite and ≥ 0", lambda v: v.is_finite() & (v >= 0)), nullable=True
            ),
            c.UPLOADED_AT: _column(c.UPLOADED_AT, pl.Int64, _SINCE_1970, nullable=True),
            c.CONTENT: pa.Column(pl.List(pl.Float32), nullable=True),
        },
        checks=[_row("content is finite", finite.fill_null(True))],
    )


_Condition = tuple[str, Callable[[pl.Expr], pl.Expr]]
_NOT_NEGATIVE: _Condition = ("is not negative", lambda v: v >= 0)
_SINCE_1970: _Condition = ("is not before 1970", lambda v: v >= 0)


def _column(
    name: str, dtype: type[pl.DataType], condition: _Condition, *, nullable: bool = False, unique: bool = False
) -> pa.Column:
    """A column with one condition on its values; empty ones pass it."""
    what, holds = condition
    return pa.Column(dtype, _check(what, holds(pl.col(name)), empty=True), nullable=nullable, unique=unique)


def _row(what: str, holds: pl.Expr) -> pa.Check:
    """A condition on whole rows; what cannot be decided fails it."""
    return _check(what, holds, empty=False)


def _check(what: str, holds: pl.Expr, *, empty: bool) -> pa.Check:
    return pa.Check(lambda data: data.lazyframe.select(holds.fill_null(empty)), error=what, statistics={_HOLDS: holds})
