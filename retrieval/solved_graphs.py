"""The towers of `retrieval.solved` as graphs: a viewer's equations solved from its history, and a video's two parts.

The viewer's equations are solved by a fixed number of conjugate gradient steps, each a few products with the history, so that
the graph needs no matrix inverse and no matrix of its own size per viewer. As Σ y yᵀ is diagonal, dividing by the diagonal of
the whole brings them close to the identity before the first step.
Shapes: B histories, L their length, F numbers in the first part.
"""

from dataclasses import astuple, fields

import torch
from torch import Tensor, nn

from retrieval.solved import LEAST_LEFT, Settings, Solution, first_part

_STEPS = 12
_TINY = 1e-20


class HistorySolver(nn.Module):
    """Raw vectors of a history → viewer vector: x, and `mix` times the sum of the second parts."""

    spectrum_F: Tensor
    newcomer_F: Tensor
    settings: Tensor
    """As in `Settings`, then V."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = first_part(dim)
        self.register_buffer("spectrum_F", torch.ones(self.first))
        self.register_buffer("newcomer_F", torch.zeros(self.first))
        self.register_buffer("settings", torch.ones(len(fields(Settings)) + 1))

    @torch.no_grad()
    def take(self, solution: Solution) -> None:
        """What the viewer's equations need."""
        self.spectrum_F.copy_(torch.from_numpy(solution.spectrum_F))
        self.newcomer_F.copy_(torch.from_numpy(solution.newcomer_F))
        self.settings.copy_(torch.tensor([*astuple(solution.settings), len(solution.video_VD)]))

    def chosen(self) -> Settings:
        """The settings that the equations were made with."""
        return Settings(*self.settings[:-1].tolist())

    def last(self, raw_BLD: Tensor, length_B: Tensor) -> Tensor:
        """The viewer after length_B videos. [B, D]"""
        there_BL = torch.arange(raw_BLD.shape[1], device=raw_BLD.device) < length_B[:, None]
        watched_BLD = raw_BLD * there_BL[:, :, None]
        solved_BF = self._solve(watched_BLD[:, :, : self.first], length_B[:, None])
        known_BF = torch.where(length_B[:, None] > 0, solved_BF, self.newcomer_F)
        return torch.cat([known_BF, self.settings[3] * watched_BLD[:, :, self.first :].sum(dim=1)], dim=1)

    def _solve(self, watched_BLF: Tensor, length_B1: Tensor) -> Tensor:
        alpha, l2, num_videos = self.settings[0], self.settings[1], self.settings[-1]
        fixed_BF = self.spectrum_F + l2 * (num_videos + alpha * length_B1)
        diagonal_BF = fixed_BF + (alpha - 1.0) * (watched_BLF**2).sum(dim=1)
        x_BF = torch.zeros_like(fixed_BF)
        left_BF = alpha * watched_BLF.sum(dim=1)
        scaled_BF = left_BF / diagonal_BF
        way_BF, size_B1 = scaled_BF, (left_BF * scaled_BF).sum(dim=1, keepdim=True)
        for _ in range(_STEPS):
            liked_BL1 = watched_BLF @ way_BF[:, :, None]
            image_BF = fixed_BF * way_BF + (alpha - 1.0) * (watched_BLF.transpose(1, 2) @ liked_BL1)[:, :, 0]
            step_B1 = size_B1 / ((way_BF * image_BF).sum(dim=1, keepdim=True) + _TINY)
            x_BF, left_BF = x_BF + step_B1 * way_BF, left_BF - step_B1 * image_BF
            scaled_BF = left_BF / diagonal_BF
            new_size_B1 = (left_BF * scaled_BF).sum(dim=1, keepdim=True)
            way_BF, size_B1 = scaled_BF + new_size_B1 / (size_B1 + _TINY) * way_BF, new_size_B1
        return x_BF


class SolvedVideo(nn.Module):
    """[raw | log age] → video vector: the first part as it is, the second divided by what EASE divides by."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first, self.dim = first_part(dim), dim

    def forward(self, inputs: Tensor) -> Tensor:
        """[N, D + 1] → [N, D]"""
        second = inputs[:, self.first : self.dim]
        left = 1.0 - (second**2).sum(dim=1, keepdim=True)
        return torch.cat([inputs[:, : self.first], second / left.clamp_min(LEAST_LEFT)], dim=1)
