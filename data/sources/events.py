"""The events file into event frames: which rows are broken, what is a duplicate, and which events each row yields.

A row's key is its viewer, video and time (and kind and request where the log has them); the key names its events. Of several
rows with the same key the first one counts. The others are set aside: as duplicates, or as saying something else where they are
not the very same row. In a log whose rows are impressions with outcomes, the key is also the request.
"""

import polars as pl

from core import columns as c
from core import events as ev
from data.quarantine import RAW, RawTable
from data.sources import convert, text
from data.sources.mapping import IGNORE, Condition, EventColumns

VIEWER_TOKEN, VIDEO_TOKEN = "__viewer__", "__video__"
_AT, _RECEIVED, _KEY = "__at__", "__received__", "__key__"
_NEVER = pl.lit(False)


def events_of(spec: EventColumns, table: RawTable, name: str, latest_at: int) -> tuple[pl.DataFrame, RawTable]:
    """Events with the columns of `columns.EVENTS` plus VIEWER_TOKEN and VIDEO_TOKEN, and the rows they came from."""
    conditions = [Condition.parse(kind, words) for kind, words in spec.when.items()]
    _require_columns(spec, table, conditions)
    at = convert.instants(table.frame[spec.time], spec.time_unit)
    received = convert.instants(table.frame[spec.received], spec.time_unit) if spec.received else at
    table = table.with_columns(
        convert.token(spec.viewer_id).alias(VIEWER_TOKEN),
        convert.token(spec.video_id).alias(VIDEO_TOKEN),
        at.alias(_AT),
        received.alias(_RECEIVED),
    ).with_columns(pl.max_horizontal(_AT, _RECEIVED).alias(_RECEIVED))
    table = table.screen(_rules(spec, conditions, latest_at)).with_columns(_key(spec, name).alias(_KEY))
    table = _once_each(table)
    table = _with_remarks(spec, table)
    frame = table.frame.with_columns(
        convert.to_ids(table.frame[VIEWER_TOKEN]).alias(c.VIEWER_ID),
        convert.to_ids(table.frame[VIDEO_TOKEN]).alias(c.VIDEO_ID),
    )
    masks = _masks(spec, conditions)
    columns = _shared_columns(spec, has_impressions=ev.IMPRESSION in masks)
    kinds = list(ev.KINDS)
    parts = [frame.filter(mask).select(*columns, *_kind_columns(spec, kind, kinds.index(kind))) for kind, mask in masks.items()]
    return pl.concat(parts), table


def _require_columns(spec: EventColumns, table: RawTable, conditions: list[Condition]) -> None:
    roles = ("viewer_id", "video_id", "time", "received", "event_id", "kind", "watch", "request_id", "position", "surface")
    for role in (*roles, "source", "propensity"):
        if (column := getattr(spec, role)) is not None:
            text.require(table, column, f"events.{role}")
    for condition in conditions:
        text.require(table, condition.column, f"events.when.{condition.kind}")
    for column in spec.required:
        text.require(table, column, "events.required")


def _rules(spec: EventColumns, conditions: list[Condition], latest_at: int) -> list[tuple[str, pl.Expr]]:
    numbers = [condition.column for condition in conditions if condition.numeric]
    numbers += [column for column in (spec.watch, spec.position, spec.propensity) if column]
    rules = [*convert.id_rules(spec.viewer_id, VIEWER_TOKEN), *convert.id_rules(spec.video_id, VIDEO_TOKEN)]
    rules += [
        (f"{spec.time} is not a time", pl.col(_AT).is_null()),
        (f"{spec.time} is negative", pl.col(_AT) < 0),
        (f"{spec.time} lies in the far future (is time_unit right?)", pl.col(_RECEIVED) >= latest_at),
    ]
    rules += [(f"{column} is empty", pl.col(column).fill_null("") == "") for column in spec.required]
    rules += [(f"{column} is not a finite number", convert.not_a_number(column)) for column in dict.fromkeys(numbers)]
    rules += [(f"{column} is negative", convert.number(column) < 0) for column in (spec.watch, spec.position) if column]
    if spec.propensity:
        propensity = convert.number(spec.propensity)
        rules.append((f"{spec.propensity} is not in (0, 1]", (propensity <= 0) | (propensity > 1)))
    if spec.kind:
        rules.append((f"{spec.kind} is not among [events.kinds]", ~pl.col(spec.kind).fill_null("").is_in(list(spec.kinds))))
    return rules


