"""Embedding tables: a declaration per table in, one module over a KeyedJaggedTensor out.

A *feature* is one key of the KeyedJaggedTensor; a table may serve several. Every feature is a bag of rows: an empty bag reads
as the zero vector, which is how an id without training data is represented. A weighted table multiplies each row by its weight.

Two optimisers. `adam` keeps gradients and moments as large as the table: right for small vocabularies. `rowwise_adagrad` is
fused into the backward pass and touches only the rows of the batch (one accumulator per row, Duchi et al. 2011; fbgemm), so
a step costs the same for ten thousand rows as for ten million.

Two backends with the same numbers, chosen by detection: torchrec with fbgemm, and plain torch where these are not installed.
Under `torchrun` there are two more, table_wise and row_wise: fused tables are divided among the processes
(`embeddings.sharded_bags`), the others are a copy in each. Knows nothing of what the rows mean.
"""

import importlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.errors import ConfigError
from embeddings.jagged import HAS_TORCHREC, KeyedJaggedTensor
from embeddings.plan import ROW_WISE, TABLE_WISE

ADAM, ROWWISE_ADAGRAD = "adam", "rowwise_adagrad"
DENSE_BELOW = 20_000
TORCHREC, PLAIN = "torchrec", "plain"
_POOLING = ("sum", "mean")


@dataclass(frozen=True)
class TableConfig:
    """One table."""

    name: str
    rows: int
    dim: int
    """A multiple of 4: fbgemm reads four floats at a time."""
    pooling: str = "sum"
    """sum or mean over a bag; a weighted mean divides by the number of rows, not by the weights."""
    optimizer: str = ADAM
    learning_rate: float = 1e-3
    init: float = 0.05
    """Rows start uniform in ±init."""
    features: tuple[str, ...] = ()
    """Keys that read this table; empty means one key of the table's own name."""
    weighted: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The features that read this table."""
        return self.features or (self.name,)


def suited_optimizer(rows: int) -> str:
    """The optimiser whose step stays cheap at this many rows."""
    return ADAM if rows < DENSE_BELOW else ROWWISE_ADAGRAD


def default_device() -> torch.device:
    """The first GPU where there is one (not run here: no GPU on the reference machine), else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_backend() -> str:
    """torchrec where it and fbgemm are installed, else plain torch."""
    return TORCHREC if HAS_TORCHREC else PLAIN


@runtime_checkable
class Divided(Protocol):
    """Tables that no process holds whole. Every method is for all processes at once."""

    def fill(self, name: str, whole: Tensor) -> None:
        """Replace one table; each process keeps its part. [rows, dim]"""
        ...

    def whole(self, name: str) -> Tensor:
        """A copy of one table. [rows, dim]"""
        ...

    @property
    def held(self) -> dict[str, int]:
        """How many numbers of each table this process holds."""
        ...


