"""A release tried out in a process of its own, before the one that serves opens it.

    python -m app.rehearsal <process that waits> <folder of releases> <release> [<release that serves>]

Every byte against its hash, every number, the index against exact search, the tower against its vectors, pages for canaries,
and how far it agrees with the release that serves: seconds of work on gigabytes. In the process that serves they would take the
interpreter from requests, whatever their priority; here they take what requests leave of the processors. What has passed is
opened beside the live release without being read through again: a release never changes.

Costs the memory of two releases more while it lasts, files that are mapped shared with the service. Processes over one folder
take turns.
"""

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from core import settings
from core.errors import ReleaseRefused
from core.process import end_with

if TYPE_CHECKING:
    from serving.live import LiveRelease

PATIENCE_S = 900.0
"""For a release of many gigabytes on a busy machine."""
_NICENESS = 10


def rehearse(root: Path, release_id: str, live_id: str | None = None) -> None:
    """Find out whether a release may serve, and wait for the answer.

    Args:
        root: the folder of releases.
        release_id: which one.
        live_id: the one that serves, to compare with; None compares with nothing.

    Raises:
        ReleaseRefused: it may not, or nobody could find out.
    """
    asked = [str(os.getpid()), str(root.resolve()), release_id, *([live_id] if live_id else [])]
    command = [sys.executable, "-m", __name__, *asked]
    with tempfile.TemporaryFile() as said:
        try:
            done = subprocess.run(command, stdout=said, timeout=PATIENCE_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise ReleaseRefused(f"release {release_id} could not be tried out in {PATIENCE_S:.0f} s") from error
        said.seek(0)
        verdict = said.read().splitlines()
    if done.returncode:
        raise ReleaseRefused(
            f"release {release_id} could not be tried out: the process that did ended with {done.returncode}; is there memory "
            "for two more releases?"
        )
    if refused := json.loads(verdict[-1])["refused"]:
        raise ReleaseRefused(refused)


def try_out(root: Path, release_id: str, live_id: str | None) -> None:
    """What `rehearse` asks of its process. Raises: ReleaseRefused: the release may not serve."""
    from serving import verification

    fresh = _in_service(root, release_id, verify=True)
    if live_id is not None:
        verification.require_agreement(fresh, _in_service(root, live_id, verify=False))


def _in_service(root: Path, release_id: str, *, verify: bool) -> "LiveRelease":
    from features.layered_store import LayeredStore
    from features.memory_store import MemoryStore
    from serving.live import go_live
    from serving.releases import load_release

    loaded = load_release(root, release_id, verify=verify, trusted=not verify)
    store = LayeredStore(loaded.viewer_states(), MemoryStore())
    return go_live(loaded, store, fill_store=False, of_now=True)


def _main(waiting: int, root: Path, release_id: str, live_id: str | None) -> None:
    end_with(waiting)
    os.nice(_NICENESS)
    settings.one_thread_per_library()
    settings.without_pandas()
    refused = None
    fcntl.flock(os.open(root, os.O_RDONLY), fcntl.LOCK_EX)  # ends with this process
    try:
        try_out(root, release_id, live_id)
    except ReleaseRefused as error:
        refused = str(error)
    sys.stdout.write("\n" + json.dumps({"refused": refused}) + "\n")  # libraries may have said something, too


if __name__ == "__main__":
    _main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None)
