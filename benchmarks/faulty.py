"""Things that break when told to, for tests and benchmarks: any part of the service, and a store behind a small TCP proxy."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from core.process import free_port

PASS, SLOW, HUNG, OFF = "pass", "slow", "hung", "off"
_BLOCK = 65_536


class Faulty:
    """A part that works, fails, is slow or hangs, as `mode` says; `go` ends the hanging."""

    def __init__(self, part: Any, method: str, slow_s: float = 0.2, error: Exception | None = None) -> None:
        self._part, self._method, self._slow_s = part, method, slow_s
        self._error = error or RuntimeError("out of order")
        self.mode, self.go = PASS, threading.Event()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name != self._method:
            return found

        def call(*arguments: Any) -> Any:
            if self.mode == OFF:
                raise self._error
            if self.mode == HUNG:
                self.go.wait(60)
            if self.mode == SLOW:
                time.sleep(self._slow_s)
            return found(*arguments)

        return call

    def heal(self) -> None:
        """Work again."""
        self.mode = PASS
        self.go.set()


class StoreProxy:
    """Forwards 127.0.0.1:`port` to a unix socket, as `mode` says; a change of mode counts for open connections, too."""

    def __init__(self, target: str, delay_s: float = 0.1) -> None:
        self.mode = PASS
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._target, self._delay_s = target, delay_s

    async def serve(self, ready: threading.Event, done: asyncio.Event) -> None:
        """Run until `done`."""
        async with await asyncio.start_server(self._connected, "127.0.0.1", self.port):
            ready.set()
            await done.wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            if self.mode != OFF:
                store_reader, store_writer = await asyncio.open_unix_connection(self._target)
                await asyncio.gather(self._pump(reader, store_writer), self._pump(store_reader, writer))
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while block := await reader.read(_BLOCK):
                if self.mode == OFF:
                    break
                if self.mode == SLOW:
                    await asyncio.sleep(self._delay_s)
                while self.mode == HUNG:
                    await asyncio.sleep(0.01)
                writer.write(block)
                await writer.drain()
        finally:
            writer.close()


@contextmanager
def proxied(store_url: str) -> Iterator[StoreProxy]:
    """A proxy in front of a store that `redis_server.running` started, until the block ends."""
    proxy, ready = StoreProxy(store_url.removeprefix("unix://")), threading.Event()
    loop, done = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(proxy.serve(ready, done)), daemon=True)
    thread.start()
    ready.wait(5)
    try:
        yield proxy
    finally:
        proxy.mode = OFF
        loop.call_soon_threadsafe(done.set)
        thread.join(5)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()
