"""Tables over several processes: torchrec's DistributedModelParallel, one process per device under `torchrun`.

    distributed.init_process_group("gloo")                  # "nccl" on GPUs; torchrun has set rank and world size
    tables = ShardedTables(configs, {"video": ROW_WISE}, seed=1)
    tables(features)                                        # this process's part of the batch → {feature: [B, dim]}
    tables.save(folder)                                     # every process writes what it holds

Optimisers are fused into the backward pass: sgd, adagrad, rowwise_adagrad (fbgemm has no Adam on CPU). torchrec divides
gradients by the world size, so the mean loss of each process's part trains like the mean over the whole batch: sharded and
unsharded numbers agree to rounding, and a checkpoint goes on in a world of another size. Row-wise Adagrad is refused by
column: its accumulator is the mean square over the row, and a column shard sees only its own numbers of the row, so every
shard would step at another rate than the whole row does.

On CPU torchrec's planner offers table- and column-wise only; row-wise runs with a plan made by hand and a sharder that admits
it, which is what this file does. On GPUs the planner also offers host memory behind a cache (`embeddings.placement`); that was
not run here. Grids (rows and columns at once) are not here.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchrec
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, distributed, nn
from torchrec.distributed import sharding_plan
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
from torchrec.distributed.planner.storage_reservations import FixedPercentageStorageReservation
from torchrec.distributed.types import ShardingEnv, ShardingPlan, ShardingType
from torchrec.optim.apply_optimizer_in_backward import apply_optimizer_in_backward
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from core.errors import BadInput, ConfigError
from embeddings import placement
from embeddings.plan import COLUMN_WISE, RESERVED, ROW_WISE, TABLE_WISE
from embeddings.tables import ROWWISE_ADAGRAD, TableConfig, starts
from embeddings.torchrec_tables import declared

SGD, ADAGRAD = "sgd", "adagrad"
_EPSILON = 1e-8
_OPTIMIZERS: dict[str, tuple[Any, dict[str, float]]] = {
    SGD: (torch.optim.SGD, {}),
    ADAGRAD: (torch.optim.Adagrad, {"eps": _EPSILON}),
    ROWWISE_ADAGRAD: (torchrec.optim.RowWiseAdagrad, {"eps": _EPSILON}),
}
WEIGHT, MOMENTUM = "weight", "momentum1"
"""A table's numbers, and what Adagrad keeps beside them."""
_FILES = "rank-*.safetensors"


@dataclass(frozen=True)
class _Part:
    """What this process holds of one array of a table, its weight or an optimiser's slot."""

    table: str
    slot: str
    start: tuple[int, ...]
    tensor: Tensor
    """Shares memory with training."""

    @property
    def place(self) -> tuple[slice, ...]:
        """Where it lies in the whole."""
        return tuple(slice(first, first + extent) for first, extent in zip(self.start, self.tensor.shape, strict=True))

    @property
    def key(self) -> str:
        """Its name in a checkpoint."""
        return "|".join([self.table, self.slot, *map(str, self.start)])


class _Sharder(EmbeddingBagCollectionSharder):
    def sharding_types(self, compute_device_type: str) -> list[str]:
        """torchrec's, and row-wise on CPU, where it works but is not offered."""
        return list({*super().sharding_types(compute_device_type), ShardingType.ROW_WISE.value})


class _Holder(nn.Module):
    def __init__(self, tables: nn.Module) -> None:
        super().__init__()
        self.tables = tables

    def forward(self, features: KeyedJaggedTensor) -> Any:
        return self.tables(features)


