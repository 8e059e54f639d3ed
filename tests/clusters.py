"""Servers with append-only files, alone or as a cluster on the loopback address, for tests."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis

from core.process import free_port, start_child, stop_children
from features.redis_server import find_binary

_SLOTS = 16_384


@contextmanager
def server(folder: Path, **options: str) -> Iterator[int]:
    """The port of a server that fsyncs every write."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {"port": str(port), "bind": "127.0.0.1", "dir": str(folder), "logfile": str(folder / "log"), "save": ""}
    wanted |= {"appendonly": "yes", "appendfsync": "always", **options}
    port = int(wanted["port"])
    words = [word for name, value in wanted.items() for word in (f"--{name}", value)]
    child = start_child([find_binary(), *words])
    try:
        with redis.Redis(port=port) as client:
            _until(lambda: child.poll() is not None or _answers(client))
        if child.poll() is not None:
            pytest.skip(f"this server program cannot do {', '.join(options) or 'that'}: {(folder / 'log').read_text()[-200:]}")
        yield port
    finally:
        stop_children([child])


@contextmanager
def cluster(folder: Path, num_nodes: int = 3) -> Iterator[list[int]]:
    """The ports of a cluster of masters that share all slots."""
    with ExitStack() as stack:
        buses = [str(free_port()) for _ in range(num_nodes)]
        options = {"cluster-enabled": "yes", "cluster-node-timeout": "2000"}
        ports = [stack.enter_context(server(folder / bus, **options, **{"cluster-port": bus})) for bus in buses]
        clients = [stack.enter_context(redis.Redis(port=port)) for port in ports]
        for i, client in enumerate(clients):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", _SLOTS * i // num_nodes, _SLOTS * (i + 1) // num_nodes - 1)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for port, bus in zip(ports[1:], buses[1:], strict=True):
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
        _until(lambda: all(_whole(client, num_nodes) for client in clients))
        yield ports


def _whole(client: redis.Redis, num_nodes: int) -> bool:
    info = client.cluster("info")
    return info["cluster_state"] == "ok" and int(info["cluster_size"]) == num_nodes


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _until(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the servers did not come up"
        time.sleep(0.02)
