"""The multi-task ranker in torch: look-ups, a network over gathered vectors, and a position bias that is left behind.

    Embedder      ids → viewer_BX, candidate_BKY (columns as in `ranking.layout`)
    Network       viewer_BX, candidate_BKY → logits_BKH. What is exported (`ranking.graph`): it knows no ids
    PositionBias  slot, device → log-odds added to `click` in training only (Zhao et al., RecSys 2019)

Network: normalised numbers, embeddings and the product (candidate vector × history vector) form x0; DCN-v2 cross layers of low
rank, x ← x0 ⊙ (U Vᵀ x + b) + x (Wang et al., WWW 2021); a shared trunk; a small tower per head; and a linear term per head
over the candidate's numbers, in which `relevance` starts as the two-tower affinity so that training can only improve on it.

Shape legend as in `ranking.layout`; H heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from embeddings.jagged import KeyedJaggedTensor
from embeddings.tables import ADAM, TableConfig, Tables, suited_optimizer
from features.schema import FeatureSchema
from ranking.batches import Inputs
from ranking.calibrate import Curve
from ranking.config import RankerConfig
from ranking.layout import NUMBER_LIMIT, Layout

_VIDEO = "video"
_TABLE_PREFIX = "embedder.video."


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of every number, from the training rows."""

    viewer_mean: NDArray
    viewer_std: NDArray
    candidate_mean: NDArray
    candidate_std: NDArray


class LowRankCross(nn.Module):
    """One DCN-v2 layer."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, width)

    def forward(self, x0: Tensor, x: Tensor) -> Tensor:
        """x0 ⊙ (U Vᵀ x + b) + x; [..., W]"""
        return x0 * self.up(self.down(x)) + x


class Network(nn.Module):
    """Everything between gathered vectors and raw logits."""

    viewer_mean: Tensor
    viewer_std: Tensor
    candidate_mean: Tensor
    candidate_std: Tensor

    def __init__(self, columns: Layout, config: RankerConfig, heads: tuple[str, ...], statistics: Statistics) -> None:
        super().__init__()
        self.columns, self.num_heads, self.head_hidden = columns, len(heads), config.head_hidden
        for name, value in vars(statistics).items():
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))
        width = columns.viewer_width + columns.candidate_width + columns.video_dim
        self.crosses = nn.ModuleList([LowRankCross(width, config.cross_rank) for _ in range(config.cross_layers)])
        widths = (width, *config.hidden)
        layers = [m for a, b in pairwise(widths) for m in (nn.Linear(a, b), nn.ReLU(), nn.Dropout(config.dropout))]
        self.trunk = nn.Sequential(*layers)
        self.towers = nn.Linear(widths[-1], self.num_heads * config.head_hidden)
        self.outputs = nn.Parameter(torch.randn(self.num_heads, config.head_hidden) * config.head_hidden**-0.5)
        self.linear = nn.Linear(columns.candidate_numbers, self.num_heads)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        if "relevance" in heads:
            self.linear.weight.data[heads.index("relevance"), 0] = 2.0

    def forward(self, viewer_BX: Tensor, candidate_BKY: Tensor) -> Tensor:
        """[B, X], [B, K, Y] → [B, K, H]"""
        fv, fc, e = self.columns.viewer_numbers, self.columns.candidate_numbers, self.columns.video_dim
        viewer_numbers = normalise(viewer_BX[:, :fv], self.viewer_mean, self.viewer_std)
        numbers = normalise(candidate_BKY[..., :fc], self.candidate_mean, self.candidate_std)
        product = viewer_BX[:, None, fv : fv + e] * candidate_BKY[..., fc : fc + e]
        viewer = torch.cat([viewer_numbers, viewer_BX[:, fv:]], dim=1)
        viewer = viewer.unsqueeze(1).expand(-1, candidate_BKY.shape[1], -1)
        x0 = torch.cat([viewer, numbers, candidate_BKY[..., fc:], product], dim=-1)
        x = x0
        for cross in self.crosses:
            x = cross(x0, x)
        towers = torch.relu(self.towers(self.trunk(x)))
        towers = towers.reshape(towers.shape[0], towers.shape[1], self.num_heads, self.head_hidden)
        return (towers * self.outputs).sum(-1) + self.linear(numbers)


def normalise(numbers: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Standardised and clipped; a number that is missing (NaN) counts as average. `layout.normalised` is its twin."""
    scaled = (numbers - mean) / std
    return torch.where(torch.isnan(scaled), 0.0, scaled).clamp(-NUMBER_LIMIT, NUMBER_LIMIT)


