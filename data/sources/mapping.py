"""How a stranger's files become a dataset: which columns mean what, read from a TOML file.

Three files at most: events (required), videos and viewers. Every row of the events file yields the events in `always`, those
that `kinds` gives for the value of the column `kind`, those whose condition in `when` holds, and a watch where `watch` is above
0. Without a rule for impressions the log is taken to have none. See EXAMPLE for every key.
"""

import operator
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import polars as pl

from core import config
from core import events as ev
from core.errors import BadInput, ConfigError
from data.sources.text import TextFormat

FILE_NAME = "mapping.toml"
IGNORE = "ignore"
TIME_UNITS = ("auto", "s", "ms", "us", "ns", "iso", "order")
MAPPED_KINDS = (
    ev.IMPRESSION, ev.CLICK, ev.WATCH, ev.LIKE, ev.DISLIKE, ev.DISMISS, ev.REGRET, ev.SUBSCRIBE, ev.UNSUBSCRIBE,
)  # fmt: skip

EXAMPLE = """\
name = "my-log"                 # optional; names the dataset

[events]                        # one row per interaction, rating, play or impression
path = "log.tsv"                # CSV, TSV or Parquet, beside this file; globs such as "part-*.parquet" work
viewer_id = "user_id"
video_id = "video_id"
time = "time_ms"
time_unit = "ms"                # auto, s, ms, us, ns, iso, or order (1, 2, 3, … where there are no times)
always = ["impression"]         # kinds that every row is; for plain interaction logs: ["click"]
watch = "play_time_ms"          # time watched; a watch event where it is above 0
watch_unit = "ms"
# kind = "action"               # a column that says what the row is; its values are mapped in [events.kinds]
# request_id = "session"        # links outcomes to impressions that stand in rows of their own
# position = "rank"             # also: source, surface, propensity, event_id, received
# required = ["rating"]         # columns whose empty values make a row broken

[events.when]                   # kind = "column operator value", operators = != >= <= > <; a|b means either
click = "is_click = 1"
like = "rating >= 4"
dislike = "rating <= 2"

# [events.kinds]                # values of `kind`; a list gives several events, "ignore" none
# play = ["click"]
# thumb_up = "like"

[events.format]                 # optional, for text files
delimiter = "\\t"                # auto: tab , ; |
encoding = "auto"               # UTF-8, else Latin-1; or a codec name such as gbk
# columns = ["user_id", "…"]    # for files without a header line

[videos]                        # optional; the log itself may be named again where it carries video columns
path = "videos.csv"
video_id = "video_id"
title = "title"
categories = "genres"           # the first one is the category
category_separator = "|"
duration = "duration_ms"
duration_unit = "ms"            # s or ms
# year, channel_id, channel, language, uploaded, uploaded_unit

[viewers]                       # optional
path = "users.csv"
viewer_id = "user_id"
age = "age"                     # years or bands
gender = "gender"
segment = "occupation"
# country, language, device
"""


@dataclass(frozen=True)
class EventColumns:
    """The events file."""

    path: str
    viewer_id: str
    video_id: str
    time: str
    time_unit: str = "auto"
    received: str | None = None
    """When the log accepted the event; the same unit. Without it, `time`."""
    event_id: str | None = None
    always: tuple[str, ...] = ()
    kind: str | None = None
    kinds: dict[str, tuple[str, ...]] = field(default_factory=dict)
    when: dict[str, str] = field(default_factory=dict)
    watch: str | None = None
    watch_unit: str = "s"
    request_id: str | None = None
    position: str | None = None
    surface: str | None = None
    source: str | None = None
    propensity: str | None = None
    required: tuple[str, ...] = ()
    format: TextFormat = field(default_factory=TextFormat)


@dataclass(frozen=True)
class VideoColumns:
    """The videos file."""

    path: str
    video_id: str
    title: str | None = None
    year: str | None = None
    """Year or date of release; shown after the title."""
    categories: str | None = None
    category_separator: str = "|"
    channel_id: str | None = None
    channel: str | None = None
    language: str | None = None
    duration: str | None = None
    duration_unit: str = "s"
    uploaded: str | None = None
    uploaded_unit: str = "auto"
    format: TextFormat = field(default_factory=TextFormat)


@dataclass(frozen=True)
class ViewerColumns:
    """The viewers file."""

    path: str
    viewer_id: str
    age: str | None = None
    gender: str | None = None
    country: str | None = None
    language: str | None = None
    device: str | None = None
    segment: str | None = None
    format: TextFormat = field(default_factory=TextFormat)


