"""Embedding tables: a declaration per table in, one torchrec module over a KeyedJaggedTensor out.

A *feature* is one key of the KeyedJaggedTensor; a table may serve several. Every feature is a bag of rows: an empty bag reads
as the zero vector, which is how an id without training data is represented. A weighted table multiplies each row by its weight.

Two optimisers. `adam` keeps gradients and moments as large as the table: right for small vocabularies. `rowwise_adagrad` is
fused into the backward pass and touches only the rows of the batch (one accumulator per row, Duchi et al. 2011; fbgemm), so
a step costs the same for ten thousand rows as for ten million. Knows nothing of what the rows mean.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torchrec
from numpy.typing import NDArray
from torch import Tensor, nn
from torchrec.modules.fused_embedding_modules import FusedEmbeddingBagCollection
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from core.errors import ConfigError

# torchrec asks fx whether it is being traced each time it is used; fx answers with a warning about a name that it changed.
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)

ADAM, ROWWISE_ADAGRAD = "adam", "rowwise_adagrad"
DENSE_BELOW = 20_000
_POOLING = {"sum": torchrec.PoolingType.SUM, "mean": torchrec.PoolingType.MEAN}


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


class Tables(nn.Module):
    """All tables of a model.

    Tables that share optimiser, weighting (and, when fused, learning rate) share one torchrec collection.
    `adam_groups` go to a torch optimiser; fused tables update themselves during backward.
    """

    def __init__(self, configs: Sequence[TableConfig], *, seed: int, device: torch.device | None = None) -> None:
        super().__init__()
        self.configs = {config.name: config for config in configs}
        if len(self.configs) != len(configs):
            raise ConfigError("two embedding tables have the same name")
        groups: dict[tuple[str, bool, float], list[TableConfig]] = defaultdict(list)
        for config in configs:
            _check(config)
            groups[config.optimizer, config.weighted, config.learning_rate].append(config)
        place = device or default_device()
        with torch.random.fork_rng(devices=[]):  # torchrec draws a start of its own, which `_initialise` replaces
            self.collections = nn.ModuleList([_collection(group, place) for group in groups.values()])
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
                for lookup in collection._emb_modules:
                    lookup.fused_optimizer().param_groups[0]["lr"] = factor * group[0].learning_rate
                    lookup.fused_optimizer().step()

    def weight(self, name: str) -> nn.Parameter:
        """One table. [rows, dim]; shares memory with training."""
        for group, collection in self._pairs:
            if any(config.name == name for config in group):
                return collection.embedding_bags[name].weight
        raise ConfigError(f"no table '{name}'; known: {', '.join(self.configs)}")

    def array(self, name: str) -> NDArray[np.float32]:
        """A copy of one table. [rows, dim]"""
        return self.weight(name).detach().cpu().numpy().copy()

    @torch.no_grad()
    def copy_rows(self, name: str, source: "Tables", source_rows: NDArray[np.int32]) -> None:
        """Row i takes the weights (and the fused accumulator) of `source`'s row source_rows[i]; −1 leaves it as it is."""
        place = self.weight(name).device
        known = torch.from_numpy(np.flatnonzero(source_rows >= 0)).to(place)
        taken = torch.from_numpy(source_rows[source_rows >= 0].astype(np.int64)).to(source.weight(name).device)
        self.weight(name).data[known] = source.weight(name).data[taken].to(place)
        mine, theirs = self._accumulator(name), source._accumulator(name)
        if mine is not None and theirs is not None:
            mine[known] = theirs[taken].to(place)

    def _accumulator(self, name: str) -> Tensor | None:
        for group, collection in self._pairs:
            if group[0].optimizer == ROWWISE_ADAGRAD and any(config.name == name for config in group):
                key = f"{name}.weight.momentum_1"
                return next(slots[key] for slots in collection.fused_optimizer().state.values() if key in slots)
        return None

    @torch.no_grad()
    def _initialise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for name, config in self.configs.items():
            start = torch.empty(config.rows, config.dim).uniform_(-config.init, config.init, generator=generator)
            self.weight(name).data.copy_(start)


def _check(config: TableConfig) -> None:
    if config.pooling not in _POOLING:
        raise ConfigError(f"table '{config.name}': pooling '{config.pooling}' is neither sum nor mean")
    if config.optimizer not in (ADAM, ROWWISE_ADAGRAD):
        raise ConfigError(f"table '{config.name}': optimiser '{config.optimizer}' is neither {ADAM} nor {ROWWISE_ADAGRAD}")
    if config.rows < 1 or config.dim < 4 or config.dim % 4:
        raise ConfigError(f"table '{config.name}' is {config.rows} × {config.dim}; wants rows ≥ 1 and a dim divisible by 4")
    if not (config.learning_rate > 0 and math.isfinite(config.learning_rate)):
        raise ConfigError(f"table '{config.name}': learning rate {config.learning_rate} is not a positive number")


def _collection(group: list[TableConfig], device: torch.device) -> nn.Module:
    tables = [
        torchrec.EmbeddingBagConfig(
            name=config.name,
            num_embeddings=config.rows,
            embedding_dim=config.dim,
            feature_names=list(config.keys),
            pooling=_POOLING[config.pooling],
        )
        for config in group
    ]
    if group[0].optimizer == ADAM:
        return torchrec.EmbeddingBagCollection(tables=tables, is_weighted=group[0].weighted, device=device)
    return FusedEmbeddingBagCollection(
        tables=tables,
        optimizer_type=torchrec.optim.RowWiseAdagrad,
        optimizer_kwargs={"lr": group[0].learning_rate},
        is_weighted=group[0].weighted,
        device=device,
    )
