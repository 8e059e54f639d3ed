"""A causal transformer over a viewer's history: the raw vectors of the videos watched in, one state per moment out.

    x     = √D · [start, raw v₁, …, raw v_L] + position
    x     ← x + attention(norm x);  x ← x + feed_forward(norm x)        for every block (pre-norm, GELU); what is added may be
                                                                        gated by σ(W x) (LiGR, Borisyuk et al. 2025)
    state = norm(x)                                                     state_l knows the first l videos and predicts the next

SASRec (Kang & McAuley, ICDM 2018) as a viewer tower: the state is a vector, so serving stays one inner product per video. The
learned start takes the place of a history that is empty. Histories are oldest first and padded at the end, where the causal
mask keeps the padding out of every state that counts; so no other mask is needed. Knows nothing of ids, losses or files.
Shapes: B histories, L their length, D the vector length.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.config import TransformerConfig

_START_SIZE = 0.02


class Block(nn.Module):
    """Attention and feed-forward with residuals."""

    def __init__(self, dim: int, config: TransformerConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.before_attention, self.before_feed_forward = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.key_value = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.mix = nn.Linear(dim, dim)
        self.gates = nn.ModuleList([nn.Linear(dim, dim) for _ in range(2)]) if config.gated else None
        self.widen, self.narrow = nn.Linear(dim, config.hidden), nn.Linear(config.hidden, dim)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Every position. [B, L, D]"""
        normed = self.before_attention(x_BLD)
        key, value = self._split(self.key_value(normed)).chunk(2, dim=1)
        found = functional.scaled_dot_product_attention(self._split(self.query(normed)), key, value, is_causal=True)
        return self._rest(x_BLD, found)

    def last(self, x_BLD: Tensor, last_B: Tensor) -> Tensor:
        """Only position last_B of each history: what serving needs of the last block. [B, 1, D]"""
        normed = self.before_attention(x_BLD)
        key, value = self._split(self.key_value(normed)).chunk(2, dim=1)
        at = last_B[:, None, None].expand(-1, 1, x_BLD.shape[2])
        x_B1D = x_BLD.gather(1, at)
        known = torch.arange(x_BLD.shape[1], device=x_BLD.device) <= last_B[:, None]
        found = functional.scaled_dot_product_attention(
            self._split(self.query(normed.gather(1, at))), key, value, attn_mask=known[:, None, None, :]
        )
        return self._rest(x_B1D, found)

    def _split(self, x: Tensor) -> Tensor:
        """[B, L, n · D] → [B, n · heads, L, D / heads]"""
        return x.unflatten(2, (-1, self.query.out_features // self.heads)).transpose(1, 2)

    def _rest(self, x: Tensor, found: Tensor) -> Tensor:
        x = self._add(x, self.mix(found.transpose(1, 2).flatten(2)), 0)
        return self._add(x, self.narrow(functional.gelu(self.widen(self.before_feed_forward(x)))), 1)

    def _add(self, x: Tensor, change: Tensor, place: int) -> Tensor:
        gated = change if self.gates is None else change * torch.sigmoid(self.gates[place](x))
        return x + functional.dropout(gated, self.dropout, self.training)


class HistoryTransformer(nn.Module):
    """The whole stack."""

    def __init__(self, dim: int, length: int, config: TransformerConfig) -> None:
        super().__init__()
        self.dropout, self.scale = config.dropout, dim**0.5
        self.start = nn.Parameter(torch.randn(dim) * _START_SIZE)
        self.position = nn.Parameter(torch.randn(length + 1, dim) * _START_SIZE)
        self.blocks = nn.Sequential(*[Block(dim, config) for _ in range(config.layers - 1)])
        self.top = Block(dim, config)
        self.norm = nn.LayerNorm(dim)

    def forward(self, raw_BLD: Tensor) -> Tensor:
        """States after 0, 1, …, L videos. [B, L + 1, D]"""
        return self.norm(self.top(self.blocks(self._begin(raw_BLD))))

    def last(self, raw_BLD: Tensor, length_B: Tensor) -> Tensor:
        """The state after length_B videos, the same as `forward`'s at that place. [B, D]"""
        return self.norm(self.top.last(self.blocks(self._begin(raw_BLD)), length_B))[:, 0]

    def _begin(self, raw_BLD: Tensor) -> Tensor:
        x = torch.cat([self.start.expand(raw_BLD.shape[0], 1, -1), raw_BLD], dim=1) * self.scale
        return functional.dropout(x + self.position[: x.shape[1]], self.dropout, self.training)
