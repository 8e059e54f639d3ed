"""Where a key lives in a Redis or Valkey deployment: on the only server, or on the owner of its slot in a cluster.

A URL `redis+cluster://host:port` (or `rediss+cluster`) names any node of a cluster. Asked directly, every node is a plain
server for its own keys, so whoever puts all keys that belong together under one hash tag (`…{tag}…`) needs nothing else of a
cluster client. A node that answers MOVED was the owner once: `look` again.
"""

from bisect import bisect_left
from urllib.parse import urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

Client = redis.Redis
FAILURES = (redis.RedisError, OSError)
"""What a server that is gone, slow or wrong makes a client raise."""
_SLOTS = 16_384


def connect(url: str, timeout_s: float) -> Client:
    """A client that gives up after `timeout_s` and never tries again by itself: what to do then is the caller's to decide."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        protocol=2,
    )


class Nodes:
    """The servers behind a URL. Looked up once, and again when told to."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        """Asks a cluster at once. Raises redis.RedisError or OSError when nobody answers there."""
        scheme, _, rest = url.partition("+cluster://")
        self.clustered = bool(rest)
        """Whether keys are spread over several servers."""
        self._url, self._timeout_s = f"{scheme}://{rest}" if rest else url, timeout_s
        self._ranges: tuple[list[int], list[str]] = ([_SLOTS - 1], [self._url])
        """Last slots of ranges, and who owns each range: one reference, so that readers never see half of a change."""
        self.look()

    @property
    def urls(self) -> list[str]:
        """Of every server that holds keys."""
        return list(dict.fromkeys(self._ranges[1]))

    def of(self, key: str) -> str:
        """The URL of the server that holds a key."""
        ends, owners = self._ranges
        return owners[bisect_left(ends, key_slot(key.encode()))]

    def look(self) -> None:
        """Find out who owns what now. Raises redis.RedisError or OSError when none of a cluster's known servers answers."""
        if not self.clustered:
            return
        failed: Exception | None = None
        for url in dict.fromkeys([*self.urls, self._url]):
            try:
                self._ask(url)
                return
            except FAILURES as error:
                failed = error
        assert failed is not None
        raise failed

    def _ask(self, url: str) -> None:
        with connect(url, self._timeout_s) as client:
            ranges = sorted((begin, end, owner) for begin, end, owner, *_ in client.execute_command("CLUSTER", "SLOTS"))
        if sum(end + 1 - begin for begin, end, _ in ranges) != _SLOTS:
            raise redis.RedisError("the cluster does not serve all slots")
        owners = [_at(url, host.decode(), port) for _, _, (host, port, *_) in ranges]
        self._ranges = [end for _, end, _ in ranges], owners


def _at(url: str, host: str, port: int) -> str:
    """The same URL, with its credentials and scheme, at another address; an empty host means the one that answered."""
    parts = urlsplit(url)
    name = host or parts.hostname or ""
    credentials, at, _ = parts.netloc.rpartition("@")
    place = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    return urlunsplit(parts._replace(netloc=f"{credentials}{at}{place}"))
