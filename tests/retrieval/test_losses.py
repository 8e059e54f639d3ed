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
    assert float(found) == pytest.approx(float(expected), rel=1e-6)
    np.testing.assert_allclose(viewer.grad, twins[0].grad, atol=1e-6)
    np.testing.assert_allclose(video.grad, twins[1].grad, atol=1e-6)


def test_accidental_hits_push_nothing():
    viewer, video = draw(2, 3)
    loss = sampled_softmax(viewer, video, 0.1, video_C=torch.tensor([7, 7, 7]))
    assert float(loss) == pytest.approx(0.0, abs=1e-6)  # every other candidate is the query's own video
    loss.backward()
    assert float(video.grad.abs().max()) < 1e-6


def test_sampling_probability_mixes_the_two_draws():
    share = torch.tensor([0.5, 0.0])
    q = log_sampling_probability(share, num_batch=3, num_uniform=1, num_videos=100).exp()
    np.testing.assert_allclose(q, [(3 * 0.5 + 0.01) / 4, 0.01 / 4], rtol=1e-6)
    assert torch.isfinite(log_sampling_probability(share, 3, 0, 100)).all()


def fitted_probabilities(logq, clicks, num_videos, steps=1500, size=64):
    """Free logits per video trained on in-batch softmax only: what they converge to, as probabilities."""
    random, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    share = torch.from_numpy(np.bincount(clicks, minlength=num_videos) / len(clicks)).float()
    logits = torch.zeros(num_videos, 1).normal_(0, 0.01, generator=generator).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.03)
    for _ in range(steps):
        rows = torch.from_numpy(random.choice(clicks, size))
        log_q = log_sampling_probability(share[rows], size, 0, num_videos) if logq else None
        optimizer.zero_grad()
        sampled_softmax(torch.ones(size, 1), logits[rows], 1.0, log_q, rows).backward()
        optimizer.step()
    return torch.softmax(logits.detach()[:, 0], 0).numpy()


def test_logq_removes_the_bias_against_popular_videos():
    clicks = np.repeat(np.arange(4), [80, 40, 20, 20])
    truth = np.array([0.5, 0.25, 0.125, 0.125])
    corrected, raw = (fitted_probabilities(logq, clicks, 4) for logq in (True, False))
    np.testing.assert_allclose(corrected, truth, atol=0.08)
    assert raw[0] < 0.35  # without the correction popularity cancels: every video looks alike
