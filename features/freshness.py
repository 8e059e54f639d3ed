"""How old what is served is, against how old it may be.

    group            what it says                                                                      budget
    stream           how long ago the oldest event was received that served values still lack          10 s
    window tiles     how long ago the far edge of a window last moved: events leave by the tile         one tile
    release          how long ago the log ended that catalogue, attributes and tables are from          1 day
    request          made at the request, of the calendar and of codes                                  10 s

A feature's budget is declared with it (`kinds.Feature.freshness_s`). Window sums are in two groups: events enter them with the
stream and leave them by the tile. Knows nothing of stores, logs or servers: they say what they lack.
"""

from dataclasses import asdict, dataclass
from typing import Any

from core.clock import DAY_MS, HOUR_MS, SECOND_MS
from features import kinds as k
from features.definitions import Definitions

STREAM, RELEASE, REQUEST = "stream", "release", "request"


@dataclass(frozen=True)
class Age:
    """Of the features of one group."""

    group: str
    features: tuple[str, ...]
    age_s: float | None
    """None where it cannot be told."""
    budget_s: float

    @property
    def late(self) -> bool:
        """Older than it may be, or nobody knows."""
        return self.age_s is None or self.age_s > self.budget_s

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"late": self.late}


def fed_by(feature: k.Feature) -> str:
    """The group that brings a feature up to date."""
    if isinstance(feature, k.CalendarPart | k.Cross):
        return REQUEST
    return RELEASE if feature.freshness_s >= k.RELEASE_S else STREAM


def ages(definitions: Definitions, now: int, *, lacking_since: int | None, end_at: int, log_answers: bool = True) -> list[Age]:
    """The age of every group at the instant `now`.

    Args:
        definitions: what is served.
        now: instant, in the time of the log.
        lacking_since: when the oldest event was received that is not in the state yet; None when there is none.
        end_at: end of the log that the release was made from.
        log_answers: whether `lacking_since` could be asked.
    """
    lag_s = 0.0 if lacking_since is None else max(now - lacking_since, 0) / SECOND_MS
    measured: dict[str, float | None] = {
        STREAM: lag_s if log_answers else None,
        RELEASE: max(now - end_at, 0) / SECOND_MS,
        REQUEST: 0.0,
    }
    found = []
    for group, age_s in measured.items():
        features = [feature for feature in definitions if fed_by(feature) == group]
        if features:
            budget_s = min(feature.freshness_s for feature in features)
            found.append(Age(group, tuple(feature.name for feature in features), age_s, budget_s))
    for tile_ms in sorted({spec.tile_ms for feature in definitions for spec in feature.sums}):
        names = tuple(f.name for f in definitions if any(spec.tile_ms == tile_ms for spec in f.sums))
        found.append(Age(f"tiles of {length(tile_ms)}", names, now % tile_ms / SECOND_MS, tile_ms / SECOND_MS))
    return found


def length(ms: int) -> str:
    """A length of time for people: `3 h`, `5 days`."""
    if ms % DAY_MS == 0:
        return f"{ms // DAY_MS} day{'s' if ms > DAY_MS else ''}"
    return f"{ms // HOUR_MS} h" if ms % HOUR_MS == 0 else f"{ms / SECOND_MS / 60:g} min"
