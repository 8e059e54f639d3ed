from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import ConfigError
from core.rng import stream
from retrieval import export, train
from retrieval.bags import BagBatcher, bag_loss
from retrieval.config import BAG, DOT, BagConfig
from retrieval.encoder import VECTORS, ViewerEncoder
from retrieval.examples import bare_schema, from_interactions, history_part
from retrieval.losses import multinomial
from retrieval.towers import TwoTower

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def bag(tiny):
    return replace(
        tiny, viewer=BAG, hidden=(32,), similarity=DOT, temperature=1.0, dense_ids=True, learning_rate=0.01, id_dropout=0.0,
        bag=BagConfig(batch_viewers=50), epochs=15,
    )  # fmt: skip


@pytest.fixture(scope="module")
def schema(planted):
    return bare_schema(planted.catalogue, 100)


def test_every_video_of_a_viewer_is_wanted_once(planted, bag, schema):
    tower = TwoTower(bag, schema, planted.catalogue)
    batcher = BagBatcher(tower, planted.catalogue, from_interactions(planted.interactions, schema))
    viewers = np.array([3, 0, 7])
    batch = batcher.step(viewers, stream(0, "test"))
    rows = np.arange(len(planted.catalogue))  # 256 uniform ones and the batch's own do not cover it
    assert len(batch.log_chance_C) < len(rows)
    for place, viewer in enumerate(viewers):
        own = np.unique(planted.interactions.history(viewer))
        assert (batch.owner_T == place).sum() == len(own)
    left = len(batch.bags.video_H) / len(batch.watched_T)
    assert 0.3 < left < 0.7
    assert torch.isfinite(bag_loss(tower, batch))


def test_multinomial_is_the_mean_log_share():
    generator = torch.Generator().manual_seed(0)
    viewer, video = torch.randn(4, 8, generator=generator), torch.randn(30, 8, generator=generator)
    owner, watched = torch.tensor([0, 0, 1, 3, 3, 3]), torch.tensor([4, 7, 0, 9, 29, 4])
    shares = torch.log_softmax(viewer @ video.T / 0.5, dim=1)
    found = multinomial(viewer, video, torch.zeros(30), owner, watched, 0.5)
    assert found.item() == pytest.approx(-shares[owner, watched].mean().item(), rel=1e-5)


def test_a_sample_of_candidates_estimates_the_sum_of_all():
    """A viewer's own videos count in full, the others for those that were not drawn."""
    generator = torch.Generator().manual_seed(1)
    viewer, video = torch.randn(1, 4, generator=generator), torch.randn(40, 4, generator=generator)
    chance, own = torch.linspace(0.2, 0.9, 40), torch.tensor([3, 11])
    truth = torch.logsumexp(viewer @ video.T, dim=1).exp().item()
    sums = []
    for _ in range(1_500):
        drawn = torch.rand(40, generator=generator) < chance
        drawn[own] = True
        rows = drawn.nonzero()[:, 0]
        places = torch.searchsorted(rows, own)
        loss = multinomial(viewer, video[rows], chance[rows].log(), torch.zeros(2, dtype=torch.long), places, 1.0)
        sums.append((loss + (viewer @ video[own].T).mean()).exp().item())
    assert np.mean(sums) == pytest.approx(truth, rel=0.05)


def test_towers_find_the_rest_of_a_bag_and_survive_export(planted, bag, schema, tmp_path):
    log = planted.interactions
    tower = train.train(bag, schema, planted.catalogue, from_interactions(log, schema))
    export.write(tower, planted.catalogue, tmp_path, at=41 * DAY_MS)
    encoder, vectors = ViewerEncoder.load(tmp_path), np.load(tmp_path / VECTORS)
    halves = [np.unique(log.history(viewer))[::2] for viewer in log.viewer_ids]
    scores = encoder.encode(history_part(halves, schema)) @ vectors.T
    best = np.argsort(-scores, axis=1)[:, :10]
    in_taste = (planted.topic[best][:, :, None] == planted.tastes[:, None, :]).any(axis=2)
    assert in_taste.mean() > 0.9  # two topics of eight
    with torch.no_grad():
        raw = torch.from_numpy(export.video_arrays(tower, planted.catalogue, 41 * DAY_MS)[0])
        summed = torch.stack([raw[rows].sum(dim=0) / len(rows) ** 0.5 for rows in halves])
        expected = tower.viewer_vectors(summed, None, torch.zeros(len(halves), 0)).numpy()
    np.testing.assert_allclose(encoder.encode(history_part(halves, schema)), expected, atol=2e-5)


def test_other_features_are_refused(planted, bag, rich_schema):
    with pytest.raises(ConfigError, match="use pools or transformer"):
        TwoTower(bag, rich_schema, planted.catalogue)
