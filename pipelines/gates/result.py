"""What the gates said about a release, kept so that the same question is not measured twice.

    var/<space>/gates/<release>-against-<live>.json, .html

Releases and snapshots never change, so a result holds as long as the bounds are the same and it is not too old.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core import config as configs
from core import files
from core.clock import DAY_MS
from core.errors import ConfigError
from pipelines.gates import measure as gates_measure
from pipelines.gates import refreshed
from pipelines.gates import report as gates_report
from pipelines.gates.gates import Gate, GatesConfig, Verdict, blocking
from pipelines.gates.judge import Evidence, judge
from pipelines.gates.questions import trained_of
from pipelines.progress import Stages
from pipelines.spaces import Space


@dataclass(frozen=True)
class GatesResult:
    """All gates of one release against one live release."""

    release_id: str
    live_id: str | None
    created_at: int
    """Instant, ms."""
    config: GatesConfig
    gates: tuple[Gate, ...]
    evidence: dict[str, Any]
    """What the model card shows: leaderboard, slices, groups, times, sizes."""
    seconds: float
    """That measuring took."""

    @property
    def blocking(self) -> list[Gate]:
        """Gates that stop a promotion."""
        return blocking(self.gates, self.config)

    @property
    def verdicts(self) -> dict[str, str]:
        """Gate → verdict."""
        return {gate.name: gate.verdict.value for gate in self.gates}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {**asdict(self), "gates": [gate.to_json() for gate in self.gates]}
        return plain | {"blocking": [gate.name for gate in self.blocking]}


def ask(space: Space, release_id: str, live_id: str | None, config: GatesConfig, stages: Stages, now: int) -> GatesResult:
    """The fresh result, or a new one, written down with its page.

    Raises:
        ReleaseRefused: a release cannot be opened.
        BadInput: a snapshot is gone, or its log has no test clicks.
    """
    found = last(space, release_id, live_id)
    if found is not None and found.config == config and now - found.created_at <= config.fresh_days * DAY_MS:
        return found
    before = sum(seconds for _, seconds in stages.seconds)
    if trained_of(space, release_id) == release_id:
        evidence = gates_measure.evidence(space, release_id, live_id, config, stages)
        gates, kept = judge(evidence, config), _kept(evidence)
    else:
        gates, kept = refreshed.gates_of(space, release_id, live_id, config, stages)
    seconds = sum(seconds for _, seconds in stages.seconds) - before
    result = GatesResult(release_id, live_id, now, config, tuple(gates), kept, seconds)
    files.write_json(path(space, release_id, live_id), result.to_json())
    gates_report.write(result, page(space, release_id, live_id))
    return result


def last(space: Space, release_id: str, live_id: str | None) -> GatesResult | None:
    """The last result for the pair, however old; None where there is none that this program can read."""
    try:
        values = json.loads(path(space, release_id, live_id).read_text())
        values["config"] = configs.from_dict(GatesConfig, values["config"])
        values["gates"] = tuple(_gate(gate) for gate in values["gates"])
        del values["blocking"]
        return GatesResult(**values)
    except (OSError, ValueError, TypeError, KeyError, ConfigError):  # absent, or written by another version
        return None


def newest(space: Space, release_id: str) -> GatesResult | None:
    """The newest result of a release against whatever was live then."""
    found = [last(space, release_id, _live_of(file)) for file in (space.path / "gates").glob(f"{release_id}-against-*.json")]
    return max((each for each in found if each is not None), key=lambda result: result.created_at, default=None)


def path(space: Space, release_id: str, live_id: str | None) -> Path:
    """Of the result."""
    return space.path / "gates" / f"{release_id}-against-{live_id or 'nothing'}.json"


def page(space: Space, release_id: str, live_id: str | None) -> Path:
    """Of its page."""
    return path(space, release_id, live_id).with_suffix(".html")


def _live_of(file: Path) -> str | None:
    live = file.stem.partition("-against-")[2]
    return None if live == "nothing" else live


def _gate(values: dict[str, Any]) -> Gate:
    gate = Gate(**{**values, "verdict": Verdict(values["verdict"])})
    return replace(gate, interval=tuple(values["interval"]) if values["interval"] else None)


def _kept(evidence: Evidence) -> dict[str, Any]:
    """Plain values that the card needs and gates do not hold."""
    live = evidence.live
    kept: dict[str, Any] = {
        "leaderboard": evidence.leaderboard.to_json(),
        "data": evidence.validation.to_text(),
        "groups": [found.to_json() for found in evidence.disparities],
        "num_bytes": evidence.candidate.num_bytes,
        "resident_bytes": evidence.candidate.resident_bytes,
        "page_ms": sorted(round(value, 3) for value in evidence.candidate.page_ms.tolist()),
        "live_page_ms": sorted(round(value, 3) for value in live.page_ms.tolist()) if live else [],
        "slices": evidence.slices.to_json() if evidence.slices else None,
        "shadow": evidence.shadow.to_json() if evidence.shadow else None,
    }
    return kept
