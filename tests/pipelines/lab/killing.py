"""A laboratory run that is killed without warning."""

import subprocess
import sys
import time
from pathlib import Path

from pipelines.lab.state import Shelf


def kill_after_first_week(code: str, root: Path, config: object, arm: str) -> Path:
    """Run `code` with the folder `root` in a process of its own until the first week of `arm` is complete; gives the folder."""
    child = subprocess.Popen([sys.executable, "-c", code, str(root)])
    first = Shelf.of(root, config).week(1, arm, 1)
    while not first.is_dir() and child.poll() is None:
        time.sleep(0.05)
    child.kill()
    child.wait()
    assert first.is_dir()
    return root