class ShardedTables(nn.Module):
    """This process's part of every table, in the default process group."""

    def __init__(self, configs: Sequence[TableConfig], how: Mapping[str, str] | None, *, seed: int) -> None:
        """Place tables by name, table_wise, column_wise or row_wise; None leaves it to torchrec's planner.

        Weights start as those of `Tables` with this seed; each process draws one whole table at a time and keeps its part.

        Raises:
            ConfigError: an optimiser that is not fused, or row-wise Adagrad by column.
        """
        super().__init__()
        self.configs = {config.name: config for config in configs}
        for config in configs:
            _check(config, (how or {}).get(config.name, TABLE_WISE))
        collection = torchrec.EmbeddingBagCollection(tables=declared(configs), device=torch.device("meta"))
        for config in configs:
            made, more = _OPTIMIZERS[config.optimizer]
            weight = collection.embedding_bags[config.name].weight
            apply_optimizer_in_backward(made, [weight], {"lr": config.learning_rate, **more})
        device = _device()
        holder, sharder, world = _Holder(collection), _Sharder(), distributed.get_world_size()
        self._model = DistributedModelParallel(
            holder,
            env=ShardingEnv.from_process_group(distributed.group.WORLD),
            device=device,
            plan=_planned(holder, collection, device, world)
            if how is None
            else _by_hand(collection, how, sharder, device, world),
            sharders=[sharder],
        )
        for name, kind in self.layout.items():  # the planner may have chosen columns
            _check(self.configs[name], kind)
        self._rates = [group["lr"] for group in self._model.fused_optimizer.param_groups]
        for name, start in starts(self.configs.values(), seed):
            self.fill(name, start)

    def forward(self, features: KeyedJaggedTensor) -> dict[str, Tensor]:
        """Pooled vectors by feature, for this process's part of the batch. [B, dim] each"""
        pooled: dict[str, Tensor] = self._model(features).to_dict()
        return pooled

    @property
    def layout(self) -> dict[str, str]:
        """How each table is sharded."""
        plan: Any = self._model.plan.get_plan_for_module("tables")
        return {name: str(sharding.sharding_type) for name, sharding in plan.items()}

    @property
    def held(self) -> dict[str, int]:
        """How many numbers of each table this process holds."""
        held = dict.fromkeys(self.configs, 0)
        for part in self._parts():
            held[part.table] += part.tensor.numel() if part.slot == WEIGHT else 0
        return held

    def scale_learning_rate(self, factor: float) -> None:
        """Set every table's rate to `factor` × its configured one, for schedules."""
        optimizer = self._model.fused_optimizer
        for group, rate in zip(optimizer.param_groups, self._rates, strict=True):
            group["lr"] = factor * rate
        optimizer.step()  # hands the rates to fbgemm; gradients were applied during backward

    @torch.no_grad()
    def fill(self, name: str, whole: Tensor) -> None:
        """Replace one table; this process keeps its part. [rows, dim]"""
        for part in self._parts():
            if (part.table, part.slot) == (name, WEIGHT):
                part.tensor.copy_(whole[part.place])

    @torch.no_grad()
    def whole(self, name: str, slot: str = WEIGHT) -> Tensor:
        """A copy of one table, or of a slot of its optimiser, for all processes at once. [rows, dim]; [rows] if kept by row"""
        config = self.configs[name]
        by_row = slot != WEIGHT and config.optimizer == ROWWISE_ADAGRAD
        found = torch.zeros(config.rows if by_row else (config.rows, config.dim), device=_device())
        for part in self._parts():
            if (part.table, part.slot) == (name, slot):
                found[part.place] = part.tensor
        distributed.all_reduce(found)  # everybody else has zeros there
        return found

    def save(self, folder: Path) -> None:
        """Write this process's parts, weights and optimiser state, into `folder`, which must exist and be empty."""
        rank, world = distributed.get_rank(), distributed.get_world_size()
        tensors = {part.key: part.tensor.detach().cpu().contiguous() for part in self._parts()}
        save_file(tensors, folder / f"rank-{rank}.safetensors", metadata={"world": str(world)})
        distributed.barrier()

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Read what a world of any size has saved; each process reads only what it holds.

        Raises:
            BadInput: files are missing, or do not cover a table.
        """
        for part in self._parts():
            wanted = part.tensor.shape
            found = _assemble(folder, part.table, part.slot, part.start, tuple(wanted))
            part.tensor.copy_(torch.from_numpy(found))

    def _parts(self) -> Iterator[_Part]:
        arrays = {name.split(".")[-2]: {WEIGHT: array} for name, array in self._model.state_dict().items()}
        for name, slots in self._model.fused_optimizer.state_dict()["state"].items():
            table = name.split(".")[-2]
            arrays[table] |= {slot.split(".")[-1]: array for slot, array in slots.items()}
        for table, slots in arrays.items():
            for slot, array in slots.items():
                for shard in array.local_shards():
                    yield _Part(table, slot, tuple(shard.metadata.shard_offsets), shard.tensor)


@contextmanager
def joined() -> Iterator[tuple[int, int]]:
    """Join the processes that `torchrun` has started; (rank, world size). Without torchrun: (0, 1), and nothing to join."""
    if not distributed.is_torchelastic_launched():
        yield 0, 1
        return
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")  # about how torchrec calls torch
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield distributed.get_rank(), distributed.get_world_size()
    finally:
        distributed.destroy_process_group()


def read_table(folder: Path, config: TableConfig) -> NDArray[np.float32]:
    """One whole table of a checkpoint, without torch.distributed. [rows, dim]

    Raises:
        BadInput: files are missing, or do not cover the table.
    """
    return _assemble(folder, config.name, WEIGHT, (0, 0), (config.rows, config.dim))


def _assemble(folder: Path, table: str, slot: str, start: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The part of an array that begins at `start`, from every saved shard that overlaps it."""
    found, covered = np.empty(shape, dtype=np.float32), 0
    for path in _checkpoint(folder):
        with safe_open(path, framework="numpy") as file:
            for key in file.keys():  # noqa: SIM118  # a file, not a mapping
                saved_table, saved_slot, *offsets = key.split("|")
                if (saved_table, saved_slot) != (table, slot):
                    continue
                saved = file.get_slice(key)
                bounds = [
                    (max(mine, theirs), min(mine + length, theirs + extent), mine, theirs)
                    for mine, length, theirs, extent in zip(start, shape, map(int, offsets), saved.get_shape(), strict=True)
                ]
                if all(low < high for low, high, _, _ in bounds):
                    here = tuple(slice(low - mine, high - mine) for low, high, mine, _ in bounds)
                    there = tuple(slice(low - theirs, high - theirs) for low, high, _, theirs in bounds)
                    found[here] = saved[there]
                    covered += found[here].size
    if covered != found.size:
        raise BadInput(f"{folder} covers {covered} of {found.size} numbers of {table}.{slot} from {start}")
    return found


