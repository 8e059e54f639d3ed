"""Moving releases towards viewers: gates before, history after, a way back at any time. Read `promote` from top to bottom.

A candidate is only what will be judged next, so nothing is asked of it. To become the canary or live, a release must be whole
and pass its gates against what is live, or every gate in the way must be waived. Rolling back asks no gate: it is for when
something is wrong now.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import release
from core.errors import BadInput, ReleaseRefused
from core.moves import Move
from pipelines.gates import result as gates_result
from pipelines.gates import waivers
from pipelines.gates.gates import Gate, GatesConfig
from pipelines.gates.result import GatesResult
from pipelines.gates.waivers import Waiver
from pipelines.progress import Stages
from pipelines.releases import history
from pipelines.releases.history import Signed
from pipelines.spaces import Space
from serving.releases import load_release

TARGETS = ("candidate", "canary", "live")


@dataclass(frozen=True)
class Reasons:
    """What a promotion rests on besides the release."""

    why: str = "promoted"
    waivers: Path | None = None
    """See `pipelines.gates.waivers`."""
    config: GatesConfig = field(default_factory=GatesConfig)


@dataclass(frozen=True)
class Promotion:
    """What a promotion did."""

    release_id: str
    to: str
    move: Move | None
    """None where the pointer named it already."""
    gates: GatesResult | None
    """None where none were asked."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        moved = None if self.move is None else self.move.to_json()
        return {"release_id": self.release_id, "to": self.to, "move": moved, "gates": self.gates and self.gates.to_json()}


def promote(space: Space, release_id: str, to: str, signed: Signed, reasons: Reasons, stages: Stages) -> Promotion:
    """Let the pointer `to` name a release.

    Raises:
        ReleaseRefused: it is broken, or gates stand in the way.
        BadInput: no such target, or a waiver may not count.
    """
    if to not in TARGETS:
        raise BadInput(f"a release is promoted to {', '.join(TARGETS)}, not to '{to}'")
    with stages("verify") as stage:
        load_release(space.releases, release_id, verify=True)
        stage.note = f"{release_id} is whole and loads"
    live_id = release.resolve(space.releases, "live")
    if to == "candidate" or release_id == live_id:
        return Promotion(release_id, to, history.move(space, to, release_id, signed, reasons.why), None)
    result = gates_result.ask(space, release_id, live_id, reasons.config, stages, signed.at)
    waived = _waive(space, result, reasons, signed)
    if release.resolve(space.releases, "live") != live_id:
        raise ReleaseRefused(f"another release went live while the gates of {release_id} were measured; promote it again")
    told = [waiver.to_json() for waiver in waived]
    moved = history.move(space, to, release_id, signed, reasons.why, gates=result.verdicts, waivers=told)
    return Promotion(release_id, to, moved, result)


def enter(space: Space, release_id: str, signed: Signed, reasons: Reasons, stages: Stages) -> Promotion:
    """A new release becomes live if its gates let it; otherwise it becomes the candidate, and the refusal is raised.

    Raises:
        ReleaseRefused: see `promote`.
    """
    try:
        return promote(space, release_id, "live", signed, reasons, stages)
    except ReleaseRefused:
        history.move(space, "candidate", release_id, signed, f"{reasons.why}; its gates refused it as live")
        raise


def roll_back(space: Space, signed: Signed, why: str) -> str:
    """Let `live` name the previous release again; returns its id.

    Raises:
        ReleaseRefused: there is none, or it is broken.
    """
    previous = release.resolve(space.releases, "previous")
    if previous is None or previous == release.resolve(space.releases, "live"):
        raise ReleaseRefused("there is no previous release to go back to")
    load_release(space.releases, previous, verify=True)
    history.move(space, "live", previous, signed, why)
    return previous


def _waive(space: Space, result: GatesResult, reasons: Reasons, signed: Signed) -> list[Waiver]:
    """The waivers that are needed. Raises ReleaseRefused when a gate stands in the way without one."""
    found: list[Waiver] = []
    if reasons.waivers is not None:
        today = datetime.fromtimestamp(signed.at / 1_000, UTC).date()
        names = [gate.name for gate in result.gates]
        found = waivers.read(reasons.waivers, names, today, result.config.max_waiver_days)
    waived = {waiver.gate for waiver in found}
    left = [gate for gate in result.blocking if gate.name not in waived]
    if left:
        raise ReleaseRefused(_refusal(space, result, left))
    return [waiver for waiver in found if waiver.gate in {gate.name for gate in result.blocking}]


def _refusal(space: Space, result: GatesResult, left: Sequence[Gate]) -> str:
    told = "\n".join(f"  {gate.name}: {gate.sentence}" for gate in left)
    count = f"{len(left)} gate{'s stand' if len(left) > 1 else ' stands'} in the way"
    page = gates_result.page(space, result.release_id, result.live_id)
    return (
        f"release {result.release_id} is not promoted, {count}:\n{told}\n"
        f"train a better one, or pass reviewed waivers with --waiver; everything that was measured: {page}"
    )
