"""The service as a process: one uvicorn server on uvloop and httptools. A shutdown drains the queues."""

import gc
import signal
import sys
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from app.main import create_app, open_services
from core.process import require_free_port, require_safe_address
from core.settings import Settings

DRAIN_S = 10
SWITCH_S = 0.0005
"""How long a background thread may keep the interpreter from a request; Python's own 5 ms is most of a page's time."""


def run(settings: Settings, *, releases: Path, events: Path, pointer: str, host: str, port: int) -> None:
    """Serve a published release until the process is told to stop. Call from the main thread.

    Args:
        settings: the process's environment.
        releases: root of published releases.
        events: file of the event log.
        pointer: a pointer's name or a release id.
        host: address to bind.
        port: port to bind.

    Raises:
        BadInput: something else listens on that port, or other machines could reach a service without an admin token; said
            before anything is loaded.
        ReleaseRefused: there is nothing to serve, or it failed its checks.
    """
    require_safe_address(host, settings.admin_token)
    require_free_port(host, port)
    # uvicorn drains and then raises the signal again: as SystemExit it unwinds, and the store server is stopped in order.
    signal.signal(signal.SIGTERM, _exit)
    sys.setswitchinterval(SWITCH_S)
    with open_services(settings, releases=releases, events=events, pointer=pointer) as services:
        app = create_app(services)
        gc.collect()
        gc.freeze()  # what was loaded lives as long as the process: looking through it again would stop requests for nothing
        serve(app, host, port)


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def serve(app: FastAPI, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve until the process is told to stop.

    Raises:
        BadInput: something else listens on that port.
    """
    require_free_port(host, port)
    uvicorn.Server(configure(app, host, port)).run()


def configure(app: FastAPI, host: str, port: int) -> uvicorn.Config:
    """How uvicorn runs the app."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
