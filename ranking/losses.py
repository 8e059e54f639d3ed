"""What each head minimises. Labels that are NaN are unknown and count nothing.

    click, long_view       log-loss
    like, dislike          log-loss, given a click where the log gives feedback only after one (`ranking.batches`)
    watch                  gamma quasi-likelihood with log link, z + y·e^(−z) for watched seconds y, given a click
                           (McCullagh & Nelder 1989): its minimiser is e^z = E[y | x] itself. A regression of log(1 + y)
                           estimates a smaller number, and Covington's weighted logistic (2016) needs the share of clicks
    relevance              listwise softmax (Cao et al., ICML 2007): −log softmax of the clicked video among its list

Pure functions of tensors; know nothing of the model.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def of_outcomes(
    logits_BH: Tensor, heads: Sequence[str], labels: Mapping[str, Tensor], click_bias_B: Tensor
) -> dict[str, Tensor]:
    """Mean loss of every head but relevance over the rows that have its label.

    Args:
        labels: [B] per head of `config.OUTCOMES`, NaN where unknown.
        click_bias_B: added to the click logit only.
    """
    losses: dict[str, Tensor] = {}
    for column, head in enumerate(heads):
        if head == "click":
            losses[head] = log_loss(logits_BH[:, column] + click_bias_B, labels[head])
        elif head == "watch":
            losses[head] = gamma(logits_BH[:, column], labels[head])
        elif head != "relevance":
            losses[head] = log_loss(logits_BH[:, column], labels[head])
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
