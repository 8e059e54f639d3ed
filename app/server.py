"""The service as a process, or as several that share a socket: uvicorn on uvloop and httptools. A shutdown drains queues."""

import gc
import signal
import socket
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from app import logs
from app.ahead import with_pages
from app.in_step import EVERY_S, InStep
from app.main import create_app, open_services
from app.services import Services
from app.shared_arrays import Arrays
from app.trials import Watcher
from app.workers import Crew
from core.clock import SystemClock
from core.process import require_free_port, require_safe_address
from core.settings import Settings
from features import redis_server

LOOPBACK = "127.0.0.1"
BACKLOG = 2_048
DRAIN_S = 10
SWITCH_S = 0.0005
"""How long a background thread may keep the interpreter from a request; Python's own 5 ms is most of a page's time."""


@dataclass(frozen=True)
class Site:
    """What to serve, and where."""

    releases: Path
    """Root of published releases."""
    events: Path
    """File of the event log, where the settings name no server for it."""
    pointer: str = "live"
    """A pointer's name or a release id."""
    host: str = "127.0.0.1"
    port: int = 8000
    follow: bool = False
    """Whether to go along when the pointer moves, as several servers of one space must."""
    page_age_s: float = 0.0
    """Age up to which pages made ahead of time are shown; 0 computes every page."""
    spare_search: bool = False
    """Whether computed pages take nearest videos that were found ahead of time without searching for them."""


def run(settings: Settings, site: Site, workers: int = 1) -> None:
    """Serve a published release until the process is told to stop. Call from the main thread.

    Args:
        settings: the process's environment.
        site: what and where.
        workers: processes; with more than one, worker number n also answers alone, at port + n on the loopback address.

    Raises:
        BadInput: something else listens on a port, or other machines could reach a service without an admin token; said
            before anything is loaded.
        ReleaseRefused: there is nothing to serve, or it failed its checks.
    """
    require_safe_address(site.host, settings.admin_token)
    require_free_port(site.host, site.port)
    # uvicorn drains and then raises the signal again: as SystemExit it unwinds, and the store server is stopped in order.
    signal.signal(signal.SIGTERM, _exit)
    logs.install()
    sys.setswitchinterval(SWITCH_S)
    if workers == 1:
        _serve_release(settings, site)
        return
    for number in range(1, workers + 1):
        require_free_port(LOOPBACK, site.port + number)
    with ExitStack() as stack:
        store_url = stack.enter_context(redis_server.running(settings))
        everybody = _listen(stack, site.host, site.port)
        alone = [_listen(stack, LOOPBACK, site.port + number) for number in range(1, workers + 1)]
        gc.collect()
        gc.freeze()  # a collection would write to every object, and so give each worker a copy
        arrays = Arrays(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=redis_server.folder_prefix()))))
        ours, followed = replace(settings, redis_url=store_url), replace(site, follow=True)
        Crew(lambda number: _serve_release(ours, followed, [everybody, alone[number]], arrays), workers).run()


def _listen(stack: ExitStack, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return stack.enter_context(socket.create_server((host, port), family=family, backlog=BACKLOG))


def _serve_release(
    settings: Settings, site: Site, sockets: list[socket.socket] | None = None, arrays: Arrays | None = None
) -> None:
    with open_services(settings, releases=site.releases, events=site.events, pointer=site.pointer) as services:
        if site.page_age_s:
            services = with_pages(services, site.releases, site.page_age_s, spare_search=site.spare_search)
        if site.follow:
            services = _in_step(services, site)
        app = create_app(services)
        gc.collect()
        if arrays is not None:
            arrays.share(services.releases)
        gc.freeze()  # what was loaded lives as long as the process: looking through it again would stop requests for nothing
        uvicorn.Server(configure(app, site.host, site.port)).run(sockets)


def _in_step(services: Services, site: Site) -> Services:
    """The same services, going along with what other processes do."""
    follower = InStep(services.releases, services.follower, site.releases, SystemClock(), site.pointer)
    watcher = Watcher(follower.look, EVERY_S, "in step")

    def start() -> None:
        services.start()
        watcher.start()

    def close() -> None:
        watcher.close()
        services.close()

    return replace(services, start=start, close=close)


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
