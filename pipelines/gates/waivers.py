"""Permissions to promote although a gate failed: a TOML file that two people have read, and that ends by itself.

[[waivers]]
gate = "quality:live"                                     # exactly as the gate is called
reason = "the test period has a holiday in it; see …"
owner = "ann"
reviewer = "ben"                                          # somebody else
expires = 2026-12-31                                      # the last day on which it counts
"""

import difflib
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from core import config
from core.errors import BadInput, ConfigError


@dataclass(frozen=True)
class Waiver:
    """One failed gate that two people accept for a while."""

    gate: str
    reason: str
    owner: str
    reviewer: str
    expires: date

    def to_json(self) -> dict[str, str]:
        """Plain values."""
        return {each.name: str(getattr(self, each.name)) for each in fields(self)}


def read(path: Path, gates: Collection[str], today: date, most_days: int) -> list[Waiver]:
    """The waivers of a file, every one checked.

    Args:
        path: of the file.
        gates: names that exist.
        today: after `expires` a waiver no longer counts.
        most_days: longest time ahead that one may expire.

    Raises:
        BadInput: the file cannot be read, or one of them may not count; says which and why.
    """
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"cannot read the waivers in {path}: {error}") from error
    if set(values) != {"waivers"} or not isinstance(values["waivers"], list):
        raise BadInput(f"{path} must hold [[waivers]] and nothing else")
    found = [_parse(entry, number) for number, entry in enumerate(values["waivers"], start=1)]
    for waiver in found:
        _check(waiver, gates, today, most_days)
    return found


def _parse(entry: dict[str, Any], number: int) -> Waiver:
    missing = [each.name for each in fields(Waiver) if entry.get(each.name) in (None, "")]
    if missing:
        raise BadInput(f"waiver {number} is incomplete: {', '.join(missing)} missing")
    try:
        return config.from_dict(Waiver, entry)
    except ConfigError as error:
        raise BadInput(f"waiver {number} cannot be read: {error}") from error


def _check(waiver: Waiver, gates: Collection[str], today: date, most_days: int) -> None:
    if waiver.gate not in gates:
        near = difflib.get_close_matches(waiver.gate, gates, n=1)
        raise BadInput(f"there is no gate '{waiver.gate}'" + (f"; did you mean '{near[0]}'?" if near else ""))
    if not waiver.reason.strip():
        raise BadInput(f"the waiver of {waiver.gate} gives no reason")
    if waiver.owner.strip().lower() == waiver.reviewer.strip().lower():
        raise BadInput(f"the waiver of {waiver.gate} was reviewed by its owner, {waiver.owner}; somebody else must read it")
    if waiver.expires < today:
        raise BadInput(f"the waiver of {waiver.gate} expired on {waiver.expires}; have it renewed and reviewed again")
    if waiver.expires > today + timedelta(days=most_days):
        raise BadInput(f"the waiver of {waiver.gate} lasts until {waiver.expires}; at most {most_days} days ahead are allowed")
