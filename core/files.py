"""Files and folders that are there whole or not at all, whenever the power or the process ends.

Written under a name that nobody reads, flushed to the disk, then given their own name in one step.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STAGED = ".staged-"
"""How the names of unfinished things begin; nobody reads them."""


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A file to write, which then becomes `path`: a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=STAGED, dir=path.parent)
    os.close(handle)
    staged = Path(name)
    try:
        yield staged
        staged.chmod(0o644)  # mkstemp lets nobody else in
        sync(staged)
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    sync(path.parent)


def replace_text(path: Path, text: str) -> None:
    """Make `path` hold `text`."""
    with replaced(path) as staged:
        staged.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as JSON. Raises ValueError for numbers that JSON does not have, and then nothing changes."""
    replace_text(path, json.dumps(value, indent=1, allow_nan=False))


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """An empty folder to fill, which then becomes `target`; nothing remains of it when the body fails.

    Where `target` has appeared meanwhile, that one stays: both were made from the same things.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=STAGED, dir=target.parent))
    try:
        yield staged
        sync_tree(staged)
        try:
            os.rename(staged, target)
        except OSError:
            if not target.is_dir():
                raise
        sync(target.parent)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Flush a folder with all that is in it, and let other accounts read it, which `mkdtemp` does not."""
    folder.chmod(0o755)
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def sync(path: Path) -> None:
    """Flush a file's bytes, or a directory's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(root: Path) -> int:
    """Remove what killed writers left unfinished in `root` and its folders; returns how many. No writer may be at work."""
    left = [*root.glob(f"{STAGED}*"), *root.glob(f"*/{STAGED}*")]
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return len(left)


def size_of(folder: Path) -> int:
    """Bytes of all files under `folder`."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
