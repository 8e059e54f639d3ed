"""May the candidate serve? What the gates said of it, as `upnext release gates` or a pipeline run has left it in the space.

A service asks no gate itself: that takes minutes and the training libraries. It promotes what was asked, against the very
release that serves now, not too long ago, and passed whole. What needs a waiver goes through `upnext release promote`.
"""

import json
from pathlib import Path

from core import release
from core.clock import DAY_MS
from core.errors import ReleaseRefused

GATES = "gates"
"""Folder of the gates' results in a space."""


def candidate(root: Path, live_id: str, now: int) -> tuple[str, dict[str, str]]:
    """The candidate's id, and the verdict of each of its gates.

    Args:
        root: the folder of releases.
        live_id: what serves.
        now: instant, ms.

    Raises:
        ReleaseRefused: there is no candidate, or its gates do not let it.
    """
    wanted = release.resolve(root, "candidate")
    if wanted in (None, live_id):
        raise ReleaseRefused("there is no candidate besides what serves; `upnext train --stage` makes one")
    try:
        said = json.loads((root.parent / GATES / f"{wanted}-against-{live_id}.json").read_text())
        verdicts = {str(gate["name"]): str(gate["verdict"]) for gate in said["gates"]}
        blocking, asked_at, fresh_days = list(said["blocking"]), int(said["created_at"]), float(said["config"]["fresh_days"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseRefused(_ask(wanted, f"have not been asked against {live_id}")) from error
    if now - asked_at > fresh_days * DAY_MS:
        raise ReleaseRefused(_ask(wanted, f"were asked more than {fresh_days:g} days ago"))
    if blocking:
        named = ", ".join(map(str, blocking))
        raise ReleaseRefused(f"gates stand in the way of {wanted}: {named}; `upnext release promote` takes reviewed waivers")
    return str(wanted), verdicts


def _ask(release_id: str | None, why: str) -> str:
    return f"the gates of {release_id} {why}: run `upnext release gates {release_id}`, then try again"
