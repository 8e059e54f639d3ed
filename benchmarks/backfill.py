"""A feature is added to a running site, as docs/features.md says: does a viewer notice, and is it served as it was trained?

    python -m benchmarks.backfill --rate 5

Two programs: this one, and a copy of it with the declaration that the page shows. The page's commands run in a space of their
own, while visitors come and click on every tenth page:

    the old program trains and serves → the new one serves in its place → the new one trains, which backfills
        → the server follows the pointer → the served pages are audited → roll back to the release without the feature

What stands before the two servers, as a balancer would, is here the visitors themselves: they finish what they asked of the old
one, and ask the new one from then on. Counted: pages by program and release, what failed or lacked something, what the audit
says, and for how many viewers the log had something to backfill. Visitors, servers and training share the machine.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import load, results_file, soak
from benchmarks.load import Answer
from core import release
from core.process import die_with_parent
from data import versioning
from data.catalogue import Catalogue, ViewerTable
from features import audit, offline
from features.definitions import Definitions
from pipelines import spaces
from pipelines.spaces import Space

_ROOT = Path(__file__).parent.parent
PAGE = _ROOT / "docs" / "features.md"
_CHAPTER, _CODE = "## Adding a feature", "```python\n"
_ROUND_S = 2.0
"""Visitors look once per round where the site is now."""
_PATIENCE_S = 120.0
_NOBODY = -1
"""A viewer of whom no log knows."""


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--preset", default="tiny", help="size of the world: tiny | demo")
    parser.add_argument("--rate", type=float, default=5.0, help="pages per second")
    parser.add_argument("--pause", type=float, default=20.0, help="seconds of visits between the steps")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), arguments.preset, arguments.rate, arguments.pause)
    print(json.dumps(result, indent=1))
    results_file.keep("backfill", {"load_average": round(os.getloadavg()[0], 1), **result}, arguments)


def declaration(page: str) -> str:
    """The declaration that the page tells its reader to add, without the indentation of the list it stands in."""
    code = page.partition(_CHAPTER)[2].partition(_CODE)[2].partition("```")[0]
    return "\n".join(line.strip() for line in code.splitlines() if line.strip())


def with_feature(source: str, declared: str) -> str:
    """`features/definitions.py` with one more feature of viewers."""
    before, begin, after = source.partition("def _viewer() -> tuple[k.Feature, ...]:\n    return (\n")
    if not begin:
        raise ValueError("features/definitions.py no longer has `_viewer` as this benchmark expects it")
    body, end, rest = after.partition("\n    )  # fmt: skip")
    return f"{before}{begin}{body}\n{declared.rstrip(',')},{end}{rest}"


def definitions(source: str) -> Definitions:
    """What a source of `features/definitions.py` declares."""
    module = types.ModuleType("changed_definitions")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(source, "definitions.py", "exec"), module.__dict__)
    found: Definitions = module.default_definitions()
    return found


@dataclass(frozen=True)
class Program:
    """A version of the commands, and the folder that all versions share."""

    name: str
    environment: Mapping[str, str]

    @staticmethod
    def at(root: Path, name: str, var_dir: Path) -> "Program":
        """The one whose packages lie in `root`."""
        # The working folder holds packages of the same names; it must not come first.
        own = {"UPNEXT_VAR": str(var_dir), "PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
        return Program(name, os.environ | own)

    def upnext(self, *arguments: str) -> None:
        """One command, to its end."""
        command = [sys.executable, "-m", "cli.main", *arguments]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, preexec_fn=die_with_parent()
        )
        if done.returncode:
            raise RuntimeError(f"`upnext {' '.join(arguments)}` failed: {done.stdout[-2_000:]}{done.stderr[-2_000:]}")


@dataclass
class Visitors:
    """They come all the time, and ask whoever answers for the site now."""

    program: str
    port: int
    rate: float
    answers: list[tuple[str, Answer]] = field(default_factory=list)
    rounds: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Visitors":
        self._thread = threading.Thread(target=self._come)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Come no more; returns when everybody has an answer."""
        self._over.set()
        self._thread.join()

    def go_to(self, program: str, port: int) -> None:
        """From the next round on; returns when nobody waits for the old place any more."""
        self.program, self.port = program, port
        begun = self.rounds
        self.until(lambda: self.rounds > begun)

    def until(self, true: Callable[[], bool]) -> None:
        """Go on until something holds.

        Raises:
            TimeoutError: it does not.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while not true():
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise TimeoutError("the visitors waited in vain for a step to show on their pages")
            time.sleep(0.1)

    def serves(self, release_id: str) -> bool:
        """Whether the newest page is of that release."""
        return next((page["release"] == release_id for _, page in self.pages(newest_first=True)), False)

    def pages(self, *, newest_first: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
        """Program and content of every page that was answered."""
        for program, answer in reversed(self.answers) if newest_first else list(self.answers):
            if answer.status == 200 and not answer.visit.body:
                yield program, json.loads(answer.body)

    def _come(self) -> None:
        while not self._over.is_set():
            program, port = self.program, self.port
            came = asyncio.run(soak.visit(port, self.rate, _ROUND_S, self.rounds))
            self.answers += [(program, answer) for answer in came]
            self.rounds += 1


def measure(folder: Path, preset: str, rate: float, pause_s: float) -> dict[str, Any]:
    """All steps, once."""
    source = with_feature((_ROOT / "features" / "definitions.py").read_text(), declaration(PAGE.read_text()))
    old, new = Program.at(_ROOT, "old", folder / "var"), Program.at(folder / "program", "new", folder / "var")
    _copy(folder / "program", source)
    old.upnext("train", "--source", "world", "--preset", preset)
    space = spaces.current(folder / "var", None)
    without, took = _live(space), dict[str, float]()
    with ExitStack() as at_first:
        port, _ = at_first.enter_context(load.service(space.name, environment=old.environment))
        visitors = Visitors(old.name, port, rate)
        having = _changed(visitors, space, new, at_first.close, preset, pause_s, took)
    feature = definitions(source).viewer[-1].name
    return {
        "feature": feature,
        "read_by": {name: feature in _columns(space, release_id) for name, release_id in (("old", without), ("new", having))},
        **_backfilled(space, having, source),
        **_noticed(visitors, {without: "without", having: "with"}),
        "audit": _audited(json.loads((space.path / audit.FILE).read_text())),
        "seconds": {name: round(seconds, 1) for name, seconds in took.items()},
    }


def _changed(
    visitors: Visitors,
    space: Space,
    new: Program,
    end_old: Callable[[], None],
    preset: str,
    pause_s: float,
    took: dict[str, float],
) -> str:
    """The page's steps from the second one on, under visits; the release that has the feature."""
    without = _live(space)
    with visitors, load.service(space.name, "--follow", environment=new.environment) as (port, _):
        time.sleep(pause_s)
        with _step(took, "from one server to the other"):
            visitors.go_to(new.name, port)
            end_old()
        time.sleep(pause_s)
        with _step(took, "backfill and train"):
            new.upnext("train", "--source", "world", "--preset", preset, "--no-gates")
        having = _live(space)
        with _step(took, "swap"):
            visitors.until(lambda: visitors.serves(having))
        time.sleep(pause_s)
        with _step(took, "audit"):
            new.upnext("features", "skew")
        with _step(took, "roll back"):
            new.upnext("release", "rollback")
            visitors.until(lambda: visitors.serves(without))
        visitors.leave()
    return having


