"""Embedding tables at scale, on this machine: caches against theory, more rows than memory, fewer bytes, swaps under load.

    python -m benchmarks.embeddings cache
    python -m benchmarks.embeddings memory
    python -m benchmarks.embeddings compression --release var/SPACE/releases/ID
    python -m benchmarks.embeddings swap --space SPACE --rate 20 --seconds 520 --kills 200 [--videos 1900000]

cache         Zipf(1) look-ups through each policy: hit rate of the second half against the closed form (lfu: best possible;
              lru: Che's approximation), and look-ups a second of processor time against a plain table in memory. The file is
              in the page cache.
memory        A dense table of 12.3 GB, every row written, serves Zipf(1) look-ups in a process that may not allocate more than
              3 GB; peak resident memory includes pages of files that the process has mapped. Look-ups a second beside those
              of a plain table in memory, of a hundredth of the rows so that it fits; then every number that the same
              look-ups give is compared with what was written. The file is deleted afterwards.
compression   A release's video vectors, compressed after training: recall@100 of videos' neighbours (what the up-next rail
              asks) against the vectors as they are, and bytes.
swap          Releases that take over under load (`benchmarks.swap`), and publishers that die (`benchmarks.kill_publish`).
              `p99_ratio` is the pages' p99 while releases take turns over that of the same time without; `swaps` are
              releases that took over after being loaded.
"""

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import kill_publish, results_file, swap
from core import rng
from embeddings.arithmetic import best_hit_rate, lru_hit_rate
from embeddings.cache import LFU, LRU, POLICIES, Cache, CacheStats
from embeddings.compression import ByteRows, HalfRows, HashedRows, QuotientRemainderRows, Rows
from embeddings.host_table import HostTable
from pipelines.spaces import Space

SEED = 1
NEIGHBOURS = 100
LIMIT_BYTES = 3_000_000_000
MAX_QUERIES = 2_000
SHARES = (2, 4, 8)
_FILL_ROWS = 32_768


