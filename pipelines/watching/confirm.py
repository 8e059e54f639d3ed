"""What labels that came late say of the alarms that a space was told: did satisfaction fall on the pages they rested on?

    alerts.jsonl, the log  →  for every alarm, pages between its change and its look against the two weeks before the change

Alarms rest on what is known two hours after a page; regrets take a day and a half. An alarm whose pages have none yet waits.
Read-only: what follows from an answer (a bound that is too tight, a rollback to be undone) is for people.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from core.clock import HOUR_MS, stamp
from core.errors import BadInput
from monitoring import concept_drift, signals
from monitoring import observations as o
from monitoring.concept_drift import Confirmation
from pipelines.spaces import Space
from pipelines.watching import monitor


@dataclass(frozen=True)
class Told:
    """What of an alarm matters here."""

    at: int
    """Instant of its look, milliseconds."""
    since_at: int
    severity: str
    cause: str
    segment: str


@dataclass(frozen=True)
class Answer:
    """An alarm with what became of it."""

    told: Told
    found: Confirmation | None
    """None while no label of its pages is old enough, or where the log no longer has them."""

    @property
    def sentence(self) -> str:
        """One line."""
        about = f"{self.told.cause} in {self.told.segment}, told {stamp(self.told.at)}"
        if self.found is None:
            return f"{about}: no late labels of its pages"
        change, rows = self.found.satisfied, self.found.rows
        verdict = "satisfaction fell" if self.found.worse else "no certain fall of satisfaction"
        return f"{about}: {verdict}, {change.mean:+.4f} [{change.low:+.4f}, {change.high:+.4f}] over {rows:,} impressions"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        found = (
            None
            if self.found is None
            else {"worse": self.found.worse, "rows": self.found.rows}
            | {name: getattr(self.found, name).to_json() for name in ("satisfied", "regretted")}
        )
        return {**asdict(self.told), "found": found, "text": self.sentence}


def told(space: Space) -> list[Told]:
    """The space's alarms, oldest first; none before the first one. Raises BadInput on a line that is no alarm."""
    path = space.path / monitor.ALERTS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    try:
        found = [json.loads(line) for line in lines]
        return [Told(**{name: one[name] for name in Told.__dataclass_fields__}) for one in found]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} has a line that is no alarm: {error}") from error


def answers(alarms: Iterable[Told], rows: pl.DataFrame) -> list[Answer]:
    """Late labels of each, from observations (`monitoring.observations.observe`) up to now."""
    end = int(rows[o.HOUR].max() or 0) + 1  # type: ignore[arg-type]
    return [Answer(one, _late(one, rows, end)) for one in alarms]


def confirm(space: Space) -> list[Answer]:
    """The same from a space's files. Raises BadInput as `monitor.report` does."""
    alarms = told(space)
    if not alarms:
        return []
    _, _, dataset = monitor.open_log(space)
    return answers(alarms, o.observe(dataset.events, dataset.viewers, dataset.videos))


def _late(alarm: Told, rows: pl.DataFrame, end: int) -> Confirmation | None:
    """Pages until the look alone: what was done about it changed those after it."""
    since, look = alarm.since_at // HOUR_MS, alarm.at // HOUR_MS
    if alarm.segment != signals.EVERYONE:
        column, _, value = alarm.segment.partition("=")
        rows = rows.filter(pl.col(column) == value)
    return concept_drift.confirm(rows, since, min(look + o.REGRETS_SETTLED_H, end))
