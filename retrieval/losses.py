"""Softmax over sampled candidates: which of these videos did the viewer click next?

`sampled_softmax`, for towers that pool: the candidates of a batch are its B clicked videos and N more drawn uniformly from the
catalogue (mixed negative sampling, Yang et al., WWW 2020). A popular video appears among them more often than its share of the
catalogue, which would teach the towers to avoid it, so each logit is corrected by the log of the candidate's sampling
probability (Yi et al., RecSys 2019):

    loss_i = −log softmax_j(⟨viewer_i, video_j⟩ / temperature − log q_j)[i],   q_j = (B · share_j + N / V) / (B + N)

Of several processes each has some of the queries and all candidates; its queries' own videos then begin at `first`.
Masked for query i: other copies of its own clicked video (accidental hits) and videos uploaded after its click.
Shapes: B queries, C = B + N candidates of which the first B are the queries' own, D the vector length.

`shared_softmax`, for sequences, where B is thousands of moments and C a sample that all of them share. The clicked video always
counts in full; every other candidate stands for 1 / π_j videos like it, π_j its chance to be in the sample:

    loss_i = −log( e^s_ii / (e^s_ii + Σ_{j ≠ i} e^s_ij / π_j) ),   s = ⟨viewer, video⟩ / temperature

which is the full softmax when the sample is the whole catalogue, and an unbiased estimate of its sum otherwise (Horvitz &
Thompson 1952). Correcting the negatives only, as Khrylchenko et al. (RecSys 2025) argue for.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_CHUNK = 256


def log_sampling_probability(share_C: Tensor, num_batch: int, num_uniform: int, num_videos: int) -> Tensor:
    """log q of each candidate. [C]

    Args:
        share_C: the video's share of all training clicks (0 for one that was never clicked).
        num_batch: B, candidates drawn in proportion to clicks.
        num_uniform: N, candidates drawn uniformly.
        num_videos: V, size of the catalogue.
    """
    q = (num_batch * share_C + num_uniform / num_videos) / (num_batch + num_uniform)
    return q.clamp_min(torch.finfo(q.dtype).tiny).log()


def sampled_softmax(
    viewer_BD: Tensor,
    video_CD: Tensor,
    temperature: float,
    log_q_C: Tensor | None = None,
    video_C: Tensor | None = None,
    at_B: Tensor | None = None,
    uploaded_at_C: Tensor | None = None,
    first: int = 0,
    num: int | None = None,
) -> Tensor:
    """Mean loss of the batch. []

    Args:
        viewer_BD: queries.
        video_CD: candidates; row first + i is the video that query i clicked.
        temperature: divides the inner product.
        log_q_C: see `log_sampling_probability`; None applies no correction.
        video_C: ids (rows) of the candidates, to mask accidental hits; None masks nothing.
        at_B: instant of each query, and `uploaded_at_C` of each candidate, to mask what did not exist yet.
        uploaded_at_C: see `at_B`; 0 where unknown.
        first: where the queries' own videos begin.
        num: see `shared_softmax`.
    """
    bias_C = torch.zeros(len(video_CD), device=video_CD.device) if log_q_C is None else -log_q_C
    return _SampledSoftmax.apply(
        viewer_BD, video_CD, bias_C, temperature, video_C, at_B, uploaded_at_C, first, num or len(viewer_BD)
    )


class _SampledSoftmax(torch.autograd.Function):
    """Loss and gradient in one pass over blocks of queries.

    The [B, C] logits are never stored: each block stays in cache, and its softmax is turned into its gradient in place.
    On two cores that is 3 to 5 times faster than building the logits, the mask and the softmax one after the other.
    """

    @staticmethod
    def forward(
        ctx: Any,
        viewer_BD: Tensor,
        video_CD: Tensor,
        bias_C: Tensor,
        temperature: float,
        video_C: Tensor | None,
        at_B: Tensor | None,
        uploaded_at_C: Tensor | None,
        first: int,
        num: int,
    ) -> Tensor:
        query_BD, columns_DC = viewer_BD / temperature, video_CD.T.contiguous()
        grad_viewer, grad_video = torch.empty_like(viewer_BD), torch.zeros_like(video_CD)
        total = viewer_BD.new_zeros(())
        for start in range(0, len(viewer_BD), _CHUNK):
            block = slice(start, min(start + _CHUNK, len(viewer_BD)))
            row = torch.arange(block.stop - start, device=viewer_BD.device)
            own = row + (first + start)
            logits = torch.addmm(bias_C, query_BD[block], columns_DC)
            masked = _masked(row, own, None if at_B is None else at_B[block], video_C, uploaded_at_C)
            positive = logits[row, own]
            peak = logits.amax(dim=1, keepdim=True)
            logits.sub_(peak).exp_()
            if masked is not None:  # after exp: exp of a large negative number takes a slow path
                logits.masked_fill_(masked, 0.0)
            mass = logits.sum(dim=1, keepdim=True)
            total += (mass.log() + peak).sum() - positive.sum()
            logits.div_(mass)
            logits[row, own] -= 1.0
            torch.mm(logits, video_CD, out=grad_viewer[block])
            grad_video.addmm_(logits.T, query_BD[block])
        ctx.save_for_backward(grad_viewer.div_(temperature * num), grad_video.div_(num))
        return total / num

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        grad_viewer, grad_video = ctx.saved_tensors
        return grad_viewer * grads[0], grad_video * grads[0], None, None, None, None, None, None, None


def _masked(row: Tensor, own: Tensor, at: Tensor | None, video_C: Tensor | None, uploaded_at_C: Tensor | None) -> Tensor | None:
    """What does not count against a block of queries, whose own videos are candidates `own`."""
    masked = None
    if video_C is not None:
        masked = video_C[own, None] == video_C
    if at is not None and uploaded_at_C is not None:
        unborn = uploaded_at_C > at[:, None]
        masked = unborn if masked is None else masked.logical_or_(unborn)
    if masked is not None:
        masked[row, own] = False
    return masked


@dataclass(frozen=True)
class Shared:
    """C distinct candidates that every query of a batch is compared with, sorted by `video_C`."""

    vector_CD: Tensor
    video_C: Tensor
    """Catalogue rows."""
    log_chance_C: Tensor
    """log π, the chance to be drawn; 0 where everything is."""
    uploaded_at_C: Tensor | None = None


def shared_softmax(
    viewer_BD: Tensor,
    clicked_BD: Tensor,
    clicked_B: Tensor,
    shared: Shared,
    temperature: float,
    at_B: Tensor | None = None,
    num: int | None = None,
) -> Tensor:
    """Mean loss of the batch. []

    Args:
        viewer_BD: queries.
        clicked_BD: the video that each of them clicked; `clicked_B` its catalogue row.
        shared: what it is compared with, whether or not the clicked video is among them.
        at_B: instant of each query; candidates uploaded later do not take part.
        num: how many queries the mean is over, where these are only some of them; then this is their part of it.
    """
    num = num or len(viewer_BD)
    return _SharedSoftmax.apply(viewer_BD, clicked_BD, shared.vector_CD, clicked_B, shared, temperature, at_B, num)


class _SharedSoftmax(torch.autograd.Function):
    """Loss and gradient in one pass over blocks of queries, like `_SampledSoftmax`."""

    @staticmethod
    def forward(
        ctx: Any,
        viewer_BD: Tensor,
        clicked_BD: Tensor,
        vector_CD: Tensor,
        clicked_B: Tensor,
        shared: Shared,
        temperature: float,
        at_B: Tensor | None,
        num: int,
    ) -> Tensor:
        query_BD, columns_DC = viewer_BD / temperature, vector_CD.T.contiguous()
        grad_viewer, grad_clicked = torch.empty_like(viewer_BD), torch.empty_like(clicked_BD)
        grad_vector, total = torch.zeros_like(vector_CD), viewer_BD.new_zeros(())
        place_B = torch.searchsorted(shared.video_C, clicked_B).clamp_max(len(shared.video_C) - 1)
        drawn_B = shared.video_C[place_B] == clicked_B
        for start in range(0, len(viewer_BD), _CHUNK):
            block = slice(start, min(start + _CHUNK, len(viewer_BD)))
            logits = torch.addmm(-shared.log_chance_C, query_BD[block], columns_DC)
            own = (query_BD[block] * clicked_BD[block]).sum(dim=1, keepdim=True)
            peak = torch.maximum(logits.amax(dim=1, keepdim=True), own)
            logits.sub_(peak).exp_()
            again = drawn_B[block].nonzero()[:, 0]
            logits[again, place_B[block][again]] = 0.0
            if at_B is not None and shared.uploaded_at_C is not None:
                logits.masked_fill_(shared.uploaded_at_C > at_B[block, None], 0.0)
            own_mass = (own - peak).exp()
            mass = logits.sum(dim=1, keepdim=True) + own_mass
            total += (mass.log() + peak - own).sum()
            logits.div_(mass)
            slope = own_mass / mass - 1.0
            torch.mm(logits, vector_CD, out=grad_viewer[block])
            grad_viewer[block].addcmul_(slope.expand_as(clicked_BD[block]), clicked_BD[block])
            torch.mul(slope, query_BD[block], out=grad_clicked[block])
            grad_vector.addmm_(logits.T, query_BD[block])
        ctx.save_for_backward(grad_viewer.div_(temperature * num), grad_clicked.div_(num), grad_vector.div_(num))
        return total / num

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        viewer, clicked, vector = ctx.saved_tensors
        return viewer * grads[0], clicked * grads[0], vector * grads[0], None, None, None, None, None
