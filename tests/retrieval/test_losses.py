import numpy as np
import pytest
import torch

from retrieval.losses import Shared, log_sampling_probability, sampled_softmax, shared_softmax


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


def test_shares_of_the_queries_add_up():
    viewer, video = draw(50, 80)
    rows, at, uploaded_at = torch.arange(80) % 60, torch.arange(50) * 2, torch.arange(80)
    whole = sampled_softmax(viewer, video, 0.1, None, rows, at, uploaded_at)
    parts = [
        sampled_softmax(viewer[part], video, 0.1, None, rows, at[part], uploaded_at, first=part.start, num=50)
        for part in (slice(0, 20), slice(20, 20), slice(20, 50))
    ]
    assert sum(parts).item() == pytest.approx(whole.item(), rel=1e-6)
    gradients = [torch.autograd.grad(loss, (viewer, video)) for loss in (whole, sum(parts))]
    for mine, plainly in zip(*gradients, strict=True):
        np.testing.assert_allclose(mine, plainly, atol=1e-7)


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


def shared_case(num=300, candidates=90, catalogue=200):
    generator = torch.Generator().manual_seed(4)
    viewer, clicked, vectors = (
        torch.nn.functional.normalize(torch.randn(n, 8, generator=generator), dim=1) for n in (num, num, candidates)
    )
    rows = torch.randperm(catalogue, generator=generator)[:candidates].sort().values
    own = torch.randint(0, catalogue, (num,), generator=generator)
    return [t.requires_grad_() for t in (viewer, clicked, vectors)], rows, own, torch.linspace(-3.0, 0.0, candidates)


def test_shared_softmax_and_gradients_equal_autograd():
    tensors, rows, own, log_chance = shared_case()
    at, uploaded_at = torch.arange(300), torch.randint(0, 400, (90,), generator=torch.Generator().manual_seed(2))
    twins = [t.detach().clone().requires_grad_() for t in tensors]
    masked = (rows[None] == own[:, None]) | (uploaded_at[None] > at[:, None])
    others = (twins[0] @ twins[2].T / 0.1 - log_chance).masked_fill(masked, -torch.inf)
    logits = torch.cat([(twins[0] * twins[1]).sum(dim=1, keepdim=True) / 0.1, others], dim=1)
    expected = torch.nn.functional.cross_entropy(logits, torch.zeros(300, dtype=torch.long))
    found = shared_softmax(tensors[0], tensors[1], own, Shared(tensors[2], rows, log_chance, uploaded_at), 0.1, at)
    (3 * expected).backward()
    (3 * found).backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    for mine, plainly in zip(tensors, twins, strict=True):
        np.testing.assert_allclose(mine.grad, plainly.grad, atol=1e-6)


def test_with_every_video_it_is_the_full_softmax():
    generator = torch.Generator().manual_seed(6)
    viewer, vectors = torch.randn(50, 8, generator=generator), torch.randn(30, 8, generator=generator)
    own = torch.randint(0, 30, (50,), generator=generator)
    shared = Shared(vectors, torch.arange(30), torch.zeros(30))
    found = shared_softmax(viewer, vectors[own], own, shared, 0.7)
    assert found.item() == pytest.approx(torch.nn.functional.cross_entropy(viewer @ vectors.T / 0.7, own).item(), rel=1e-5)


def test_the_sampled_sum_estimates_the_full_one_without_bias():
    generator = torch.Generator().manual_seed(7)
    viewer, vectors = torch.randn(1, 4, generator=generator), torch.randn(40, 4, generator=generator)
    truth = torch.logsumexp(viewer @ vectors.T, dim=1).exp().item()
    chance = torch.linspace(0.1, 0.9, 40)
    sums = []
    for _ in range(1_500):
        rows = (torch.rand(40, generator=generator) < chance).nonzero()[:, 0]
        rows = rows if len(rows) else torch.tensor([39])
        shared = Shared(vectors[rows], rows, chance[rows].log())
        own = viewer @ vectors[0]
        loss = shared_softmax(viewer, vectors[:1], torch.tensor([0]), shared, 1.0)
        sums.append((loss + own).exp().item())
    assert np.mean(sums) == pytest.approx(truth, rel=0.05)