@dataclass(frozen=True)
class LogMapping:
    """All that is known about a stranger's log."""

    events: EventColumns
    videos: VideoColumns | None = None
    viewers: ViewerColumns | None = None
    name: str = "log"


def load(path: Path) -> LogMapping:
    """Read a mapping file.

    Raises:
        ConfigError: it is not TOML, has an unknown key, or lacks a required one.
    """
    if not path.is_file():
        raise BadInput(f"{path} does not exist; write a mapping file like this one:\n\n{EXAMPLE}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    return parse(values)


def parse(values: Mapping[str, Any]) -> LogMapping:
    """A mapping from plain values; see `load`."""
    values = dict(values)
    for section, cls in (("events", EventColumns), ("videos", VideoColumns), ("viewers", ViewerColumns)):
        if section in values or section == "events":
            _require_keys(section, cls, values.get(section, {}))
    events = dict(values["events"])
    events["always"] = _as_list(events.get("always", []))
    events["kinds"] = {str(value): _as_list(kinds) for value, kinds in events.get("kinds", {}).items()}
    mapping = config.from_dict(LogMapping, {**values, "events": events})
    _check(mapping)
    return mapping


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _require_keys(section: str, cls: type, values: Any) -> None:
    if not isinstance(values, Mapping):
        raise ConfigError(f"[{section}] of the mapping must be a table")
    needed = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    absent = [name for name in needed if name not in values]
    if absent:
        raise ConfigError(f"[{section}] of the mapping lacks {', '.join(absent)}")


def _check(mapping: LogMapping) -> None:
    events, videos = mapping.events, mapping.videos
    named = [*events.always, *events.when, *(kind for kinds in events.kinds.values() for kind in kinds if kind != IGNORE)]
    for kind in named:
        if kind not in MAPPED_KINDS:
            raise ConfigError(f"'{kind}' is no kind of event here; known: {', '.join(MAPPED_KINDS)}")
    if bool(events.kind) != bool(events.kinds):
        raise ConfigError("[events] needs both `kind` (a column) and [events.kinds] (its values), or neither")
    if not named and not events.watch:
        raise ConfigError('[events] yields nothing: give `always` (e.g. ["click"]), `kind`, [events.when] or `watch`')
    if ev.WATCH in named and not events.watch:
        raise ConfigError("[events] names watch events but no column `watch` that holds their length")
    units = [("time_unit", events.time_unit, TIME_UNITS), ("watch_unit", events.watch_unit, ("s", "ms"))]
    if videos:
        units += [("uploaded_unit", videos.uploaded_unit, TIME_UNITS), ("duration_unit", videos.duration_unit, ("s", "ms"))]
    for key, unit, allowed in units:
        if unit not in allowed:
            raise ConfigError(f"{key} = '{unit}' is unknown; use one of {', '.join(allowed)}")
    for kind, text in events.when.items():
        Condition.parse(kind, text)


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge, "<=": operator.le, "!=": operator.ne, "=": operator.eq, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """`column operator value`: when a row is an event of `kind`."""

    kind: str
    column: str
    operator: str
    values: tuple[str, ...]

    @staticmethod
    def parse(kind: str, text: str) -> "Condition":
        """From `rating >= 4` or `action = play|replay`."""
        found = re.fullmatch(r"\s*(.+?)\s*(>=|<=|!=|==?|>|<)\s*(.+?)\s*", text)
        if not found:
            raise ConfigError(f"[events.when] {kind} = '{text}' is not of the form: column operator value")
        column, sign, value = found.groups()
        condition = Condition(kind, column, sign.replace("==", "="), tuple(part.strip() for part in value.split("|")))
        if condition.operator not in ("=", "!=") and not condition.numeric:
            raise ConfigError(f"[events.when] {kind} = '{text}' compares with something that is not a number")
        return condition

    @property
    def numeric(self) -> bool:
        """Whether the column is compared as a number."""
        return all(re.fullmatch(r"[-+]?\d+(\.\d+)?", value) for value in self.values)

    def holds(self) -> pl.Expr:
        """True where a row meets it; an empty cell never does."""
        if self.numeric:
            value: pl.Expr = pl.col(self.column).cast(pl.Float64, strict=False)
            wanted: list[Any] = [float(number) for number in self.values]
        else:
            value, wanted = pl.col(self.column), list(self.values)
        compare = _OPERATORS[self.operator]
        each = [compare(value, one) for one in wanted]
        met = pl.all_horizontal(each) if self.operator == "!=" else pl.any_horizontal(each)
        return (met & (pl.col(self.column) != "")).fill_null(False)
