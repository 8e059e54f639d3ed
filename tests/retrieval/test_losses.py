import numpy as np
import pytest
import torch

from retrieval.losses import log_sampling_probability, sampled_softmax


def plain(viewer, video, temperature, bias=None, masked=None):
    """The formula, one line at a time."""
    logits = viewer @ video.T / temperature
    if bias is not None:
        logits = logits + bias
    if masked is not None:
        logits = logits.masked_fill(masked, -torch.inf)
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(viewer)))


def draw(num_queries, num_candidates, dim=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize(torch.randn(num_queries + num_candidates, dim, generator=generator), dim=1)
    return unit[:num_queries].requires_grad_(), unit[num_queries:].detach().requires_grad_()


def test_corrected_softmax_has_the_published_numbers():
    logits, q = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0.5, 0.3, 0.2])
    corrected, raw = [0.51243, 0.31419, 0.17338], [0.66524, 0.24473, 0.09003]
    for position in range(3):
        order = torch.tensor([position, *[p for p in range(3) if p != position]])
        video = logits[order, None]
        loss = sampled_softmax(torch.ones(1, 1), video, 1.0, q[order].log())
        assert float(torch.exp(-loss)) == pytest.approx(corrected[position], abs=1e-5)
        assert float(torch.exp(-sampled_softmax(torch.ones(1, 1), video, 1.0))) == pytest.approx(raw[position], abs=1e-5)


def test_loss_and_gradients_equal_autograd_across_blocks():
    viewer, video = draw(300, 450)
    twins = viewer.detach().clone().requires_grad_(), video.detach().clone().requires_grad_()
    rows = torch.randint(0, 60, (450,), generator=torch.Generator().manual_seed(1))
    at, uploaded_at = torch.arange(300), torch.randint(0, 400, (450,), generator=torch.Generator().manual_seed(2))
    log_q = torch.linspace(-8, -2, 450)
    own = torch.eye(300, 450, dtype=torch.bool)
    masked = ((rows[:300, None] == rows) | (uploaded_at > at[:, None])) & ~own
    expected = plain(*twins, 0.1, -log_q, masked)
    found = sampled_softmax(viewer, video, 0.1, log_q, rows, at, uploaded_at)
    (3 * expected).backward()
    (3 * found).backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    np.testing.assert_allclose(viewer.grad, twins[0].grad, atol=1e-6)
    np.testing.assert_allclose(video.grad, twins[1].grad, atol=1e-6)


def test_accidental_hits_push_nothing():
    viewer, video = draw(2, 3)
    loss = sampled_softmax(viewer, video, 0.1, video_C=torch.tensor([7, 7, 7]))
    assert loss.item() == pytest.approx(0.0, abs=1e-6)  # every other candidate is the query's own video
    loss.backward()
    assert float(video.grad.abs().max()) < 1e-6


def test_sampling_probability_mixes_the_two_draws():
    share = torch.tensor([0.5, 0.0])
    q = log_sampling_probability(share, num_batch=3, num_uniform=1, num_videos=100).exp()
    np.testing.assert_allclose(q, [(3 * 0.5 + 0.01) / 4, 0.01 / 4], rtol=1e-6)
    assert torch.isfinite(log_sampling_probability(share, 3, 0, 100)).all()


def fitted_logits(logq, share, steps=600, size=32):
    """Free logits per video trained on in-batch softmax only: what they converge to."""
    random, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    logits = torch.zeros(len(share), 1).normal_(0, 0.01, generator=generator).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.05)
    for _ in range(steps):
        rows = torch.from_numpy(random.choice(len(share), size, p=share))
        log_q = log_sampling_probability(torch.from_numpy(share[rows]).float(), size, 0, len(share)) if logq else None
        optimizer.zero_grad()
        sampled_softmax(torch.ones(size, 1), logits[rows], 1.0, log_q, rows).backward()
        optimizer.step()
    return logits.detach()[:, 0].numpy()


def test_logq_removes_the_bias_against_popular_videos():
    share = np.repeat([8.0, 1.0], 50) / 450
    lift = [np.diff(fitted_logits(logq, share).reshape(2, 50).mean(axis=1))[0] for logq in (True, False)]
    assert -lift[0] == pytest.approx(np.log(8), abs=0.5)  # a video clicked 8 times as often scores log 8 more
    assert abs(lift[1]) < 0.5  # uncorrected, popularity cancels