def _key(spec: EventColumns, name: str) -> pl.Expr:
    if spec.event_id:
        return pl.concat_str(pl.lit(name), pl.col(spec.event_id), separator=":")
    parts = [pl.col(VIEWER_TOKEN), pl.col(VIDEO_TOKEN), pl.col(_AT).cast(pl.String)]
    parts += [pl.col(column).fill_null("") for column in (spec.kind, spec.request_id) if column]
    return pl.concat_str(pl.lit(name), *parts, separator=":")


def _once_each(table: RawTable) -> RawTable:
    """Without the rows whose key came before."""
    again = ~pl.col(_KEY).is_first_distinct()
    if not table.frame.select(again.any()).item():  # comparing rows is for the few logs that need it
        return table
    another = again & (pl.col(RAW) != pl.col(RAW).first().over(_KEY))
    return table.screen(
        [("says something else than an earlier row of the same event", another), ("duplicate of an earlier row", again)]
    )


def _with_remarks(spec: EventColumns, table: RawTable) -> RawTable:
    if spec.time_unit == "order":
        return table.warn("has no times; its order stands in for them, so features of time and age mean nothing")
    year_1990 = 631_152_000_000
    if len(table.frame) and float(table.frame[_AT].median() or 0) < year_1990:  # type: ignore[arg-type]
        return table.warn(f"most events are older than 1990: is time_unit = '{spec.time_unit}' right?")
    return table


def _masks(spec: EventColumns, conditions: list[Condition]) -> dict[str, pl.Expr]:
    """Kind → which rows are one."""
    masks: dict[str, pl.Expr] = dict.fromkeys(spec.always, pl.lit(True))
    for condition in conditions:
        masks[condition.kind] = masks.get(condition.kind, _NEVER) | condition.holds()
    for value, kinds in spec.kinds.items():
        for kind in kinds:
            if kind != IGNORE:
                masks[kind] = masks.get(kind, _NEVER) | (pl.col(spec.kind or "") == value)
    if spec.watch:
        masks[ev.WATCH] = masks.get(ev.WATCH, pl.lit(True)) & (convert.number(spec.watch) > 0).fill_null(False)
    return masks


def _shared_columns(spec: EventColumns, *, has_impressions: bool) -> list[pl.Expr]:
    own = pl.col(_KEY) if has_impressions else pl.lit(None, dtype=pl.String)
    request = pl.col(spec.request_id) if spec.request_id else own
    return [
        pl.col(_AT).alias(c.EVENT_AT),
        pl.col(_RECEIVED).alias(c.RECEIVED_AT),
        pl.col(c.VIEWER_ID),
        pl.col(c.VIDEO_ID),
        pl.col(VIEWER_TOKEN),
        pl.col(VIDEO_TOKEN),
        request.alias(c.REQUEST_ID),
    ]


def _kind_columns(spec: EventColumns, kind: str, order: int) -> list[pl.Expr]:
    """What differs by kind. `order` in the id keeps the events of a row in their natural order."""
    shown = kind == ev.IMPRESSION
    position = convert.number(spec.position).fill_null(0) if spec.position else pl.lit(0)
    seconds = 0.001 if spec.watch_unit == "ms" else 1.0
    watch = convert.number(spec.watch) * seconds if kind == ev.WATCH and spec.watch else pl.lit(None, dtype=pl.Float64)
    surface = pl.col(spec.surface) if spec.surface else pl.lit("home")
    source = pl.col(spec.source) if spec.source else pl.lit("log")
    propensity = convert.number(spec.propensity) if shown and spec.propensity else pl.lit(None, dtype=pl.Float64)
    nothing = pl.lit(None, dtype=pl.String)
    return [
        pl.format("{}:{}", pl.col(_KEY), pl.lit(f"{order:02d}")).alias(c.EVENT_ID),
        pl.lit(kind).alias(c.KIND),
        (position if shown else pl.lit(None)).cast(pl.Int32).alias(c.POSITION),
        (surface if shown else nothing).alias(c.SURFACE),
        watch.alias(c.VALUE),
        (pl.lit("log") if shown else nothing).alias(c.RELEASE_ID),
        (pl.lit("control") if shown else nothing).alias(c.ARM),
        (source if shown else nothing).alias(c.SOURCE),
        propensity.alias(c.PROPENSITY),
        (pl.lit(False) if shown else pl.lit(None, dtype=pl.Boolean)).alias(c.EXPLORATION),
    ]