def main() -> None:
    """Run one part from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("part", choices=["cache", "memory", "compression", "swap"])
    parser.add_argument("--release", type=Path, default=None, help="folder of a release, for compression")
    parser.add_argument("--space", default=None, help="dataset to serve, for swap; the last trained one by default")
    parser.add_argument("--rate", type=int, default=20, help="requests per second, for swap")
    parser.add_argument("--seconds", type=int, default=520, help="of load, for swap; the first half is without swaps")
    parser.add_argument("--videos", type=int, default=None, help="make the release this large first, for swap")
    parser.add_argument("--kills", type=int, default=200, help="publishers that are killed, for swap")
    arguments = parser.parse_args()
    if arguments.part == "compression" and arguments.release is None:
        parser.error("compression needs --release, for example var/world-demo/releases/<id>")
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "cache": measure_caches,
        "memory": measure_memory,
        "compression": lambda: measure_compression(np.load(arguments.release / "video_vectors.npy")),
        "swap": lambda: measure_swap(
            swap.served(arguments.space, arguments.videos), arguments.rate, arguments.seconds, arguments.kills
        ),
    }
    result = parts[arguments.part]()
    arguments.release = arguments.release and arguments.release.name
    results_file.keep(f"embeddings-{arguments.part}", result, arguments)


def measure_caches(rows: int = 200_000, dim: int = 64, batch: int = 256, num_batches: int = 6_000) -> dict[str, Any]:
    """Every policy at .1 % to 10 % of the rows."""
    asked = zipf_rows(rows, num_batches * batch).reshape(num_batches, batch)
    with tempfile.TemporaryDirectory() as folder:
        table = HostTable.create(Path(folder) / "table.npy", rows, dim)
        fill(table, np.arange(rows))
        in_memory = table.read(np.arange(rows))
        began = time.process_time()
        for row_N in asked:
            in_memory[row_N]
        plain = asked.size / (time.process_time() - began)
        found = [_cached(table, policy, rows // share, asked) for share in (1_000, 100, 30, 10) for policy in POLICIES]
    return {
        "rows": rows,
        "dim": dim,
        "lookups": asked.size,
        "batch": batch,
        "plain_lookups_per_s": round(plain),
        "caches": found,
    }


def _cached(table: HostTable, policy: str, capacity: int, asked: NDArray[np.int64]) -> dict[str, Any]:
    cache, began = Cache(table, capacity, policy), 0.0
    for number, batch in enumerate(asked):
        if number == len(asked) // 2:
            cache.stats, began = CacheStats(), time.process_time()
        cache.lookup(batch)
    took = time.process_time() - began
    theory = {LFU: best_hit_rate, LRU: lru_hit_rate}
    expected = theory[policy](len(table), capacity) if policy in theory else None
    return {
        "policy": policy,
        "capacity": capacity,
        "hit_rate": round(cache.stats.hit_rate, 4),
        "expected": None if expected is None else round(expected, 4),
        "lookups_per_s": round(cache.stats.lookups / took),
    }


def measure_memory(
    rows: int = 12_000_000, dim: int = 256, capacity: int = 100_000, batch: int = 1_024, num_batches: int = 500
) -> dict[str, Any]:
    """A table of which the process could not hold a quarter."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    refused = not _allocates(rows, dim)
    asked = zipf_rows(rows, num_batches * batch).reshape(num_batches, batch)
    plain = _plain_lookups_per_s(asked * (rows // 100) // rows, rows // 100, dim)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        path, began = Path(folder) / "table.npy", time.perf_counter()
        HostTable.create(path, rows, dim)
        fill_file(path, rows, dim)
        filled_s = time.perf_counter() - began
        on_disk, table = path.stat().st_blocks * 512, HostTable(path)
        cache, began = Cache(table, capacity, LFU), time.perf_counter()
        for row_N in asked:
            cache.lookup(row_N)
        took = time.perf_counter() - began
        wrong = sum(int(np.count_nonzero(cache.lookup(row_N) != pattern(row_N, dim))) for row_N in asked)
    return {
        "rows": rows,
        "dim": dim,
        "table_bytes": rows * dim * 4,
        "bytes_on_disk": on_disk,
        "limit_bytes": LIMIT_BYTES,
        "the_table_in_memory_is_refused": refused,
        "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "cache_rows": capacity,
        "lookups": asked.size,
        "distinct_rows": len(np.unique(asked)),
        "hit_rate_of_both_passes": round(cache.stats.hit_rate, 4),
        "wrong_numbers": wrong,
        "fill_s": round(filled_s, 1),
        "lookups_per_s": round(asked.size / took),
        "plain_lookups_per_s": plain,
    }


def _plain_lookups_per_s(asked: NDArray[np.int64], rows: int, dim: int) -> int:
    table = pattern(np.arange(rows), dim)
    began = time.perf_counter()
    for row_N in asked:
        table[row_N]
    return round(asked.size / (time.perf_counter() - began))


def measure_compression(vector_VD: NDArray[np.float32]) -> dict[str, Any]:
    """Recall and bytes of every way, smallest last within each."""
    num, dim = vector_VD.shape
    query = rng.stream(SEED, "compression queries").permutation(num)[:MAX_QUERIES]
    exact, full = _neighbours(vector_VD, vector_VD[query], query), vector_VD.nbytes
    points: list[dict[str, Any]] = [{"way": "fp32", "bytes": full, "share_of_bytes": 1.0, "recall_at_100": 1.0}]
    for name, kept in compressed(vector_VD).items():
        read = kept.read(np.arange(num))
        found = _neighbours(read, vector_VD[query], query)
        recall = np.mean([len(np.intersect1d(a, b)) / a.size for a, b in zip(exact, found, strict=True)])
        size = {"bytes": kept.nbytes, "share_of_bytes": round(kept.nbytes / full, 4)}
        points.append({"way": name, **size, "recall_at_100": round(float(recall), 4)})
    chance = round(NEIGHBOURS / (num - 1), 4)
    return {"videos": num, "dim": dim, "queries": len(query), "recall_of_chance": chance, "points": points}


def compressed(vector_VD: NDArray[np.float32]) -> dict[str, Rows]:
    """The table in every way."""
    num = len(vector_VD)
    ways: dict[str, Rows] = {"fp16": HalfRows.of(vector_VD), "int8": ByteRows.of(vector_VD)}
    for share in SHARES:
        ways[f"hash to 1/{share}"] = HashedRows.of(vector_VD, num // share)
        ways[f"quotient-remainder, V/{share} remainders"] = QuotientRemainderRows.of(vector_VD, num // share)
    return ways


def _neighbours(vector_VD: NDArray[np.float32], query_QD: NDArray[np.float32], own_Q: NDArray[np.int64]) -> NDArray[np.int64]:
    """[Q, 100] videos of highest inner product, without the query itself."""
    score = query_QD @ vector_VD.T
    score[np.arange(len(own_Q)), own_Q] = -np.inf
    return np.argpartition(-score, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]


def measure_swap(space: Space, rate: int, seconds: int, kills: int) -> dict[str, Any]:
    """What viewers notice of releases that take over, and readers of publishers that die."""
    load = swap.measure(space, rate, seconds)
    with tempfile.TemporaryDirectory() as folder:
        publish = kill_publish.measure(Path(folder), kills, SEED)
    return {
        "requests": load["pages_asked"],
        "failed_requests": load["failed_pages"],
        "p99_ratio": load["p99_against_control"],
        "swaps": load["seconds"][swap.SWAP]["times"],
        "kills": publish["kills"],
        "torn_reads": publish["torn_reads"],
        "load": load,
        "publish": publish,
    }


def zipf_rows(rows: int, num: int) -> NDArray[np.int64]:
    """[num] rows drawn by Zipf(1); popular rows lie anywhere in the table."""
    random = rng.stream(SEED, "zipf look-ups")
    chance = np.cumsum(1.0 / np.arange(1, rows + 1))
    rank = np.searchsorted(chance, random.random(num) * chance[-1])
    return random.permutation(rows)[rank]


def fill(table: HostTable, row_N: NDArray[np.int64]) -> None:
    """Write some rows."""
    for rows in np.array_split(row_N, -(-len(row_N) // _FILL_ROWS)):
        table.write(rows, pattern(rows, table.dim))


def fill_file(path: Path, rows: int, dim: int) -> None:
    """Write every row, in order."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - rows * dim * 4)
        for first in range(0, rows, _FILL_ROWS):
            file.write(pattern(np.arange(first, min(first + _FILL_ROWS, rows)), dim).data)


def pattern(row_N: NDArray[np.int64], dim: int) -> NDArray[np.float32]:
    """What is written in some rows. [N, dim]"""
    return np.asarray((row_N % 65_521).astype(np.float32)[:, None] + np.arange(dim, dtype=np.float32), dtype=np.float32)


def _allocates(rows: int, dim: int) -> bool:
    try:
        np.empty((rows, dim), dtype=np.float32)
    except MemoryError:
        return False
    return True


if __name__ == "__main__":
    main()