class VideoTable(nn.Module):
    """The ranker's own video vectors: single look-ups for candidates, mean-pooled bags for histories, in one pass."""

    def __init__(self, num_videos: int, config: RankerConfig, seed: int, device: torch.device) -> None:
        super().__init__()
        optimizer = suited_optimizer(num_videos)
        table = TableConfig(
            name=_VIDEO,
            rows=num_videos,
            dim=config.video_dim,
            pooling="mean",
            optimizer=optimizer,
            learning_rate=config.learning_rate if optimizer == ADAM else config.table_learning_rate,
        )
        self.tables = Tables([table], seed=seed, device=device)

    @property
    def weight(self) -> Tensor:
        """[V, E]; shares memory with training."""
        return self.tables.weight(_VIDEO).detach()

    def forward(self, history_BL: Tensor, video_BK: Tensor) -> tuple[Tensor, Tensor]:
        """History bags [B, E], 0 where empty, and candidate vectors [B, K, E]."""
        present = history_BL >= 0
        single = torch.ones(video_BK.numel(), dtype=torch.int32, device=video_BK.device)
        values = torch.cat([history_BL[present], video_BK.reshape(-1)]).long()
        lengths = torch.cat([present.sum(1, dtype=torch.int32), single])
        pooled = self.tables(KeyedJaggedTensor(keys=[_VIDEO], values=values, lengths=lengths))[_VIDEO]
        return pooled[: len(history_BL)], pooled[len(history_BL) :].reshape(*video_BK.shape, -1)

    def forget_all_but(self, kept: NDArray[np.bool_]) -> None:
        """Set every row that is not `kept` [V] to zero."""
        self.weight[torch.from_numpy(~kept)] = 0.0


class Embedder(nn.Module):
    """Ids to vectors. One table of videos for candidates and history, one for all categorical codes."""

    def __init__(self, columns: Layout, num_videos: int, config: RankerConfig, seed: int, device: torch.device) -> None:
        super().__init__()
        self.video = VideoTable(num_videos, config, seed, device)
        self.codes = nn.Embedding(columns.num_codes, columns.code_dim)
        nn.init.normal_(self.codes.weight, std=0.05)

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """viewer_BX, candidate_BKY"""
        batch, num_candidates = inputs.video_BK.shape
        history, candidates = self.video(inputs.history_BL, inputs.video_BK)
        viewer_codes = self.codes(inputs.viewer_codes_BC).reshape(batch, -1)
        candidate_codes = self.codes(inputs.candidate_codes_BKC).reshape(batch, num_candidates, -1)
        viewer = torch.cat([inputs.viewer_numbers_BF, history, viewer_codes], dim=1)
        return viewer, torch.cat([inputs.candidate_numbers_BKF, candidates, candidate_codes], dim=-1)


class PositionBias(nn.Module):
    """Log-odds of a click that come from the slot, per device. Starts at 0; an unknown or hidden slot has its own value."""

    def __init__(self, max_position: int, num_devices: int) -> None:
        super().__init__()
        self.slot = nn.Parameter(torch.zeros(max_position + 2))
        self.slot_on_device = nn.Parameter(torch.zeros(num_devices, max_position + 2))

    def forward(self, position_B: Tensor, device_B: Tensor) -> Tensor:
        """[B]; position −1 is unknown."""
        index = (position_B + 1).clamp(0, len(self.slot) - 1)
        return self.slot[index] + self.slot_on_device[device_B, index]

    @torch.no_grad()
    def curve(self) -> NDArray:
        """Log-odds of each slot relative to the first, averaged over devices. [max_position + 1]"""
        total = self.slot[1:] + self.slot_on_device[:, 1:].mean(0)
        return (total - total[0]).cpu().numpy()


class RankerModel(nn.Module):
    """The three parts together."""

    def __init__(
        self,
        config: RankerConfig,
        columns: Layout,
        heads: tuple[str, ...],
        statistics: Statistics,
        num_videos: int,
        num_devices: int,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.embedder = Embedder(columns, num_videos, config, seed, device)
        self.network = Network(columns, config, heads, statistics)
        self.position = PositionBias(config.max_position, num_devices)
        self.to(device)

    def forward(self, inputs: Inputs) -> Tensor:
        """Raw logits, [B, K, H], without position."""
        return self.network(*self.embedder(inputs))

    def dense_parameters(self) -> list[nn.Parameter]:
        """All but the video table and the position bias, which have their own rates."""
        return [*self.embedder.codes.parameters(), *self.network.parameters()]

    def weights(self) -> dict[str, Tensor]:
        """A copy of everything that training changes."""
        dense = {name: value.clone() for name, value in self.state_dict().items() if not name.startswith(_TABLE_PREFIX)}
        return dense | {_VIDEO: self.embedder.video.weight.clone()}

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Put back what `weights` returned."""
        self.load_state_dict({name: value for name, value in weights.items() if name != _VIDEO}, strict=False)
        self.embedder.video.weight.copy_(weights[_VIDEO])


@dataclass(frozen=True)
class Ranker:
    """A trained model and what `ranking.export` writes beside it."""

    model: RankerModel
    config: RankerConfig
    schema: FeatureSchema
    columns: Layout
    heads: tuple[str, ...]
    curves: Mapping[str, Curve]
    """Calibration of click, like and dislike."""
    watch_scale: float
    position_curve: tuple[float, ...]
    """Log-odds of a click by slot relative to the first; empty without a click head."""
    metrics: Mapping[str, Any]
    """Held-out figures per head."""
    losses: tuple[float, ...]
    """Training loss of every step."""
