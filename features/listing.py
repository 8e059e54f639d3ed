"""Every declared feature as a person reads it: what it means, of whom, over which time, how fresh, and who answers for it."""

import difflib
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from core.errors import BadInput
from features import kinds as k
from features.definitions import Definitions, default_definitions
from features.facts import Doubles, Facts
from features.freshness import fed_by, length
from features.tiles import Ints, Sum


@dataclass(frozen=True)
class Entry:
    """One feature."""

    name: str
    entity: str
    kind: str
    window: str
    fed_by: str
    freshness_s: int
    default: float | str
    """What a model reads where nothing is known."""
    owner: str
    description: str
    formula: str
    """Of the kind."""
    settings: dict[str, Any]
    """What the declaration sets besides."""
    sums: tuple[str, ...]
    """Window sums kept for it."""
    is_read: bool
    """Whether models read it; otherwise it is declared, but shelved."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def entries() -> list[Entry]:
    """All that are declared, in the order of their columns."""
    definitions, read = default_definitions(shelved=True), {feature.name for feature in default_definitions()}
    codes = (*definitions.viewer_codes, *definitions.cross_codes)
    return [_entry(feature, definitions, feature in codes, feature.name in read) for feature in definitions]


def entry(name: str) -> Entry:
    """One by its name.

    Raises:
        BadInput: there is none; says which one is meant, perhaps.
    """
    known = {found.name: found for found in entries()}
    if name not in known:
        near = difflib.get_close_matches(name, known, 3)
        hint = f"did you mean {', '.join(near)}?" if near else "`upnext features list` names all"
        raise BadInput(f"there is no feature '{name}'; {hint}")
    return known[name]


_COMMON = {"name", "entity", "description", "freshness_s", "default", "owner", "window"}


def _entry(feature: k.Feature, definitions: Definitions, is_code: bool, is_read: bool) -> Entry:
    formula = (type(feature).__doc__ or "").strip().splitlines()[0]
    settings = {name: value for name, value in asdict(feature).items() if name not in _COMMON}
    return Entry(
        name=feature.name,
        entity=feature.entity,
        kind=type(feature).__name__,
        window=_window(feature, definitions),
        fed_by=fed_by(feature),
        freshness_s=feature.freshness_s,
        default="code 0" if is_code else _default(feature),
        owner=feature.owner,
        description=feature.description,
        formula=formula,
        settings=settings,
        sums=tuple(_sum(spec) for spec in feature.sums),
        is_read=is_read,
    )


def _window(feature: k.Feature, definitions: Definitions) -> str:
    if feature.sums:
        spec = feature.sums[0]
        return length(spec.tile_ms * spec.tiles)
    if isinstance(feature, k.LastN):
        return f"latest {feature.n}"
    if isinstance(feature, k.SessionMean):
        return length(feature.span_ms)
    if isinstance(feature, k.SessionCount):
        return "session"
    if isinstance(feature, k.Std | k.WatchQuantile):
        return f"latest {definitions.watches.n}"
    if isinstance(feature, k.Share | k.Size | k.Vector):
        return f"latest {definitions.history.n}"
    return ""


def _sum(spec: Sum) -> str:
    return f"{spec.quantity} of {spec.event}, {spec.tiles} tiles of {length(spec.tile_ms)}"


def _default(feature: k.Feature) -> float | str:
    if isinstance(feature, k.LastN):
        return "empty"
    if isinstance(feature, k.CalendarPart):
        return "always known"
    return round(float(feature.read(_Nothing())[0]), 4)


@dataclass(frozen=True)
class _Nothing(Facts):
    """About one entity of which nothing is known."""

    @cached_property
    def _zero(self) -> Ints:
        return np.zeros(1, dtype=np.int64)

    def total(self, spec: Sum) -> Ints:
        """See Facts."""
        return self._zero

    def hours_since(self, what: str) -> Doubles:
        """See Facts."""
        return np.array([-1.0])

    def share(self, what: str) -> Doubles:
        """See Facts."""
        return np.zeros(1)

    def size(self) -> Ints:
        """See Facts."""
        return self._zero

    def latest_watch_ms(self) -> Ints:
        """See Facts."""
        return np.full((1, 1), -1, dtype=np.int64)

    def ordered_watch_ms(self) -> tuple[Ints, Ints]:
        """See Facts."""
        return self.latest_watch_ms(), self._zero

    def session_clicks(self, gap_ms: int) -> Ints:
        """See Facts."""
        return self._zero

    def sessions(self, span_ms: int, gap_ms: int) -> tuple[Ints, Ints]:
        """See Facts."""
        return self._zero, self._zero

    def column(self, name: str) -> Doubles:
        """See Facts."""
        return np.zeros(1)

    def cosine(self, what: str) -> Doubles:
        """See Facts."""
        return np.zeros(1)