def _checkpoint(folder: Path) -> list[Path]:
    paths = sorted(folder.glob(_FILES))
    for path in paths:
        with safe_open(path, framework="numpy") as file:
            world = int(file.metadata()["world"])
        if world != len(paths):
            raise BadInput(f"{folder} was written by {world} processes and has the files of {len(paths)}")
    if not paths:
        raise BadInput(f"{folder} holds no checkpoint")
    return paths


def _check(config: TableConfig, how: str) -> None:
    if config.optimizer not in _OPTIMIZERS:
        raise ConfigError(f"table '{config.name}': sharded tables train with {', '.join(_OPTIMIZERS)}, not {config.optimizer}")
    if config.optimizer == ROWWISE_ADAGRAD and how == COLUMN_WISE:
        raise ConfigError(
            f"table '{config.name}': row-wise Adagrad by column would step each shard at its own rate; use adagrad"
        )
    if how not in (TABLE_WISE, COLUMN_WISE, ROW_WISE):
        raise ConfigError(f"table '{config.name}': '{how}' is none of {TABLE_WISE}, {COLUMN_WISE}, {ROW_WISE}")


def _device() -> torch.device:
    """This process's GPU under nccl (not run here), else the CPU."""
    if distributed.get_backend() == "nccl":
        return torch.device("cuda", distributed.get_rank() % torch.cuda.device_count())
    return torch.device("cpu")


def _planned(holder: nn.Module, collection: Any, device: torch.device, world: int) -> ShardingPlan:
    """torchrec's planner; with its own sharder, so that on CPU it never meets row-wise."""
    if device.type == "cuda":  # not run here
        planner = placement.planner(collection, placement.these_devices(world), exponent=1.0, poolings={})
    else:
        reserved = FixedPercentageStorageReservation(RESERVED)
        planner = EmbeddingShardingPlanner(
            topology=Topology(world_size=world, compute_device="cpu"), storage_reservation=reserved
        )
    return planner.collective_plan(holder, [EmbeddingBagCollectionSharder()], distributed.group.WORLD)


def _by_hand(
    collection: nn.Module, how: Mapping[str, str], sharder: _Sharder, device: torch.device, world: int
) -> ShardingPlan:
    """Whole tables go round the processes; columns and rows to all of them, in equal parts."""
    ways: dict[str, Any] = {}
    for number, (name, kind) in enumerate(how.items()):
        if kind == TABLE_WISE:
            ways[name] = sharding_plan.table_wise(rank=number % world)
        elif kind == COLUMN_WISE:
            ways[name] = sharding_plan.column_wise(ranks=list(range(world)))
        else:
            ways[name] = sharding_plan.row_wise()
    plan = sharding_plan.construct_module_sharding_plan(
        collection, ways, sharder=sharder, local_size=world, world_size=world, device_type=device.type
    )
    return ShardingPlan({"tables": plan})
