"""The ranker's network rearranged for serving: the same logits as `ranking.model.Network`, for half the arithmetic.

The candidates of one request share the viewer's columns, so what depends on these alone is computed once. Cross layers
x_l = x0 ⊙ (U_l V_lᵀ x_{l−1} + b_l) + x_{l−1} are gates on x0 that add up:

    x_l = x0 ⊙ g_l,    g_l = 1 + Σ_{j ≤ l} (U_j h_j + b_j),    h_j = V_jᵀ x_{j−1}

Whatever reads the viewer's columns v of x_l through a matrix M is then affine in the few numbers h = [h_1 … h_l]:

    M (v ⊙ g_l) = M (v ⊙ (1 + Σ b_j)) + (M diag(v) [U_1 … U_l]) h

and only the candidate's columns are gated for every candidate. h begins with a column of ones, for what does not depend on the
candidate: so every sum is a part of a product, and memory is not passed over for it again. Knows nothing of ids or tables.

Shape legend as in `ranking.layout`; S columns that belong to a video, R ranks of the cross layers so far and the ones before
them, O outputs of a matrix, N = B·K candidates, Z candidate columns of x0.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ranking.model import LowRankCross, Network, normalise


class ServingGraph(nn.Module):
    """What is exported."""

    viewer_mean: Tensor
    viewer_std: Tensor
    numbers_mean: Tensor
    numbers_std: Tensor
    heads_OH: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.columns, self.trunk, self.towers, self.linear = network.columns, network.trunk, network.towers, network.linear
        for name in ("viewer_mean", "viewer_std"):
            self.register_buffer(name, getattr(network, name))
        for name in ("mean", "std"):
            self.register_buffer(f"numbers_{name}", getattr(network, f"candidate_{name}")[: self.columns.pair_numbers])
        self.register_buffer("heads_OH", torch.block_diag(*network.outputs.detach()[:, None]).t())
        layers = cast("list[LowRankCross]", list(network.crosses))
        width, first = self.columns.viewer_width, cast(nn.Linear, network.trunk[0])
        self.downs = nn.ModuleList(Reader(layer.down, layers[:index], width) for index, layer in enumerate(layers))
        self.gates = nn.ModuleList(Gate(layers[: index + 1], width) for index in range(len(layers)))
        self.first = Reader(first, layers, width)

    def forward(self, viewer_BX: Tensor, numbers_BKF: Tensor, video_BKS: Tensor, cross_BKC: Tensor) -> Tensor:
        """Logits [B, K, H]. Candidates' columns come in three pieces: `layout` says which; content is normalised already."""
        fv, e, content = self.columns.viewer_numbers, self.columns.video_dim, self.columns.content_dim
        viewer_numbers = normalise(viewer_BX[:, :fv], self.viewer_mean, self.viewer_std)
        viewer_BX = torch.cat([viewer_numbers, viewer_BX[:, fv:]], dim=1)
        numbers_BKF = normalise(numbers_BKF, self.numbers_mean, self.numbers_std)
        product_BKE = viewer_BX[:, None, fv : fv + e] * video_BKS[..., content : content + e]
        candidate_BKZ = torch.cat([numbers_BKF, video_BKS, cross_BKC, product_BKE], dim=-1)
        candidate_NZ = gated_NZ = candidate_BKZ.flatten(0, 1)
        shape_BK = candidate_BKZ.shape[:2]
        hidden_BKR = candidate_BKZ.new_ones(*shape_BK, 1)
        for down, gate in zip(self.downs, self.gates, strict=True):
            more_NO = down(viewer_BX, gated_NZ, hidden_BKR)
            hidden_BKR = torch.cat([hidden_BKR, more_NO.unflatten(0, shape_BK)], dim=-1)
            gated_NZ = candidate_NZ * gate(hidden_BKR)
        trunk = self.trunk[1:](self.first(viewer_BX, gated_NZ, hidden_BKR))
        plain = self.linear(candidate_NZ[:, : self.columns.candidate_numbers])
        logits = torch.addmm(plain, torch.relu(self.towers(trunk)), self.heads_OH)
        return logits.unflatten(0, shape_BK)


class Reader(nn.Module):
    """M x_l, with the viewer's columns taken once per request."""

    viewer_XO: Tensor
    candidate_ZO: Tensor
    gate_RX: Tensor
    bias_RO: Tensor

    def __init__(self, matrix: nn.Linear, before: Sequence[LowRankCross], width: int) -> None:
        """Of the layers `before` it; `width` is the number of viewer columns."""
        super().__init__()
        weight, gate_RW = matrix.weight.detach(), _gate(before, matrix.in_features)
        self.register_buffer("viewer_XO", weight[:, :width].t())
        self.register_buffer("candidate_ZO", weight[:, width:].t())
        self.register_buffer("gate_RX", gate_RW[:, :width])
        bias = torch.zeros(len(gate_RW), matrix.out_features)
        if matrix.bias is not None:
            bias[0] = matrix.bias.detach()
        self.register_buffer("bias_RO", bias)

    def forward(self, viewer_BX: Tensor, gated_NZ: Tensor, hidden_BKR: Tensor) -> Tensor:
        """[N, O]"""
        each_BRO = torch.matmul(self.gate_RX, viewer_BX[..., None] * self.viewer_XO) + self.bias_RO
        of_viewer_BKO = torch.matmul(hidden_BKR, each_BRO)
        return torch.addmm(of_viewer_BKO.flatten(0, 1), gated_NZ, self.candidate_ZO)


class Gate(nn.Module):
    """g_l of the candidate's columns."""

    gate_RZ: Tensor

    def __init__(self, layers: Sequence[LowRankCross], width: int) -> None:
        super().__init__()
        self.register_buffer("gate_RZ", _gate(layers, layers[0].down.in_features)[:, width:])

    def forward(self, hidden_BKR: Tensor) -> Tensor:
        """[N, Z]"""
        return torch.matmul(hidden_BKR.flatten(0, 1), self.gate_RZ)


def _gate(layers: Sequence[LowRankCross], width: int) -> Tensor:
    """1 + Σ b_j, and then [U_1 … U_l] transposed: what h is multiplied by. [R, W]"""
    biases = [layer.up.bias.detach() for layer in layers]
    ups = [layer.up.weight.detach().t() for layer in layers]
    return torch.cat([(torch.ones(width) + sum(biases))[None], *ups])
