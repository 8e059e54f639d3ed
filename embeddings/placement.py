"""Where torchrec's planner puts tables on GPUs: what fits no device goes to host memory behind a cache on the device (UVM).

    place(specs, Devices(2, 16 · 10⁹, host_bytes=200 · 10⁹))    →  [Placed("video", "column_wise", "fused_uvm_caching", …)]

The planner weighs table-, column- and row-wise, each with the table in device memory or behind an LRU cache there, by its own
model of bandwidths; caches then grow into the device memory that is left. What a cache catches it is told by the closed forms
for Zipf look-ups (`embeddings.arithmetic`): the best hit rate of its size, and how many rows a step touches.

Planning needs no GPU, so it can be asked anywhere; what it plans has not been run here, where there is none.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torchrec
from torch import nn
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
from torchrec.distributed.planner.proposers import EmbeddingOffloadScaleupProposer, GreedyProposer
from torchrec.distributed.planner.storage_reservations import FixedPercentageStorageReservation
from torchrec.distributed.planner.types import ParameterConstraints, PlannerError
from torchrec.distributed.types import CacheAlgorithm, CacheParams, CacheStatistics, ShardingType
from torchrec.optim.apply_optimizer_in_backward import apply_optimizer_in_backward

from core.errors import BadInput
from embeddings.arithmetic import best_hit_rate, distinct_rows, lru_hit_rate
from embeddings.plan import RESERVED, Devices, TableSpec

SMALLEST_CACHE = 0.01
"""Share of a table's rows that a cache holds at least."""
BATCH = 4_096
"""Bags of a step on each device."""
_FUSED, _CACHED = "fused", "fused_uvm_caching"
_GRID = 64
_OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "rowwise_adagrad": torchrec.optim.RowWiseAdagrad,
    "adam": torch.optim.Adam,
}
_DTYPES = {"fp32": torchrec.DataType.FP32, "fp16": torchrec.DataType.FP16, "bf16": torchrec.DataType.BF16}


@dataclass(frozen=True)
class Placed:
    """One table in the planner's words."""

    name: str
    sharding: str
    kernel: str
    """fused: in device memory; fused_uvm_caching: in host memory behind a cache."""
    ranks: tuple[int, ...]
    cached_share: float | None
    """Of the rows, held by the cache; None without one."""
    hit_rate: float | None
    """That an LRU cache of this size has on Zipf look-ups."""


class ZipfLookups(CacheStatistics):
    """What torchrec wants to know of look-ups, for a popularity r^−exponent over `rows`."""

    def __init__(self, rows: int, exponent: float, lookups: int) -> None:
        """`lookups` of a step, on all devices together."""
        self._rows, self._exponent = rows, exponent
        self._distinct = distinct_rows(rows, lookups, exponent)

    @property
    def expected_lookups(self) -> float:
        """Distinct rows of a step."""
        return self._distinct

    def expected_miss_rate(self, clf: float) -> float:
        """Of the best cache that holds this share of the rows: the planner asks thousands of times, and Che's takes 50 ms."""
        held = round(clf * self._rows)
        return 1.0 - best_hit_rate(self._rows, held, self._exponent) if held else 1.0

    @property
    def cacheability(self) -> float:
        """Mean miss rate over caches of all sizes: 0 easy, 1 hard."""
        return sum(self.expected_miss_rate((step + 0.5) / _GRID) for step in range(_GRID)) / _GRID


def place(tables: Sequence[TableSpec], devices: Devices, exponent: float = 1.0) -> list[Placed]:
    """Ask the planner about tables that exist only on paper.

    Raises:
        BadInput: no plan fits, or a table is of a type that does not train.
    """
    collection = torchrec.EmbeddingBagCollection(tables=[_declared(table) for table in tables], device=torch.device("meta"))
    for table in tables:
        apply_optimizer_in_backward(_OPTIMIZERS[table.optimizer], [collection.embedding_bags[table.name].weight], {"lr": 0.1})
    holder = nn.Module()
    holder.tables = collection
    poolings = {table.name: float(table.pooling) for table in tables}
    try:
        plan: Any = planner(collection, devices, exponent, poolings).plan(holder, [EmbeddingBagCollectionSharder()])
    except PlannerError as error:
        raise BadInput(f"torchrec finds no plan for these devices: {str(error).splitlines()[0]}") from error
    found = plan.get_plan_for_module("tables")
    return [_placed(table, found[table.name], exponent) for table in tables]


def planner(
    collection: torchrec.EmbeddingBagCollection, devices: Devices, exponent: float, poolings: dict[str, float]
) -> EmbeddingShardingPlanner:
    """torchrec's planner for GPUs whose tables may overflow into host memory; pooling is 1 where none is given."""
    each = devices.host_bytes // devices.count
    logging.getLogger("torchrec.distributed.planner").setLevel(logging.ERROR)  # it warns of ways that were never wanted
    topology = Topology(devices.count, "cuda", hbm_cap=devices.bytes_each, ddr_cap=each, local_world_size=devices.count)
    ways = [way.value for way in (ShardingType.TABLE_WISE, ShardingType.COLUMN_WISE, ShardingType.ROW_WISE)]
    constraints = {}
    for config in collection.embedding_bag_configs():
        pooling = poolings.get(config.name, 1.0)
        stats = ZipfLookups(config.num_embeddings, exponent, round(BATCH * devices.count * pooling))
        constraints[config.name] = ParameterConstraints(
            sharding_types=ways,
            compute_kernels=[_FUSED, _CACHED] if each else [_FUSED],
            pooling_factors=[pooling],
            cache_params=CacheParams(algorithm=CacheAlgorithm.LRU, load_factor=SMALLEST_CACHE, stats=stats),
        )
    return EmbeddingShardingPlanner(
        topology=topology,
        batch_size=BATCH,
        storage_reservation=FixedPercentageStorageReservation(RESERVED),
        proposer=[GreedyProposer(), EmbeddingOffloadScaleupProposer()],
        constraints=constraints,
        debug=False,
    )


def these_devices(world: int) -> Devices:
    """The GPUs of this machine and their host's memory, for a world that is all here. Not run here: there is no GPU."""
    each = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return Devices(world, each, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _declared(table: TableSpec) -> torchrec.EmbeddingBagConfig:
    if table.dtype not in _DTYPES:
        raise BadInput(f"table '{table.name}' of {table.dtype} does not train; known: {', '.join(_DTYPES)}")
    return torchrec.EmbeddingBagConfig(
        name=table.name,
        num_embeddings=table.rows,
        embedding_dim=table.dim,
        feature_names=[table.name],
        data_type=_DTYPES[table.dtype],
    )


def _placed(table: TableSpec, found: Any, exponent: float) -> Placed:
    held = found.cache_params.load_factor if found.compute_kernel == _CACHED else None
    hit = None if held is None else lru_hit_rate(table.rows, round(held * table.rows), exponent)
    return Placed(table.name, found.sharding_type, found.compute_kernel, tuple(sorted(set(found.ranks))), held, hit)
