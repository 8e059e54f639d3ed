"""Files and folders that are there whole or not at all, whenever the power or the process ends."""

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


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as JSON."""
    text = json.dumps(value, indent=1, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, staged = tempfile.mkstemp(prefix=STAGED, dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(staged, path)
    _sync(path.parent)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """An empty folder to fill, which then becomes `target`; nothing remains of it when the body fails.

    Where `target` has appeared meanwhile, that one stays: both were made from the same things.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=STAGED, dir=target.parent))
    try:
        yield staged
        staged.chmod(0o755)  # mkdtemp lets nobody else in
        for path in [*staged.rglob("*"), staged]:
            _sync(path)
        try:
            os.rename(staged, target)
        except OSError:
            if not target.is_dir():
                raise
        _sync(target.parent)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def sweep(root: Path) -> int:
    """Remove what killed writers left unfinished in `root` and its folders; returns how many. No writer may be at work."""
    left = [*root.glob(f"{STAGED}*"), *root.glob(f"*/{STAGED}*")]
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return len(left)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
