"""`upnext doctor`: what is installed, what is missing, what to do."""

import importlib
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

GIB = 1 << 30


@dataclass(frozen=True)
class Check:
    """One finding. `advice` is empty when nothing needs doing."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def doctor(json: Annotated[Path | None, typer.Option(help="Write the findings here as JSON.")] = None) -> None:
    """What is installed, what is missing, and what to do about it."""
    from cli.console import console, write_json

    findings = [check() for check in CHECKS]
    for finding in findings:
        mark = "[green]✓[/]" if finding.ok else "[red]✗[/]"
        console.print(f"{mark} {finding.name:<14}{finding.found}")
        if finding.advice:
            console.print(f"  [yellow]→ {finding.advice}[/]")
    write_json(json, {"ok": all(f.ok for f in findings), "checks": [asdict(f) for f in findings]})
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _python() -> Check:
    version = sys.version.split()[0]
    ok = sys.version_info >= (3, 11)
    return Check("Python", ok, version, "" if ok else "install Python 3.11 or newer, then `make clean install`")


def _torch() -> Check:
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        return Check("torch", False, str(error), "run `make install`")
    gpus = torch.cuda.device_count()
    return Check("torch", True, f"{torch.__version__}, {f'{gpus} GPU' if gpus else 'CPU'}, {torch.get_num_threads()} threads")


def _torchrec() -> Check:
    try:
        torchrec = importlib.import_module("torchrec")
    except (ImportError, OSError, AttributeError, RuntimeError) as error:
        advice = "the CUDA build of fbgemm may have overwritten the CPU one: `make clean install`"
        return Check("torchrec", False, f"{type(error).__name__}: {error}"[:200], advice)
    return Check("torchrec", True, torchrec.__version__)


def _faiss() -> Check:
    try:
        faiss = importlib.import_module("faiss")
        from retrieval.index import num_gpus
    except ImportError as error:
        return Check("FAISS", False, str(error), "run `make install`")
    gpus = num_gpus()
    return Check("FAISS", True, f"{faiss.__version__}, {f'{gpus} GPU' if gpus else 'CPU'}")


def _redis() -> Check:
    from core import settings
    from core.errors import Unavailable
    from features import redis_server

    url = settings.load().redis_url
    try:
        found = f"REDIS_URL = {url}" if url else redis_server.find_binary()
    except Unavailable as error:
        return Check("Redis", False, str(error), "set REDIS_URL, install redis-server or valkey-server, or `make install`")
    return Check("Redis", True, found)


def _disk() -> Check:
    free = shutil.disk_usage(".").free / GIB
    return Check("disk", free > 3, f"{free:.0f} GiB free", "" if free > 3 else "the demo needs about 3 GiB")


def _memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return Check("memory", total > 6, f"{total:.0f} GiB", "" if total > 6 else "use `upnext demo --preset tiny`")


def _browser() -> Check:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    return Check("browser", True, f"{found} (browser tests run)" if found else "none: browser tests are skipped")


def _data() -> Check:
    from core import settings

    path = settings.load().data_dir
    if path is None:
        return Check("sample data", True, "UPNEXT_DATA is not set: tests on real logs are skipped, the built-in world is used")
    return Check("sample data", path.is_dir(), str(path), "" if path.is_dir() else "UPNEXT_DATA names no folder")


CHECKS: tuple[Callable[[], Check], ...] = (_python, _torch, _torchrec, _faiss, _redis, _disk, _memory, _browser, _data)
