"""OnlineStore in Redis or Valkey, shared by any number of servers.

Three keys per viewer under a namespace (a schema hash or a release id, so that different layouts never meet): `…:n` a hash of
counters, field (sum, tile) → amount; `…:c` a list of clicks; `…:w` a list of watch lengths. The viewer is their hash tag, so a
cluster (`cluster_store`) keeps them together. Writers only use atomic commands (HINCRBY, LPUSH, LTRIM, HDEL). Every key
expires, so the store is as large as its active viewers.

The client's own retries are off: they cost seconds when the server is gone. A page is better degraded than late.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import hiredis
import numpy as np
import redis

from core.errors import StoreUnavailable
from data.redis_nodes import connect
from features.breaker import Breaker
from features.definitions import REMEMBERED_WATCHES
from features.kinds import SEEN_LIMIT
from features.states import ViewerState, ViewerStates, empty_state
from features.tiles import Ints

_LOAD_BLOCK = 1_000
_TTL_S = 180 * 86_400
Command = tuple[Any, ...]


class RedisStore:
    """See OnlineStore. Reads give up after `timeout_s`; writes and bulk loads after `write_timeout_s`."""

    def __init__(
        self,
        url: str,
        namespace: str,
        *,
        timeout_s: float = 0.015,
        write_timeout_s: float = 5.0,
        ttl_s: int = _TTL_S,
        breaker: Breaker | None = None,
    ) -> None:
        self._namespace, self._ttl_s = namespace, ttl_s
        self._reader, self._writer = connect(url, timeout_s), connect(url, write_timeout_s)
        self.breaker = breaker or Breaker()
        """Of reads. Writes have one of their own: they may take long, and their success says nothing about reads."""
        self._write_breaker = Breaker()

    def read(self, viewer_ids: Sequence[int]) -> list[ViewerState]:
        """See OnlineStore."""
        commands = [command for viewer_id in viewer_ids for command in self._reading(viewer_id)]
        answers = self._ask(self._reader, commands)
        return [
            ViewerState(_counts(answers[i]), _rows(answers[i + 1], 2), _rows(answers[i + 2], 1))
            for i in range(0, len(answers), 3)
        ]

    def at_hand(self, viewer_ids: Sequence[int]) -> list[ViewerState]:
        """See OnlineStore: nothing."""
        return [empty_state()] * len(viewer_ids)

    def apply(self, updates: ViewerStates) -> None:
        """See OnlineStore. The first round trip asks which counters exist, to drop those that are over."""
        viewer_ids = updates.viewer_ids.tolist()
        held = self._ask(self._writer, [("HKEYS", self._keys(viewer_id)[0]) for viewer_id in viewer_ids])
        self._commit(
            [
                [*self._dropping(viewer_id, fields, updates.keep_from), *self._adding(viewer_id, updates[place])]
                for place, (viewer_id, fields) in enumerate(zip(viewer_ids, held, strict=True))
            ]
        )

    def load(self, states: ViewerStates) -> None:
        """See OnlineStore. A thousand viewers per round trip."""
        viewer_ids = states.viewer_ids.tolist()
        for begin in range(0, len(viewer_ids), _LOAD_BLOCK):
            block = range(begin, min(begin + _LOAD_BLOCK, len(viewer_ids)))
            self._ask(self._writer, [command for i in block for command in self._replacing(viewer_ids[i], states[i])])

    def forget(self, viewer_id: int) -> bool:
        """See OnlineStore."""
        with self._guard(self._write_breaker):
            return bool(self._writer.delete(*self._keys(viewer_id)))

    def clear(self) -> None:
        """See OnlineStore. Deletes in blocks, so that other clients are answered in between."""
        with self._guard(self._write_breaker):
            keys = self._keys_held()
            while block := list(islice(keys, _LOAD_BLOCK)):
                self._ask(self._writer, [("UNLINK", key) for key in block])

    def size(self) -> int:
        """See OnlineStore. Counts viewers that have counters or clicks."""
        with self._guard(self._write_breaker):
            return len({key.rsplit(b":", 1)[0] for key in self._keys_held()})

    def close(self) -> None:
        """See OnlineStore."""
        self._reader.close()
        self._writer.close()

    def _commit(self, changes: Sequence[list[Command]]) -> None:
        """Every viewer's changes, all of them or none."""
        self._transact([[command for change in changes for command in change]])

    def _transact(self, transactions: Sequence[list[Command]]) -> None:
        """Each as a whole or not at all, in one round trip."""
        wrapped = [command for commands in transactions if commands for command in (("MULTI",), *commands, ("EXEC",))]
        for answer in self._ask(self._writer, wrapped):
            for failure in answer if isinstance(answer, list) else ():
                if isinstance(failure, Exception):
                    raise failure

    def _ask(self, client: redis.Redis, commands: Sequence[Command]) -> list[Any]:
        """Answers in one round trip, packed and parsed by hiredis alone: the client's pipeline takes twice as long."""
        with self._guard(self.breaker if client is self._reader else self._write_breaker):
            connection = client.connection_pool.get_connection()
            try:
                connection.send_packed_command([b"".join(map(hiredis.pack_command, commands))], check_health=False)
                return [connection.read_response() for _ in commands]
            except BaseException:
                connection.disconnect()  # what it may still answer must not be taken for the next question's
                raise
            finally:
                client.connection_pool.release(connection)

    @contextmanager
    def _guard(self, breaker: Breaker) -> Iterator[None]:
        with breaker.guard():
            try:
                yield
            except (redis.RedisError, OSError) as error:
                raise StoreUnavailable(f"the online store did not answer: {error}") from error

    def _keys_held(self) -> Iterator[bytes]:
        return iter(self._writer.scan_iter(match=f"{self._namespace}:*", count=_LOAD_BLOCK))

    def _keys(self, viewer_id: int) -> tuple[str, str, str]:
        stem = f"{self._namespace}:{{{viewer_id}}}"
        return f"{stem}:n", f"{stem}:c", f"{stem}:w"

    def _dropping(self, viewer_id: int, fields: list[bytes], keep_from: Ints) -> Iterator[Command]:
        held = _rows(fields, 2)
        over = [field for field, (index, tile) in zip(fields, held.tolist(), strict=True) if tile < keep_from[index]]
        if over:
            yield ("HDEL", self._keys(viewer_id)[0], *over)

    def _adding(self, viewer_id: int, update: ViewerState) -> Iterator[Command]:
        counts, clicks, watches = self._keys(viewer_id)
        for field, amount in zip(_packed(update.counts[:, :2]), update.counts[:, 2].tolist(), strict=True):
            yield ("HINCRBY", counts, field, amount)
        if len(update.counts):
            yield ("EXPIRE", counts, self._ttl_s)
        for key, rows, limit in ((clicks, update.clicks, SEEN_LIMIT), (watches, update.watches, REMEMBERED_WATCHES)):
            if len(rows):
                yield ("LPUSH", key, *_packed(rows[::-1]))
                yield ("LTRIM", key, 0, limit - 1)
                yield ("EXPIRE", key, self._ttl_s)

    def _reading(self, viewer_id: int) -> Iterator[Command]:
        counts, clicks, watches = self._keys(viewer_id)
        yield ("HGETALL", counts)
        yield ("LRANGE", clicks, 0, SEEN_LIMIT - 1)
        yield ("LRANGE", watches, 0, REMEMBERED_WATCHES - 1)

    def _replacing(self, viewer_id: int, state: ViewerState) -> Iterator[Command]:
        counts, clicks, watches = self._keys(viewer_id)
        yield ("DEL", counts, clicks, watches)
        if len(state.counts):
            pairs = zip(_packed(state.counts[:, :2]), state.counts[:, 2].tolist(), strict=True)
            yield ("HSET", counts, *(part for pair in pairs for part in pair))
            yield ("EXPIRE", counts, self._ttl_s)
        for key, rows in ((clicks, state.clicks), (watches, state.watches)):
            if len(rows):
                yield ("RPUSH", key, *_packed(rows))
                yield ("EXPIRE", key, self._ttl_s)


def _packed(rows: Ints) -> list[bytes]:
    """n packed rows from [n, width]."""
    width, buffer = 8 * rows.shape[1], rows.astype("<i8").tobytes()
    return [buffer[begin : begin + width] for begin in range(0, len(buffer), width)]


def _rows(packed: Sequence[bytes], width: int) -> Ints:
    """The inverse of `_packed`."""
    return np.frombuffer(b"".join(packed), dtype="<i8").reshape(-1, width).astype(np.int64, copy=False)


def _counts(fields: Sequence[bytes]) -> Ints:
    """[m, 3] from a hash: field, value, field, value, …"""
    counts = np.empty((len(fields) // 2, 3), dtype=np.int64)
    counts[:, :2] = _rows(fields[::2], 2)
    counts[:, 2] = list(map(int, fields[1::2]))
    return counts