class Tables(nn.Module):
    """All tables of a model.

    Tables that share optimiser, weighting (and, when fused, learning rate) share one collection.
    `adam_groups` go to a torch optimiser; fused tables update themselves during backward.
    """

    def __init__(
        self, configs: Sequence[TableConfig], *, seed: int, device: torch.device | None = None, backend: str | None = None
    ) -> None:
        """Build on `backend`: torchrec, plain, table_wise or row_wise; without one, on torchrec where it is installed."""
        super().__init__()
        self.configs = {config.name: config for config in configs}
        if len(self.configs) != len(configs):
            raise ConfigError("two embedding tables have the same name")
        groups: dict[tuple[str, bool, float], list[TableConfig]] = defaultdict(list)
        for config in configs:
            _check(config)
            groups[config.optimizer, config.weighted, config.learning_rate].append(config)
        place = device or default_device()
        build = partial(_collection, device=place, backend=backend or default_backend())
        with torch.random.fork_rng(devices=[]):  # torchrec draws a start of its own, which `_initialise` replaces
            self.collections = nn.ModuleList([build(group) for group in groups.values()])
        self._pairs: list[tuple[list[TableConfig], Any]] = list(zip(groups.values(), self.collections, strict=True))
        self._initialise(seed)

    def forward(self, features: KeyedJaggedTensor) -> dict[str, Tensor]:
        """Pooled vectors by feature. [B, dim] each, B the KeyedJaggedTensor's batch; absent features are left out."""
        present, pooled = features.keys(), {}
        for group, collection in self._pairs:
            wanted = [key for config in group for key in config.keys]
            missing = [key for key in wanted if key not in present]
            if len(missing) == len(wanted):
                continue
            if missing:
                raise ConfigError(f"features {missing} are read together with {wanted}: give all of them or none")
            found = collection(features.permute([present.index(key) for key in wanted]))
            pooled.update({key: found[key] for key in wanted})
        return pooled

    def adam_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for torch.optim.Adam: the tables that are not fused."""
        return [
            {"params": [self.weight(config.name) for config in group], "lr": group[0].learning_rate}
            for group, _ in self._pairs
            if group[0].optimizer == ADAM
        ]

    def scale_learning_rate(self, factor: float) -> None:
        """Set every fused table's rate to `factor` × its configured one, for schedules."""
        for group, collection in self._pairs:
            if group[0].optimizer == ROWWISE_ADAGRAD:
                collection.set_learning_rate(factor * group[0].learning_rate)

    def weight(self, name: str) -> nn.Parameter:
        """One table. [rows, dim]; shares memory with training. Raises ConfigError for one that is divided."""
        collection = self._collection(name)
        if isinstance(collection, Divided):
            raise ConfigError(f"table '{name}' is divided among processes; `array` has a copy of all of it")
        return collection.embedding_bags[name].weight

    def array(self, name: str) -> NDArray[np.float32]:
        """A copy of one table. [rows, dim]; of a divided one, for all processes at once."""
        return self._whole(name).cpu().numpy().copy()

    def held(self, name: str) -> int:
        """How many numbers of one table this process holds."""
        collection = self._collection(name)
        return collection.held[name] if isinstance(collection, Divided) else self.weight(name).numel()

    @torch.no_grad()
    def copy_rows(self, name: str, source: "Tables", source_rows: NDArray[np.int32]) -> None:
        """Row i takes the weights (and the fused accumulator) of `source`'s row source_rows[i]; −1 leaves it as it is."""
        place = self.weight(name).device
        known = torch.from_numpy(np.flatnonzero(source_rows >= 0)).to(place)
        start = source._whole(name)
        taken = torch.from_numpy(source_rows[source_rows >= 0].astype(np.int64)).to(start.device)
        self.weight(name).data[known] = start[taken].to(place)
        mine, theirs = self._accumulator(name), source._accumulator(name)
        if mine is not None and theirs is not None:
            mine[known] = theirs[taken].to(place)

    @torch.no_grad()
    def start_rows(self, name: str, rows: NDArray[np.int64], vector_ND: NDArray[np.float32]) -> None:
        """Give some rows a fresh start: these weights, and for a fused table no memory of past gradients.

        For rows that changed hands (`embeddings.growth`). Adam's moments, which live in torch's optimiser, stay.
        """
        weight, accumulator = self.weight(name), self._accumulator(name)
        place = torch.from_numpy(rows).to(weight.device)
        weight.data[place] = torch.from_numpy(vector_ND).to(weight.device)
        if accumulator is not None:
            accumulator[place] = 0.0

    def _collection(self, name: str) -> Any:
        for group, collection in self._pairs:
            if any(config.name == name for config in group):
                return collection
        raise ConfigError(f"no table '{name}'; known: {', '.join(self.configs)}")

    def _whole(self, name: str) -> Tensor:
        """[rows, dim] one table, shared with training where it is not divided."""
        collection = self._collection(name)
        return collection.whole(name) if isinstance(collection, Divided) else self.weight(name).detach()

    def _accumulator(self, name: str) -> Tensor | None:
        fused = self.configs[name].optimizer == ROWWISE_ADAGRAD
        return self._collection(name).accumulator(name) if fused else None

    @torch.no_grad()
    def _initialise(self, seed: int) -> None:
        for name, start in starts(self.configs.values(), seed):
            collection = self._collection(name)
            if isinstance(collection, Divided):
                collection.fill(name, start)
            else:
                self.weight(name).data.copy_(start)


def starts(configs: Iterable[TableConfig], seed: int) -> Iterator[tuple[str, Tensor]]:
    """What each table starts as, one after the other. [rows, dim]"""
    generator = torch.Generator().manual_seed(seed)
    for config in configs:
        yield config.name, torch.empty(config.rows, config.dim).uniform_(-config.init, config.init, generator=generator)


def _check(config: TableConfig) -> None:
    if config.pooling not in _POOLING:
        raise ConfigError(f"table '{config.name}': pooling '{config.pooling}' is neither sum nor mean")
    if config.optimizer not in (ADAM, ROWWISE_ADAGRAD):
        raise ConfigError(f"table '{config.name}': optimiser '{config.optimizer}' is neither {ADAM} nor {ROWWISE_ADAGRAD}")
    if config.rows < 1 or config.dim < 4 or config.dim % 4:
        raise ConfigError(f"table '{config.name}' is {config.rows} × {config.dim}; wants rows ≥ 1 and a dim divisible by 4")
    if not (config.learning_rate > 0 and math.isfinite(config.learning_rate)):
        raise ConfigError(f"table '{config.name}': learning rate {config.learning_rate} is not a positive number")


def _collection(group: list[TableConfig], device: torch.device, backend: str) -> nn.Module:
    dense = group[0].optimizer == ADAM
    if backend in (TABLE_WISE, ROW_WISE):
        if not dense:
            divided: nn.Module = importlib.import_module("embeddings.sharded_bags").ShardedBags(group, backend)
            return divided
        backend = default_backend()
    if backend not in (TORCHREC, PLAIN):
        known = ", ".join((TORCHREC, PLAIN, TABLE_WISE, ROW_WISE))
        raise ConfigError(f"there is no backend '{backend}' for tables; known: {known}")
    built_on = importlib.import_module(f"embeddings.{backend}_tables")
    collection: nn.Module = (built_on.dense if dense else built_on.fused)(group, device)
    return collection
