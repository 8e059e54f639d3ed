import pytest
import torch

from retrieval.config import TransformerConfig
from retrieval.transformer import HistoryTransformer

DIM, LENGTH = 16, 12


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(0)
    return HistoryTransformer(DIM, LENGTH, TransformerConfig(layers=2, heads=2, hidden=24)).eval()


@pytest.fixture(scope="module")
def history():
    return torch.randn(3, LENGTH, DIM, generator=torch.Generator().manual_seed(1))


def test_a_state_knows_the_past_only(transformer, history):
    changed = history.clone()
    changed[:, 7:] = 5.0
    before, after = transformer(history), transformer(changed)
    assert before.shape == (3, LENGTH + 1, DIM)
    torch.testing.assert_close(before[:, :8], after[:, :8])
    assert (before[:, 8:] - after[:, 8:]).abs().amax(dim=2).min() > 1e-3


def test_order_matters(transformer, history):
    swapped = history.clone()
    swapped[:, [2, 3]] = history[:, [3, 2]]
    assert (transformer(history)[:, 5] - transformer(swapped)[:, 5]).abs().max() > 1e-5


def test_the_last_state_is_the_same_alone(transformer, history):
    length = torch.tensor([12, 5, 0])
    expected = transformer(history)[torch.arange(3), length]
    torch.testing.assert_close(transformer.last(history, length), expected, atol=1e-5, rtol=1e-5)
    padded = history.clone()
    padded[1, 5:], padded[2] = 99.0, -99.0
    torch.testing.assert_close(transformer.last(padded, length), expected, atol=1e-5, rtol=1e-5)


def test_an_empty_history_has_a_state(transformer):
    state = transformer.last(torch.zeros(2, 0, DIM), torch.zeros(2, dtype=torch.long))
    torch.testing.assert_close(state[0], state[1])
    assert torch.isfinite(state).all()
