"""Tables of a model divided over the processes of `torchrun`, for a batch that every process has whole.

    B bags in every process → each looks up B / world of them in `embeddings.sharded` → all get all B vectors, in order

Bags go to the processes that hold their rows, vectors come back, and an all-gather gives everybody the rest. Backward, each
process must have the whole batch's gradient (`retrieval.parallel` sums it before it gets here): all of them together, which
torchrec divides by the world size, are that gradient once. No process holds a table, or the gradient of one.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from core.errors import ConfigError
from embeddings.sharded import MOMENTUM, ShardedTables
from embeddings.tables import TableConfig


class ShardedBags(nn.Module):
    """Fused tables of one group. All methods are for all processes at once."""

    def __init__(self, group: Sequence[TableConfig], how: str) -> None:
        """Divide each table by `how`, table_wise or row_wise.

        Raises:
            ConfigError: there are no processes to divide them among, or bags are weighted.
        """
        super().__init__()
        if not distributed.is_initialized():
            raise ConfigError(f"{how} tables need the processes of torchrun; see `upnext tables train --help`")
        if group[0].weighted:
            raise ConfigError(f"table '{group[0].name}': bags of divided tables have no weights")
        self._rate = group[0].learning_rate
        self._tables = ShardedTables(group, {config.name: how for config in group}, seed=0)

    def forward(self, features: KeyedJaggedTensor) -> dict[str, Tensor]:
        """Pooled vectors by feature, of all bags. [B, dim] each"""
        mine = self._tables(share_of(features, distributed.get_rank(), distributed.get_world_size()))
        keys, widths = list(mine), [vectors.shape[1] for vectors in mine.values()]
        gathered = _Gather.apply(torch.cat(list(mine.values()), dim=1))[: features.stride()]
        return dict(zip(keys, gathered.split(widths, dim=1), strict=True))

    def set_learning_rate(self, rate: float) -> None:
        """Of every table."""
        self._tables.scale_learning_rate(rate / self._rate)

    def accumulator(self, name: str) -> Tensor:
        """A copy of one table's sum of mean squared gradients. [rows]"""
        return self._tables.whole(name, MOMENTUM)

    def fill(self, name: str, whole: Tensor) -> None:
        """See `Divided`."""
        self._tables.fill(name, whole)

    def whole(self, name: str) -> Tensor:
        """See `Divided`."""
        return self._tables.whole(name)

    @property
    def held(self) -> dict[str, int]:
        """How many numbers of each table this process holds."""
        return self._tables.held


class _Gather(torch.autograd.Function):
    """[n, D] of every process → [world · n, D] in each; backward sums what all have to say about one's own n."""

    @staticmethod
    def forward(ctx: Any, mine_nD: Tensor) -> Tensor:
        parts = [torch.empty_like(mine_nD) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, mine_nD.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        summed = grads[0].contiguous().clone()
        distributed.all_reduce(summed)
        return summed.chunk(distributed.get_world_size())[distributed.get_rank()]


def share_of(features: KeyedJaggedTensor, rank: int, world: int) -> KeyedJaggedTensor:
    """Bags rank · n … (rank + 1) · n of every feature, n = ⌈B / world⌉, filled up with empty bags."""
    each = -(-features.stride() // world)
    low, high = min(rank * each, features.stride()), min((rank + 1) * each, features.stride())
    lengths_FB = features.lengths().view(len(features.keys()), -1)
    values = torch.split(features.values(), lengths_FB.sum(dim=1).tolist())
    kept = []
    for lengths_B, values_N in zip(lengths_FB, values, strict=True):
        first = int(lengths_B[:low].sum())
        kept.append(values_N[first : first + int(lengths_B[low:high].sum())])
    lengths_Fn = functional.pad(lengths_FB[:, low:high], (0, each - (high - low)))
    return KeyedJaggedTensor(keys=features.keys(), values=torch.cat(kept), lengths=lengths_Fn.reshape(-1))
