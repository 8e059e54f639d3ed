"""Does a pipeline run survive kill −9 at any moment? Kills runs at random points, goes on, compares with an undisturbed one.

    python -m benchmarks.kill_pipeline --kills 20

A trial begins with nothing made before. Each of its attempts is killed after a random time, every other one by killing only the
command itself (Metaflow and the step at work must then end by themselves), until one comes to its end. After every kill: does
`live` name a whole release or nothing, is everything that can be seen what its name says? At the end of a trial: is the release
the very one that `upnext train` makes, and the only one, and is nothing unfinished left?
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import results_file
from core import files, release, rng
from data import versioning
from pipelines.orchestration import launch
from pipelines.releases import registry
from pipelines.spaces import Space

SPACE = "world-tiny"
PATIENCE_S = 20.0
"""For what a killed command had started to end."""
SMALL = ("world.num_viewers=120", "world.num_videos=200", "world.impressions=4000", "towers.epochs=1", "continue_epochs=1")
"""Overrides that leave every step its work and little of it."""


PIPELINE = ("pipeline", "run", "--no-gates")
"""What is asked here is whether a run survives, not whether its release deserves to serve."""
Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Kill:
    """What one kill met."""

    after_s: float
    """Since the attempt began."""
    alone: bool
    """Whether only the command itself was killed."""
    done: int
    """Steps that had finished by then, over all attempts."""
    at_work: str
    """The step that was cut off; empty between two."""


def upnext(var_dir: Path, *arguments: str) -> Process:
    """A command, silent."""
    environment = os.environ | {"UPNEXT_VAR": str(var_dir)}
    command = [sys.executable, "-m", "cli.main", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def asked(settings: Sequence[str] = SMALL) -> list[str]:
    """The command line's way of asking for a tiny run with these settings."""
    return ["--preset", "tiny", *(word for setting in settings for word in ("--set", setting))]


def attempt(space: Space, settings: Sequence[str] = SMALL, *options: str) -> Process:
    """Begin a run, with more options, or go on with the one that was begun."""
    begun = launch.runs(space) if space.pipeline.is_dir() else []
    what = ("resume", "--space", SPACE) if begun else (*PIPELINE[1:], *options, *asked(settings))
    return upnext(space.path.parent, "pipeline", *what)


def kill(child: Process, *, alone: bool) -> None:
    """Kill −9 a command and all it has started at once, or the command alone; returns when none of them runs any more."""
    everyone = [child.pid, *descendants(child.pid)]
    for pid in everyone[:1] if alone else everyone:
        _kill(pid)
    child.wait()
    deadline = time.monotonic() + PATIENCE_S
    while any(map(_runs, everyone)):
        assert time.monotonic() < deadline, "something that a killed command had started goes on running"
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    """Every process below one."""
    children = [int(pid) for path in Path(f"/proc/{pid}/task").glob("*/children") for pid in path.read_text().split()]
    return [found for child in children for found in (child, *descendants(child))]


def check(space: Space) -> None:
    """Raises unless everything that can be seen is whole."""
    live = release.resolve(space.releases, "live")
    for release_id in {*release.names(space.releases), *filter(None, [live])}:
        release.load(space.releases, release_id, verify=True)
    for found in versioning.list_snapshots(space.snapshots):
        versioning.open_snapshot(space.snapshots, found.snapshot_id, verify=True)
    visible = [path for path in space.products.glob("*/*") if not path.name.startswith(files.STAGED)]
    assert all((path / "made.json").is_file() for path in visible), "a product can be seen and is not whole"


def check_finished(space: Space, wanted: str) -> None:
    """Raises unless the only run came to its end, and to the wanted release."""
    check(space)
    (run,) = launch.runs(space)
    assert run.state == "finished", f"the run is {run.state}"
    assert release.resolve(space.releases, "live") == run.release_id == wanted, (run.release_id, wanted)
    assert release.names(space.releases) == [wanted], "another release appeared"
    assert [(each.release_id, each.pointers) for each in registry.read(space)] == [(wanted, ("live",))], "the registry differs"
    assert not list(space.products.glob(f"*/{files.STAGED}*")), "something unfinished was left"


def trial(space: Space, wanted: str, moment_s: Callable[[], float]) -> list[Kill]:
    """One run, killed again and again until it comes to its end."""
    kills: list[Kill] = []
    while True:
        child, after_s = attempt(space), moment_s()
        try:
            code = child.wait(after_s)
        except subprocess.TimeoutExpired:
            alone = len(kills) % 2 == 1
            kill(child, alone=alone)
            check(space)
            kills.append(_met(space, after_s, alone))
            continue
        assert code == 0, f"an attempt failed by itself: {space.pipeline}"
        check_finished(space, wanted)
        return kills


def undisturbed(var_dir: Path) -> tuple[str, dict[str, float]]:
    """The release of `upnext train`, which the pipeline must make too; and the seconds of both, and of the pipeline again."""
    space, seconds = Space(var_dir / SPACE), {}
    for name, command in (("train", ("train",)), ("pipeline", PIPELINE), ("pipeline again", PIPELINE)):
        began = time.monotonic()
        assert upnext(var_dir, *command, *asked()).wait() == 0, f"{name} failed"
        seconds[name] = round(time.monotonic() - began, 1)
    (only,) = release.names(space.releases)
    return only, seconds


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="kill-pipeline-"))
    wanted, seconds = undisturbed(root / "undisturbed")
    print(f"undisturbed: {seconds}, release {wanted}", flush=True)
    random, longest_s = rng.stream(arguments.seed, "kills"), seconds["pipeline"] / 2
    trials: list[list[Kill]] = []
    while sum(map(len, trials)) < arguments.kills:
        trials.append(
            trial(Space(root / f"trial-{len(trials)}" / SPACE), wanted, lambda: float(random.uniform(0.0, longest_s)))
        )
        print(f"same release after {len(trials[-1])} kills: {trials[-1]}", flush=True)
    report = [[asdict(each) for each in kills] for kills in trials]
    results_file.keep("kill-pipeline", {"release_id": wanted, "seconds": seconds, "trials": report}, arguments)
    shutil.rmtree(root)


def _met(space: Space, after_s: float, alone: bool) -> Kill:
    steps = [step for run in launch.runs(space) for step in run.steps.values()]
    at_work = next((step.name for step in steps if step.state == "killed"), "")
    return Kill(round(after_s, 2), alone, sum(step.state == "finished" for step in steps), at_work)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


if __name__ == "__main__":
    main()
