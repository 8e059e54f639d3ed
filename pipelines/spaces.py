"""Where a run keeps its things: one folder per dataset under `var/`, so that two datasets never mix.

var/<space>/snapshots/   content-addressed datasets
var/<space>/releases/    published releases and their pointer files
var/<space>/events.db    the live event log
var/<space>/partitions/  what the log had, by day
var/<space>/pipeline/    one folder per pipeline run: what was asked for, its journal, its log
var/<space>/products/    what the steps of pipeline runs made, named by what it was made from
var/<space>/metaflow/    Metaflow's own records
var/<space>/world.json   the world's config, when the dataset is simulated
var/current              the space that `upnext serve` opens by default
"""

from dataclasses import dataclass
from pathlib import Path

from core import files
from core.errors import BadInput


@dataclass(frozen=True)
class Space:
    """The folder of one dataset."""

    path: Path

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.path.name

    @property
    def snapshots(self) -> Path:
        """Root of snapshots."""
        return self.path / "snapshots"

    @property
    def releases(self) -> Path:
        """Root of releases."""
        return self.path / "releases"

    @property
    def work(self) -> Path:
        """Scratch space of the run in progress."""
        return self.path / "work"

    @property
    def pipeline(self) -> Path:
        """Folders of pipeline runs."""
        return self.path / "pipeline"

    @property
    def products(self) -> Path:
        """What steps of pipeline runs made."""
        return self.path / "products"

    @property
    def metaflow(self) -> Path:
        """Metaflow's datastore and metadata."""
        return self.path / "metaflow"

    @property
    def events(self) -> Path:
        """The live event log."""
        return self.path / "events.db"

    @property
    def partitions(self) -> Path:
        """Daily partitions of the live event log."""
        return self.path / "partitions"

    @property
    def world(self) -> Path:
        """The world's config."""
        return self.path / "world.json"


def open_space(var_dir: Path, name: str) -> Space:
    """The space `name`, created when absent."""
    space = Space(var_dir / name)
    space.path.mkdir(parents=True, exist_ok=True)
    return space


def make_current(var_dir: Path, space: Space) -> None:
    """Let `upnext serve` open this space by default."""
    files.replace_text(var_dir / "current", f"{space.name}\n")


def current(var_dir: Path, name: str | None = None) -> Space:
    """The named space, or the current one.

    Raises:
        BadInput: there is none; says how to make one.
    """
    pointer = var_dir / "current"
    chosen = name or (pointer.read_text().strip() if pointer.is_file() else None)
    if chosen is None:
        raise BadInput(f"nothing has been trained in {var_dir} yet; run `upnext demo` or `upnext train` first")
    if not (var_dir / chosen).is_dir():
        known = sorted(p.name for p in var_dir.iterdir() if p.is_dir()) if var_dir.is_dir() else []
        raise BadInput(f"there is no '{chosen}' in {var_dir}; known: {', '.join(known) or 'none'}")
    return Space(var_dir / chosen)