@contextmanager
def _step(took: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    took[name] = time.monotonic() - began
    print(f"{name}: {took[name]:.1f} s", flush=True)


def _copy(folder: Path, source: str) -> None:
    """This program with other definitions."""
    for package in sorted(path.parent.name for path in _ROOT.glob("*/__init__.py")):
        shutil.copytree(_ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "results"))
    (folder / "features" / "definitions.py").write_text(source)


def _live(space: Space) -> str:
    return release.resolve(space.releases, "live") or ""


def _columns(space: Space, release_id: str) -> list[str]:
    found: list[str] = json.loads((space.releases / release_id / "feature_schema.json").read_text())["schema"]["viewer_dense"]
    return found


def _backfilled(space: Space, release_id: str, source: str) -> dict[str, int]:
    """For how many viewers of the snapshot the feature says something of the past, at the end of the log."""
    dataset = versioning.open_snapshot(space.snapshots, release.load(space.releases, release_id).manifest.snapshot)
    viewers = ViewerTable.of(dataset.viewers)
    asked = np.append(viewers.viewer_ids, _NOBODY)
    at, any_video = np.full(len(asked), dataset.end_at + 1), np.zeros(len(asked), dtype=np.int32)
    built = offline.build(
        dataset.events, Catalogue.of(dataset.videos), viewers, viewer_ids=asked, at=at, video_rows=any_video,
        definitions=definitions(source),
    )  # fmt: skip
    *values, of_nobody = built.viewer_part(np.arange(len(at))).dense_BF[:, -1].tolist()
    told = sum(value != of_nobody for value in values)
    return {"viewers": len(values), "viewers_with_a_past": told, "distinct_values": len(set(values))}


def _noticed(visitors: Visitors, names: Mapping[str, str]) -> dict[str, Any]:
    pages, asked = list(visitors.pages()), [answer for _, answer in visitors.answers if not answer.visit.body]
    reasons = Counter(reason for _, page in pages for reason in page["reasons"])
    return {
        "pages_asked": len(asked),
        "pages_failed": sum(answer.status != 200 for answer in asked),
        "events_failed": sum(answer.status != 200 for _, answer in visitors.answers if answer.visit.body),
        "pages_that_lacked_something": sum(page["degraded"] for _, page in pages),
        "reasons": dict(reasons),
        "pages": dict(Counter(f"{program} program, release {names.get(page['release'])}" for program, page in pages)),
        "page_ms": load.quantiles([answer.waited_ms for answer in asked if answer.status == 200]),
    }


def _audited(report: Mapping[str, Any]) -> dict[str, Any]:
    names = ("traffic", "pages", "checked", "mismatches", "fingerprints", "joins", "future_rows")
    return {name: report[name] for name in names}


if __name__ == "__main__":
    main()
