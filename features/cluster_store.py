"""OnlineStore in a Redis or Valkey cluster: every node is asked for its own viewers, directly.

A viewer's keys share a hash tag, so one node holds them all and changes them as a whole. A batch of events touches several
nodes, and there is no transaction over nodes: where one fails in the middle, `apply` raises, and the same events applied again
count twice for viewers of the others. A node that is down degrades the pages that are decided together with one of its viewers.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from core.errors import StoreUnavailable
from data.redis_nodes import FAILURES, Nodes
from features.breaker import Breaker
from features.redis_store import Command, RedisStore
from features.states import ViewerState, ViewerStates, empty_state


def open_store(url: str, namespace: str, **limits: Any) -> "RedisStore | ClusterStore":
    """The store at `url`, one server or a cluster (`data.redis_nodes`); `limits` as for RedisStore.

    Raises:
        StoreUnavailable: nobody of a cluster answers. One server may also come later.
    """
    try:
        nodes = Nodes(url)
    except FAILURES as error:
        raise StoreUnavailable(f"the online store did not answer: {error}") from error
    return ClusterStore(nodes, namespace, **limits) if nodes.clustered else RedisStore(url, namespace, **limits)


class _Node(RedisStore):
    """One node. A transaction may touch one slot only, so every viewer has one."""

    def _commit(self, changes: Sequence[list[Command]]) -> None:
        self._transact(changes)


class ClusterStore:
    """See OnlineStore."""

    def __init__(self, nodes: Nodes, namespace: str, **limits: Any) -> None:
        """Over the nodes of a cluster; `limits` as for RedisStore."""
        self._nodes, self._namespace, self._limits = nodes, namespace, limits
        self._stores: dict[str, _Node] = {}
        self._looking = threading.Lock()

    @property
    def breaker(self) -> Breaker:
        """Of a node that is not asked at the moment, if there is one, else of any."""
        breakers = [self._store(url).breaker for url in self._nodes.urls]
        return next((breaker for breaker in breakers if breaker.is_open), breakers[0])

    def read(self, viewer_ids: Sequence[int]) -> list[ViewerState]:
        """See OnlineStore. One round trip per node that holds one of them."""
        found: dict[int, ViewerState] = {}
        with self._watched():
            for store, places in self._parts(viewer_ids):
                found |= dict(zip(places, store.read([viewer_ids[place] for place in places]), strict=True))
        return [found[place] for place in range(len(viewer_ids))]

    def at_hand(self, viewer_ids: Sequence[int]) -> list[ViewerState]:
        """See OnlineStore: nothing."""
        return [empty_state()] * len(viewer_ids)

    def apply(self, updates: ViewerStates) -> None:
        """See OnlineStore, and the module."""
        with self._watched():
            for store, places in self._parts(updates.viewer_ids.tolist()):
                store.apply(_only(updates, places))

    def load(self, states: ViewerStates) -> None:
        """See OnlineStore."""
        with self._watched():
            for store, places in self._parts(states.viewer_ids.tolist()):
                store.load(_only(states, places))

    def forget(self, viewer_id: int) -> bool:
        """See OnlineStore."""
        with self._watched():
            return any(store.forget(viewer_id) for store, _ in self._parts([viewer_id]))

    def clear(self) -> None:
        """See OnlineStore."""
        for url in self._nodes.urls:
            self._store(url).clear()

    def size(self) -> int:
        """See OnlineStore."""
        return sum(self._store(url).size() for url in self._nodes.urls)

    def close(self) -> None:
        """See OnlineStore."""
        for store in self._stores.values():
            store.close()

    def _parts(self, viewer_ids: Sequence[int]) -> list[tuple[_Node, list[int]]]:
        """Each node with the places of its viewers."""
        places: dict[str, list[int]] = {}
        for place, viewer_id in enumerate(viewer_ids):
            places.setdefault(self._nodes.of(f"{{{viewer_id}}}"), []).append(place)
        return [(self._store(url), mine) for url, mine in places.items()]

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """When a node fails, find out who owns its slots now: beside requests, because a dead node takes its time."""
        try:
            yield
        except StoreUnavailable:
            if self._looking.acquire(blocking=False):
                threading.Thread(target=self._look, name="cluster", daemon=True).start()
            raise

    def _look(self) -> None:
        try:
            self._nodes.look()
        except FAILURES:
            logging.getLogger("upnext.features").warning("the store's cluster does not say who holds what")
        finally:
            self._looking.release()

    def _store(self, url: str) -> _Node:
        found = self._stores.get(url)
        if found is None:  # two threads may both make one; either will do
            found = self._stores[url] = _Node(url, self._namespace, **self._limits)
        return found


def _only(states: ViewerStates, places: Sequence[int]) -> ViewerStates:
    """The states of some of the viewers."""
    kept = np.zeros(len(states), dtype=bool)
    kept[list(places)] = True
    return states.where(kept)
