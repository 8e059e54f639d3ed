"""Where a snapshot came from: the raw files with their hashes, so that a release can be followed back to what was read.

    release ─ manifest.snapshot → snapshot ─ origin.files → path, size and sha256 of each raw file

The simulated world has no files; the fingerprint of its config takes their place.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core import columns as c

FOLDER = "lineage"
"""Of a space: one JSON file per release whose way was looked up (`upnext pipeline lineage`)."""
UNCHANGED, CHANGED, GONE = "unchanged", "changed", "gone"


@dataclass(frozen=True)
class RawFile:
    """A file as it was when it was read."""

    path: str
    size: int
    """Bytes."""
    sha256: str

    def state(self) -> str:
        """Whether the file is still what was read: unchanged, changed or gone. Reads it whole when the size agrees."""
        path = Path(self.path)
        if not path.is_file():
            return GONE
        same = path.stat().st_size == self.size and _sha256(path) == self.sha256
        return UNCHANGED if same else CHANGED


@dataclass(frozen=True)
class Origin:
    """What a dataset was made from."""

    source: str
    """Name of the source: world, movielens, recbole, kuairand, csv."""
    files: tuple[RawFile, ...] = ()
    config: str = ""
    """Fingerprint of the world's config; empty for real logs."""
    log_offset: int = 0
    """How far into the live event log it reaches; 0 without one."""


def of_files(source: str, paths: Iterable[Path], log_offset: int = 0) -> Origin:
    """The origin of a dataset that was read from `paths`."""
    found = sorted({path.resolve() for path in paths})
    files = tuple(RawFile(str(path), path.stat().st_size, _sha256(path)) for path in found)
    return Origin(source, files, log_offset=log_offset)


def schema_hash() -> str:
    """16 hex digits over names, types and nullability of the three tables: changes exactly when a column does."""
    fields = [f"{field.name}:{field.type}:{field.nullable}" for schema in (c.EVENTS, c.VIEWERS, c.VIDEOS) for field in schema]
    return hashlib.sha256(";".join(fields).encode()).hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
