"""Tables on torchrec and fbgemm: what `embeddings.tables` builds on where they are installed."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torchrec
from torch import Tensor, nn
from torchrec.modules.fused_embedding_modules import FusedEmbeddingBagCollection

if TYPE_CHECKING:
    from embeddings.tables import TableConfig

# torchrec asks fx whether it is being traced each time it is used; fx answers with a warning about a name that it changed.
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)

_POOLING = {"sum": torchrec.PoolingType.SUM, "mean": torchrec.PoolingType.MEAN}


class FusedBags(FusedEmbeddingBagCollection):
    """Tables that update themselves during backward."""

    def set_learning_rate(self, rate: float) -> None:
        """Of every table."""
        for lookup in self._emb_modules:
            lookup.fused_optimizer().param_groups[0]["lr"] = rate
            lookup.fused_optimizer().step()

    def accumulator(self, name: str) -> Tensor:
        """[rows] one table's sum of mean squared gradients."""
        key = f"{name}.weight.momentum_1"
        return next(slots[key] for slots in self.fused_optimizer().state.values() if key in slots)


def dense(group: Sequence["TableConfig"], device: torch.device) -> nn.Module:
    """Tables with gradients, for a torch optimiser."""
    return torchrec.EmbeddingBagCollection(tables=declared(group), is_weighted=group[0].weighted, device=device)


def fused(group: Sequence["TableConfig"], device: torch.device) -> nn.Module:
    """Tables that update themselves with row-wise Adagrad."""
    return FusedBags(
        tables=declared(group),
        optimizer_type=torchrec.optim.RowWiseAdagrad,
        optimizer_kwargs={"lr": group[0].learning_rate},
        is_weighted=group[0].weighted,
        device=device,
    )


def declared(group: Sequence["TableConfig"]) -> list[Any]:
    """The same tables in torchrec's words."""
    return [
        torchrec.EmbeddingBagConfig(
            name=config.name,
            num_embeddings=config.rows,
            embedding_dim=config.dim,
            feature_names=list(config.keys),
            pooling=_POOLING[config.pooling],
        )
        for config in group
    ]
