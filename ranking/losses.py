"""What each head minimises. Labels that are NaN are unknown and count nothing.

    click, like, dislike   log-loss; like and dislike only where the video was clicked, so they are given a click
    watch                  gamma quasi-likelihood with log link, z + y·e^(−z) for watched seconds y given a click
                           (McCullagh & Nelder 1989): its minimiser is e^z = E[y | x] itself. A regression of log(1 + y)
                           estimates a smaller number, and Covington's weighted logistic (2016) needs the share of clicks
    relevance              listwise softmax (Cao et al., ICML 2007): −log softmax of the clicked video among its list

Pure functions of tensors; know nothing of the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Outcomes:
    """Labels of B videos, each [B] float, NaN where unknown."""

    clicked: Tensor
    watch_s: Tensor
    liked: Tensor
    disliked: Tensor

    def given_click(self, head: str) -> Tensor:
        """The labels of a head that exists only after a click, NaN elsewhere."""
        label = {"watch": self.watch_s, "like": self.liked, "dislike": self.disliked}[head]
        return torch.where(self.clicked > 0, label, torch.nan)


def of_outcomes(logits_BH: Tensor, heads: Sequence[str], outcomes: Outcomes, click_bias_B: Tensor | None) -> dict[str, Tensor]:
    """Mean loss per head over the rows that have its label.

    `click_bias_B` is added to the click logit only; None leaves `click` out, for rows that are clicked by construction.
    """
    losses: dict[str, Tensor] = {}
    for column, head in enumerate(heads):
        if head == "click" and click_bias_B is not None:
            losses[head] = log_loss(logits_BH[:, column] + click_bias_B, outcomes.clicked)
        elif head == "watch":
            losses[head] = gamma(logits_BH[:, column], outcomes.given_click(head))
        elif head in ("like", "dislike"):
            losses[head] = log_loss(logits_BH[:, column], outcomes.given_click(head))
    return losses


def log_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean −log likelihood of 0/1 labels; 0 when all are unknown."""
    known = ~torch.isnan(labels)
    loss = F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    return _mean(loss, known)


def gamma(log_mean: Tensor, watched_s: Tensor) -> Tensor:
    """Mean of z + y·e^(−z); 0 when all are unknown."""
    known = ~torch.isnan(watched_s)
    return _mean(log_mean + watched_s.nan_to_num() * torch.exp(-log_mean), known)


def listwise(logits_BK: Tensor, mask_BK: Tensor) -> Tensor:
    """Mean −log softmax of column 0 within its list; masked columns take no part. 0 for no lists."""
    if not len(logits_BK):
        return logits_BK.sum()
    return -F.log_softmax(logits_BK.masked_fill(~mask_BK, -torch.inf), dim=1)[:, 0].mean()


def weighted(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Σ weight · loss."""
    return torch.stack([weights[head] * loss for head, loss in losses.items()]).sum()


def _mean(loss: Tensor, known: Tensor) -> Tensor:
    return torch.where(known, loss, 0.0).sum() / known.sum().clamp(min=1)
