from dataclasses import replace

import numpy as np
import pytest

from core.rng import stream
from retrieval.batches import Batcher
from retrieval.encoder import pool_weights
from retrieval.examples import bare_schema, from_interactions
from retrieval.towers import TwoTower, pool


@pytest.fixture(scope="module")
def step(planted, tiny):
    schema = bare_schema(planted.catalogue)
    tower = TwoTower(replace(tiny, id_dropout=0.0), schema, planted.catalogue)
    tower.known_V[:] = True
    tower.known_V[planted.cold] = False
    examples = from_interactions(planted.interactions, schema)
    chosen = np.arange(0, len(planted.interactions), 100)
    batcher = Batcher(tower, planted.catalogue, examples)
    return tower, examples, chosen, batcher.step(chosen, stream(1, "test"))


def test_a_step_names_every_video_once(step, planted):
    _, examples, chosen, batch = step
    assert (batch.video_C[: len(chosen)].numpy() == examples.video_rows[chosen]).all()
    unique = np.unique(np.concatenate([batch.video_C.numpy(), *(r for r in examples.viewer_part(chosen).history_BL)]))
    unique = unique[unique >= 0]
    assert (unique[batch.candidate_C] == batch.video_C.numpy()).all()
    assert len(batch.content_UC) == len(unique)
    with_id = batch.videos["video_id"].lengths().numpy() == 1
    assert (with_id == ~np.isin(unique, planted.cold)).all()
    assert (batch.videos["video_id"].values().numpy() == unique[with_id]).all()


def test_pools_and_their_gradient_equal_the_plain_sum(step):
    tower, examples, chosen, batch = step
    history = examples.viewer_part(chosen).history_BL
    raw = tower.raw(batch.videos, batch.content_UC).detach().requires_grad_()
    pooled = pool(raw, batch.weights_PH, batch.bags)
    weights = pool_weights(history, tower.config.decay, tower.config.recent)
    unique = {int(row): u for u, row in enumerate(np.unique(np.concatenate([batch.video_C.numpy(), history[history >= 0]])))}
    plain = np.zeros((len(chosen), 3, tower.config.dim), dtype=np.float32)
    gradient = np.zeros(raw.shape, dtype=np.float32)
    wanted = np.random.default_rng(0).normal(size=plain.shape).astype(np.float32)
    for b, line in enumerate(history):
        for position, row in enumerate(line[line >= 0]):
            plain[b] += weights[b, :, position, None] * raw.detach()[unique[int(row)]].numpy()
            gradient[unique[int(row)]] += weights[b, :, position] @ wanted[b]
    np.testing.assert_allclose(pooled.detach().numpy(), plain.reshape(len(chosen), -1), atol=1e-5)
    (pooled * pooled.new_tensor(wanted.reshape(len(chosen), -1))).sum().backward()
    np.testing.assert_allclose(raw.grad.numpy(), gradient, atol=1e-4)


def test_id_dropout_empties_bags(planted, tiny):
    schema = bare_schema(planted.catalogue)
    tower = TwoTower(replace(tiny, id_dropout=0.5), schema, planted.catalogue)
    tower.known_V[:] = True
    batch = Batcher(tower, planted.catalogue, from_interactions(planted.interactions, schema)).step(
        np.arange(500), stream(1, "test")
    )
    assert batch.videos["video_id"].lengths().float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert (batch.videos["channel"].lengths() == 1).all()
