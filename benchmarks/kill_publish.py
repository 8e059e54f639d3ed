"""Does a reader ever see half a release? Kills a publisher −9 at random moments, while a reader looks all the time.

    python -m benchmarks.kill_publish --kills 200

The publisher makes one release after the other, each of several files that all say the same number, and points `live` at it; it
is killed, and started again with the next number. The reader resolves `live`, opens what it names with every byte compared with
the manifest, and reads all files: a release that cannot be opened, or whose files disagree, is torn; a number below one that it
has seen before has gone back. Kills are counted by what the publisher had left behind: a staged folder, a release that nothing
named, or neither (it was between two). Filesystem and processes are real; that a disk keeps what it was told to (power loss)
is not tested here.
"""

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import results_file
from core import files, release, rng
from core.errors import ReleaseRefused

_FILES, _FILE_BYTES = 4, 50_000
_FACTS: dict[str, Any] = {"snapshot": "", "feature_schema": "", "config_fingerprint": "", "git_commit": "", "created_at": 0}
_LONGEST_S = 0.4
"""Kills come up to here after the publisher's start: time for a few releases."""


@dataclass
class Seen:
    """What the reader has seen."""

    reads: int = 0
    torn: list[str] = field(default_factory=list)
    went_back: int = 0
    latest: int = 0
    distinct: int = 0


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), arguments.kills, arguments.seed)
    results_file.keep("kill-publish", result, arguments)


def measure(root: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill, read, count."""
    _publish(root, 1)
    seen, over = Seen(), threading.Event()
    reader = threading.Thread(target=_read_until, args=(root, seen, over))
    reader.start()
    found: Counter[str] = Counter()
    for delay_s in rng.stream(seed, "kills").uniform(0.0, _LONGEST_S, kills).tolist():
        found[_kill_one(root, delay_s)] += 1
    over.set()
    reader.join()
    return {
        "kills": kills,
        "killed_while": dict(found),
        "published": len(release.names(root)),
        "reads": seen.reads,
        "versions_read": seen.distinct,
        "torn_reads": len(seen.torn),
        "went_back": seen.went_back,
        "staged_left": files.sweep(root),
        "first_torn": seen.torn[:3],
    }


def _kill_one(root: Path, delay_s: float) -> str:
    """Start a publisher, kill it, and say where it was."""
    before, live = set(root.iterdir()), release.resolve(root, "live")
    child = multiprocessing.get_context("fork").Process(target=_publish_on, args=(root, _number(root, live or "") + 1))
    child.start()
    time.sleep(delay_s)
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    new = [path for path in root.iterdir() if path not in before]
    if any(path.name.startswith(files.STAGED) and path.is_dir() for path in new):
        return "it wrote files"
    named = {release.resolve(root, "live"), release.resolve(root, "previous")}
    if any(path.is_dir() and path.name not in named for path in new) and release.names(root)[-1] not in named:
        return "its release was there and live named another"
    return "it moved pointers, or was between two"


def _publish_on(root: Path, number: int) -> None:
    while True:
        _publish(root, number)
        number += 1


def _publish(root: Path, number: int) -> None:
    def write(path: Path) -> None:
        for index in range(_FILES):
            (path / f"part-{index}").write_text(f"{number}\n" * (_FILE_BYTES // len(f"{number}\n")))

    release.point(root, "live", release.publish(root, write, **_FACTS).release_id)


def _number(root: Path, release_id: str) -> int:
    with (root / release_id / "part-0").open() as file:
        return int(file.readline())


def _read_until(root: Path, seen: Seen, over: threading.Event) -> None:
    while not over.is_set():
        _read(root, seen)


def _read(root: Path, seen: Seen) -> None:
    seen.reads += 1
    try:
        path = release.load(root, release.resolve(root, "live") or "", verify=True).path
        said = {line for part in sorted(path.glob("part-*")) for line in part.read_text().split()}
        if len(said) != 1:
            raise ReleaseRefused(f"files of {path.name} say {sorted(said)}")
    except (ReleaseRefused, OSError) as error:
        seen.torn.append(str(error))
        return
    number = int(said.pop())
    seen.went_back += number < seen.latest
    seen.distinct += number > seen.latest
    seen.latest = max(seen.latest, number)


if __name__ == "__main__":
    main()
