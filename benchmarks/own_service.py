"""The service as a process over a copy of a space, for benchmarks that write: uploads, swaps, roll-backs.

Only the live release is copied. The original is left as it is; the copy goes with the block.
"""

import json
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import load
from core import release
from pipelines.spaces import Space

_TOKEN = "benchmark"


@dataclass(frozen=True)
class Site:
    """A running service and what it serves from."""

    port: int
    space: Space
    pid: int

    def get(self, path: str) -> Any:
        """The JSON of one answer."""
        return self.ask("GET", path)[1]

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of one answer; carries the admin token."""
        headers = {"authorization": f"Bearer {_TOKEN}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=900) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def memory_mib(self, name: str = "VmRSS") -> int:
        """Of the service: resident now, or `VmHWM`, at its highest."""
        return load.memory_mib(self.pid, name)


@contextmanager
def running(source: Space, prepare: Callable[[Space], None] = lambda space: None) -> Iterator[Site]:
    """`upnext serve` over a copy that `prepare` may change first."""
    with tempfile.TemporaryDirectory() as folder:
        space = copied(source, Path(folder))
        prepare(space)
        environment = os.environ | {"UPNEXT_VAR": folder, "UPNEXT_ADMIN_TOKEN": _TOKEN}
        with load.service(space.name, environment=environment) as (port, child):
            yield Site(port, space, child.pid)


def copied(source: Space, folder: Path) -> Space:
    """The live release of a space in a space of the same name under `folder`, without a log."""
    space, live_id = Space(folder / source.name), release.resolve(source.releases, "live") or ""
    shutil.copytree(release.load(source.releases, live_id).path, space.releases / live_id)
    release.point(space.releases, "live", live_id)
    return space
