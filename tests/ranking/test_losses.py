import math

import pytest
import torch

from ranking import losses
from ranking.config import OUTCOMES

NAN = math.nan


def labels(**known):
    unknown = [NAN] * len(next(iter(known.values())))
    return {head: torch.tensor(known.get(head, unknown)) for head in OUTCOMES}


def test_log_loss_counts_known_labels_only():
    loss = losses.log_loss(torch.tensor([0.0, 5.0, 0.0]), torch.tensor([1.0, NAN, 0.0]))
    assert loss.item() == pytest.approx(math.log(2))
    assert losses.log_loss(torch.tensor([3.0]), torch.tensor([NAN])).item() == 0.0


def test_unknown_labels_give_no_gradient():
    z = torch.tensor([0.3, -2.0], requires_grad=True)
    (losses.gamma(z, torch.tensor([NAN, 8.0])) + losses.log_loss(z, torch.tensor([NAN, 1.0]))).backward()
    assert z.grad[0].item() == 0.0
    assert z.grad[1].item() != 0.0


def test_gamma_is_minimal_at_the_log_of_the_mean():
    y = torch.tensor([1.0, 2.0, 30.0, 7.0])
    z = torch.full((4,), math.log(10.0), requires_grad=True)
    losses.gamma(z, y).backward()
    assert z.grad.sum().item() == pytest.approx(0.0, abs=1e-7)
    at = [losses.gamma(torch.full((4,), math.log(m)), y).item() for m in (9.0, 10.0, 11.0)]
    assert at[1] == min(at)


def test_listwise_by_hand():
    logits = torch.tensor([[2.0, 1.0, 0.0]])
    every = torch.ones(1, 3, dtype=torch.bool)
    assert losses.listwise(logits, every).item() == pytest.approx(-math.log(0.66524096), abs=1e-6)
    masked = torch.tensor([[True, False, True]])
    assert losses.listwise(logits, masked).item() == pytest.approx(math.log1p(math.exp(-2.0)), abs=1e-6)
    assert losses.listwise(torch.empty(0, 3), torch.empty(0, 3, dtype=torch.bool)).item() == 0.0


def test_each_head_learns_from_its_own_label():
    known = labels(click=[1.0, 0.0], watch=[20.0, NAN], like=[1.0, NAN], long_view=[1.0, 0.0])
    logits = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    found = losses.of_outcomes(logits, ("watch", "like", "long_view"), known, torch.zeros(2))
    assert found["watch"].item() == pytest.approx(20.0)
    assert found["like"].item() == pytest.approx(math.log(2))
    assert found["long_view"].item() == pytest.approx(math.log1p(math.exp(-1.0)))


def test_position_bias_moves_the_click_loss_only():
    known = labels(click=[1.0], watch=[5.0], like=[1.0])
    heads = ("click", "watch", "like")
    plain = losses.of_outcomes(torch.zeros(1, 3), heads, known, torch.zeros(1))
    biased = losses.of_outcomes(torch.zeros(1, 3), heads, known, torch.ones(1))
    assert biased["click"].item() == pytest.approx(math.log1p(math.exp(-1.0)))
    assert biased["watch"] == plain["watch"]


def test_weighted_sum():
    parts = {"click": torch.tensor(2.0), "like": torch.tensor(3.0)}
    assert losses.weighted(parts, {"click": 1.0, "like": 0.5, "watch": 9.0}).item() == 3.5
