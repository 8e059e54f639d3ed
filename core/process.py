"""Child processes that never outlive their parent, ports that are free, and addresses that are safe.

Linux delivers PR_SET_PDEATHSIG when the *thread* that forked the child ends, so children are started from the main thread.
On other systems the signal is not available and only an orderly exit ends children.
"""

import ctypes
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from core.errors import BadInput

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> Callable[[], None] | None:
    """A `preexec_fn` that asks the kernel to end the child when its parent ends; None where there is no such thing."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def arm() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return arm


def end_when_parent_ends() -> None:
    """Ask the kernel for that, in a process that is running already; nothing where there is no such thing."""
    arm = die_with_parent()
    if arm is not None:
        arm()


def start_child(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    output: BinaryIO | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process that ends with this one. A Ctrl-C in the terminal reaches the parent only.

    Environment and working folder are this process's where none are given; `output` takes what the child prints.
    """
    return subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        preexec_fn=die_with_parent(),
        start_new_session=True,
    )


def follow_parent() -> None:
    """End when the parent ends; at once where the session's leader has gone before this process could ask to be told."""
    end_when_parent_ends()
    if not is_running(os.getsid(0)):
        sys.exit("whoever began this session has ended, and so does this process")


def end_with(parent: int) -> None:
    """End when the parent ends; at once where it has gone before this process could ask to be told."""
    end_when_parent_ends()
    if os.getppid() != parent:
        sys.exit("the process that began this one has ended, and so does this one")


def is_running(pid: int) -> bool:
    """Whether there is such a process, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def answers(url: str, server: subprocess.Popen[bytes], timeout_s: float = 60.0) -> bool:
    """Wait until `url` of a server that was just started answers; False when the process ended instead.

    Raises:
        TimeoutError: it neither answered nor ended.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if server.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(url, timeout=1):
                return True
        except OSError:  # urllib's URLError among them
            time.sleep(0.02)
    raise TimeoutError(f"{url} did not answer within {timeout_s:.0f} s")


def stop_children(children: Sequence[subprocess.Popen[bytes]], patience_s: float = 10.0) -> None:
    """Ask each to end, last started first, and insist after `patience_s`."""
    for child in reversed(children):
        if child.poll() is None:
            child.terminate()
    for child in reversed(children):
        try:
            child.wait(timeout=patience_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free_port(host: str, port: int) -> None:
    """Make sure that a server could bind here.

    Raises:
        BadInput: something listens there already, or the address is not this machine's.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BadInput(f"cannot listen on {host}:{port} ({error.strerror}); stop what runs there or pass --port") from error


def require_safe_address(host: str, token: str | None) -> None:
    """Make sure that other machines only reach a service whose admin routes have a token.

    Raises:
        BadInput: `host` is not a loopback address and there is no token.
    """
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not token:
        raise BadInput(
            f"{host} can be reached from other machines, and there is no admin token: set UPNEXT_ADMIN_TOKEN to a long random "
            "text, or bind 127.0.0.1"
        )
