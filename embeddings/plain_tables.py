"""Tables in plain torch, for machines where torchrec or fbgemm is not installed: the same numbers, without sharding.

Row-wise Adagrad happens during backward, as in fbgemm. With g the sum of a row's gradients in the batch:

    G[row] += mean(g²)        w[row] −= rate · g / (√G[row] + 1e-8)

The rows of the batch are gathered once, as a leaf of the graph; when its gradient has been accumulated, a hook applies the step
to these rows alone. Costs the sorting of the batch's rows; no gradient as large as the table exists.

One difference: fbgemm 1.8's CPU gradient of a *weighted mean* is not divided by the number of rows; here it is.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from embeddings.jagged import PlainJagged

if TYPE_CHECKING:
    from embeddings.tables import TableConfig

_EPSILON = 1e-8


class _Bag(nn.Module):
    def __init__(self, weight: Tensor, fused: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=not fused)


class PlainBags(nn.Module):
    """Tables that share an optimiser; `fused` ones update themselves during backward."""

    def __init__(self, group: Sequence["TableConfig"], device: torch.device, *, fused: bool) -> None:
        super().__init__()
        self.fused, self.group, self.rate = fused, list(group), group[0].learning_rate
        empty = {config.name: torch.zeros(config.rows, config.dim, device=device) for config in group}
        self.embedding_bags = nn.ModuleDict({name: _Bag(weight, fused) for name, weight in empty.items()})
        self._accumulators = {name: torch.zeros(len(weight), device=device) for name, weight in empty.items()} if fused else {}

    def forward(self, features: PlainJagged) -> dict[str, Tensor]:
        """Pooled vectors by feature. [B, dim] each"""
        pooled: dict[str, Tensor] = {}
        place = {key: index for index, key in enumerate(features.keys())}
        for config in self.group:
            bags = features.permute([place[key] for key in config.keys])
            table = self._weight(config.name)
            rows = bags.values()
            if self.fused:
                touched, rows = torch.unique(rows, return_inverse=True)
                table = self._gathered(config.name, touched)
            lengths, weights = bags.lengths(), bags.weights_or_none() if config.weighted else None
            found = _pool(table, rows, lengths, weights, mean=config.pooling == "mean")
            pooled.update(zip(config.keys, found.unflatten(0, (len(config.keys), -1)), strict=True))
        return pooled

    def set_learning_rate(self, rate: float) -> None:
        """Of every fused table."""
        self.rate = rate

    def accumulator(self, name: str) -> Tensor:
        """[rows] one fused table's sum of mean squared gradients."""
        return self._accumulators[name]

    def _weight(self, name: str) -> Tensor:
        return cast(_Bag, self.embedding_bags[name]).weight

    def _gathered(self, name: str, touched: Tensor) -> Tensor:
        """Copies of some rows; their gradient, once complete, becomes a step."""
        rows_TD = self._weight(name).detach()[touched]
        if torch.is_grad_enabled():
            rows_TD.requires_grad_().register_post_accumulate_grad_hook(partial(self._step, name, touched))
        return rows_TD

    @torch.no_grad()
    def _step(self, name: str, touched: Tensor, rows_TD: Tensor) -> None:
        assert rows_TD.grad is not None, "the hook runs after the gradient has been accumulated"
        sums, grad = self._accumulators[name], rows_TD.grad
        sums[touched] += grad.square().mean(dim=1)
        step = self.rate * grad / (sums[touched].sqrt() + _EPSILON)[:, None]
        self._weight(name).data[touched] -= step
        rows_TD.grad = None


def _pool(table: Tensor, rows: Tensor, lengths: Tensor, weights: Tensor | None, *, mean: bool) -> Tensor:
    """[F · B, D] sums over bags; a mean divides by the number of rows, not by the weights."""
    starts = functional.pad(lengths.long().cumsum(0), (1, 0))
    if mean:
        share = 1.0 / lengths.clamp(min=1).repeat_interleave(lengths).to(table.dtype)
        weights = share if weights is None else weights * share
    return functional.embedding_bag(rows, table, starts, mode="sum", per_sample_weights=weights, include_last_offset=True)


def dense(group: Sequence["TableConfig"], device: torch.device) -> nn.Module:
    """Tables with gradients, for a torch optimiser."""
    return PlainBags(group, device, fused=False)


def fused(group: Sequence["TableConfig"], device: torch.device) -> nn.Module:
    """Tables that update themselves with row-wise Adagrad."""
    return PlainBags(group, device, fused=True)
