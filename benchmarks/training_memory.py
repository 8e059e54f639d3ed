"""How much memory training the two towers takes on a log of ten million events.

    python -m benchmarks.training_memory --space var/world-demo --events 10000000

The log is that of a world, repeated with other viewers, until it is long enough: viewers and clicks grow, videos do not. It is
written by a process that ends before anything is measured. Then one process reads it, finds the features of the moment before
each click, and trains towers as `upnext train` does; only the first steps are taken, since no step keeps anything. Reported is
the highest resident memory so far (`resource.getrusage`) after each stage, and after a tenth of the steps.
"""

import multiprocessing
import resource
import tempfile
from contextlib import suppress
from pathlib import Path

import polars as pl
import torch

from benchmarks import results_file
from core import columns as c
from core import events as ev
from core.errors import BadInput
from data import versioning
from data.catalogue import Catalogue, ViewerTable
from data.dataset import Dataset, make
from data.splits import global_time_split
from pipelines import fit, presets

_TABLES = ("events", "viewers", "videos")


def enlarge(snapshots: Path, num_events: int, folder: Path) -> None:
    """Write a log of at least so many events, as one file per table."""
    source = versioning.open_snapshot(snapshots, versioning.list_snapshots(snapshots)[-1].snapshot_id)
    copies = -(-num_events // len(source.events))
    shift = int(source.viewers[c.VIEWER_ID].max()) + 1  # type: ignore[arg-type]
    events = pl.concat([_copy(source.events, number, shift) for number in range(copies)])
    viewers = pl.concat([source.viewers.with_columns(pl.col(c.VIEWER_ID) + number * shift) for number in range(copies)])
    made = make(source.name, events, viewers, source.videos)
    for name in _TABLES:
        getattr(made, name).write_parquet(folder / f"{name}.parquet")


def _copy(events: pl.DataFrame, number: int, shift: int) -> pl.DataFrame:
    """The same log of other viewers; what happens to videos happens once."""
    if not number:
        return events
    ours = events.filter(pl.col(c.KIND) != ev.UPLOAD)
    return ours.with_columns(
        pl.col(c.VIEWER_ID) + number * shift,
        pl.col(c.EVENT_ID) + f"/{number}",
        pl.col(c.REQUEST_ID) + f"/{number}",
    )


class _EnoughError(Exception):
    """So many steps were wanted."""


def measure(folder: Path, preset: str, num_steps: int) -> dict[str, int | float]:
    """Sizes of the log, and the peak in GB after each stage."""
    found: dict[str, int | float] = {"imports_gb": _peak_gb()}
    dataset = Dataset("enlarged", *(pl.read_parquet(folder / f"{name}.parquet") for name in _TABLES))
    config = presets.configure(preset, [])
    split = global_time_split(dataset.events, config.split.test_fraction, config.split.ranker_fraction)
    found |= {"events": len(dataset.events), "viewers": len(dataset.viewers), "read_gb": _peak_gb()}
    material = fit.prepare(dataset, Catalogue.of(dataset.videos), ViewerTable.of(dataset.viewers), split)
    found |= {"clicks": len(material.clicks), "features_gb": _peak_gb()}
    done = 0

    def advance(share: float, note: str) -> None:
        nonlocal done
        done += 1
        if done == num_steps // 10:
            found["towers_a_tenth_gb"] = _peak_gb()
        if done == num_steps:
            raise _EnoughError

    with suppress(_EnoughError):
        fit.towers(material, config, until=split.test_from, advance=advance)
    return found | {"steps": done, "towers_gb": _peak_gb()}


def _peak_gb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2)


def main() -> None:
    """Print and keep the peaks."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--space", type=Path, required=True, help="folder of a world's space, for example var/world-demo")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--preset", default="demo", help="tiny | demo | full: of the towers")
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        writer = context.Process(target=enlarge, args=(arguments.space / "snapshots", arguments.events, Path(folder)))
        writer.start()
        writer.join()
        if writer.exitcode:
            raise BadInput(f"no log could be made of the newest snapshot in {arguments.space}")
        found = measure(Path(folder), arguments.preset, arguments.steps)
    print(f"{found['events']:,} events: peak {found['towers_gb']} GB")
    results_file.keep("training-memory", found, arguments)


if __name__ == "__main__":
    main()
