"""A release: an immutable directory, named by its content, that holds everything serving needs.

`publish` writes into a temporary directory, hashes, fsyncs and renames, so a reader sees all of it or nothing. Pointer files
(`live`, `previous`, …) are replaced atomically and are the truth about what serves. Knows nothing of what the files mean.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core import files
from core.errors import ReleaseRefused

MANIFEST = "manifest.json"
POINTERS = ("live", "candidate", "canary", "shadow", "previous")


@dataclass(frozen=True)
class Manifest:
    """What a release is made of and where it came from."""

    release_id: str
    files: Mapping[str, str]
    """Relative path → sha256."""
    snapshot: str
    feature_schema: str
    config_fingerprint: str
    git_commit: str
    created_at: int
    metrics: Mapping[str, Any] = field(default_factory=dict)
    hardware: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Release:
    """A published directory and its manifest."""

    path: Path
    manifest: Manifest

    @property
    def release_id(self) -> str:
        """The content hash that names it."""
        return self.manifest.release_id


def publish(root: Path, write: Callable[[Path], None], **facts: Any) -> Release:
    """Let `write` fill a temporary directory, then make it a release under `root/<release_id>`.

    `facts` are the Manifest fields besides `release_id` and `files`. Dates, timings and metrics do not enter the id;
    publishing the same content twice returns the first release.
    """
    root.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=files.STAGED, dir=root))
    try:
        write(staged)
        hashes = {str(p.relative_to(staged)): _sha256(p) for p in sorted(staged.rglob("*")) if p.is_file()}
        release_id = content_id(hashes, facts["feature_schema"])
        manifest = Manifest(release_id=release_id, files=hashes, **facts)
        (staged / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1, sort_keys=True))
        files.sync_tree(staged)
        target = root / release_id
        if target.exists():
            return load(root, release_id)
        os.rename(staged, target)
        files.sync(root)
        return Release(target, manifest)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def content_id(hashes: Mapping[str, str], feature_schema: str) -> str:
    """16 hex digits over paths, hashes and the feature schema."""
    text = json.dumps([sorted(hashes.items()), feature_schema])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load(root: Path, release_id: str, *, verify: bool = False) -> Release:
    """Open `root/<release_id>`; with `verify`, read every byte and compare hashes.

    Raises:
        ReleaseRefused: it is missing, unreadable, or differs from its manifest.
    """
    path = root / release_id
    try:
        manifest = Manifest(**json.loads((path / MANIFEST).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ReleaseRefused(f"release {release_id} in {root} cannot be opened: {error}") from error
    if content_id(manifest.files, manifest.feature_schema) != release_id:
        raise ReleaseRefused(f"release {release_id}: the manifest does not belong to this directory")
    for name, digest in manifest.files.items():
        file = path / name
        if not file.is_file():
            raise ReleaseRefused(f"release {release_id}: {name} is missing")
        if verify and _sha256(file) != digest:
            raise ReleaseRefused(f"release {release_id}: {name} differs from its hash in the manifest")
    return Release(path, manifest)


def names(root: Path) -> list[str]:
    """All release ids under `root`, oldest first."""
    found = [p for p in root.glob("[!.]*") if (p / MANIFEST).is_file()] if root.is_dir() else []
    return [p.name for p in sorted(found, key=lambda p: (p / MANIFEST).stat().st_mtime)]


def named(root: Path, name: str) -> str | None:
    """The release id that `name`, a pointer or an id, stands for; None for a pointer that points nowhere."""
    return resolve(root, name) if name in POINTERS else name


def point(root: Path, pointer: str, release_id: str) -> None:
    """Make `pointer` name `release_id`, atomically. Pointing `live` elsewhere keeps the old one as `previous`."""
    if pointer not in POINTERS:
        raise ValueError(f"no such pointer: {pointer}; known: {', '.join(POINTERS)}")
    load(root, release_id)
    before = resolve(root, pointer)
    if pointer == "live" and before not in (None, release_id):
        files.replace_text(root / "previous", f"{before}\n")
    files.replace_text(root / pointer, f"{release_id}\n")


def clear(root: Path, pointer: str) -> None:
    """Let `pointer` name nothing, atomically. What is live can only be replaced."""
    if pointer not in POINTERS or pointer == "live":
        raise ValueError(f"{pointer} cannot be cleared")
    (root / pointer).unlink(missing_ok=True)
    files.sync(root)


def resolve(root: Path, pointer: str) -> str | None:
    """The release id that `pointer` names, or None."""
    try:
        return (root / pointer).read_text().strip() or None
    except FileNotFoundError:
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
