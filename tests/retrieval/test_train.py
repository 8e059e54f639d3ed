from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import BadInput
from core.rng import stream
from retrieval import index as indexes
from retrieval.batches import Batcher
from retrieval.config import IndexConfig
from retrieval.encoder import ViewerEncoder
from retrieval.examples import InteractionParts, bare_schema, from_interactions
from retrieval.export import VECTORS, write
from retrieval.towers import TwoTower
from retrieval.train import step_loss, train

DAY_MS = 86_400_000
SPLIT = 38 * DAY_MS
GOLDEN = [7.47513, 6.69286, 5.70611, 5.71623, 5.39648, 5.67651]


@pytest.fixture(scope="module")
def fitted(planted, tiny):
    """Towers on everything before the split, and the loss of each step."""
    schema, losses = bare_schema(planted.catalogue), []
    examples = from_interactions(planted.interactions.before(SPLIT), schema)
    tower = train(tiny, schema, planted.catalogue, examples, on_step=lambda done, total, loss: losses.append(loss))
    return tower, losses


@pytest.fixture(scope="module")
def served(fitted, planted, tmp_path_factory):
    """The same towers without torch: test positions, viewer vectors, video vectors."""
    path = tmp_path_factory.mktemp("towers")
    write(fitted[0], planted.catalogue, path, at=SPLIT)
    log = planted.interactions
    positions = np.flatnonzero(log.at >= SPLIT)
    parts = InteractionParts(log, bare_schema(planted.catalogue))
    part = parts.before(log.viewer_ids[log.viewer_rows[positions]], log.at[positions])
    return positions, ViewerEncoder.load(path).encode(part), np.load(path / VECTORS)


def test_the_losses_of_a_seed_are_golden(fitted):
    _, losses = fitted
    np.testing.assert_allclose(losses[:6], GOLDEN, rtol=1e-3)
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 1.0


def test_recall_is_far_above_popularity(planted, served):
    positions, viewers, videos = served
    target, k = planted.interactions.video_rows[positions], 40
    _, found = indexes.build(videos, IndexConfig()).search(viewers, k)
    popular = np.argsort(-planted.interactions.before(SPLIT).counts(), kind="stable")[:k]
    towers, popularity = (found == target[:, None]).any(axis=1).mean(), np.isin(target, popular).mean()
    assert towers > 0.75
    assert towers > popularity + 0.2


def test_what_is_retrieved_is_what_the_viewer_likes(planted, served):
    positions, viewers, videos = served
    tastes = planted.tastes[planted.interactions.viewer_rows[positions]]
    _, found = indexes.build(videos, IndexConfig()).search(viewers, 20)
    liked = (planted.topic[found][:, :, None] == tastes[:, None, :]).any(axis=2)
    assert liked.mean() > 0.9


def test_a_video_nobody_watched_sits_beside_its_topic(planted, served):
    _, _, videos = served
    watched = np.setdiff1d(np.arange(len(videos)), planted.cold)
    nearest = watched[np.argsort(-(videos[planted.cold] @ videos[watched].T), axis=1)[:, :10]]
    assert (planted.topic[nearest] == planted.topic[planted.cold][:, None]).mean() > 0.85


def test_a_viewer_without_history_gets_the_popular_topics_of_nobody_in_particular(planted, fitted, tmp_path):
    schema = bare_schema(planted.catalogue)
    write(fitted[0], planted.catalogue, tmp_path, at=SPLIT)
    part = InteractionParts(planted.interactions, schema).before(np.array([-5]), np.array([SPLIT]))
    vector = ViewerEncoder.load(tmp_path).encode(part)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    counts = planted.interactions.before(SPLIT).counts()
    top = np.argsort(-(np.load(tmp_path / VECTORS) @ vector[0]))[:40]
    assert counts[top].mean() > 1.5 * counts.mean()


def test_a_warm_start_goes_on_where_the_first_run_ended(planted, fitted, tiny):
    tower, losses = fitted
    schema, more = bare_schema(planted.catalogue), []
    plan = replace(tiny, epochs=1, seed=5)
    train(
        plan,
        schema,
        planted.catalogue,
        from_interactions(planted.interactions, schema),
        warm_start=tower,
        on_step=lambda done, total, loss: more.append((done, total, loss)),
    )
    assert more[-1][:2] == (len(more), len(more))
    assert more[0][2] < losses[0] - 1.0


def test_nothing_to_learn_from_is_refused(planted, tiny):
    schema = bare_schema(planted.catalogue)
    with pytest.raises(BadInput, match="at least 2 clicks"):
        train(tiny, schema, planted.catalogue, from_interactions(planted.interactions.before(0), schema))


def test_bfloat16_learns_the_same(planted, fitted, tiny, monkeypatch):
    monkeypatch.setattr("retrieval.train.has_bfloat16", lambda device: True)
    schema, losses = bare_schema(planted.catalogue), []
    examples = from_interactions(planted.interactions.before(SPLIT), schema)
    tower = train(
        replace(tiny, precision="bfloat16"), schema, planted.catalogue, examples,
        on_step=lambda done, total, loss: losses.append(loss),
    )  # fmt: skip
    assert losses != fitted[1]
    np.testing.assert_allclose(losses, fitted[1], rtol=0.02)
    assert {weight.dtype for weight in tower.parameters()} == {torch.float32}


def test_bfloat16_without_instructions_for_it_is_slow_and_says_so(planted, tiny, monkeypatch):
    monkeypatch.setattr("retrieval.train.has_bfloat16", lambda device: False)
    schema = bare_schema(planted.catalogue)
    few = from_interactions(planted.interactions.before(21 * DAY_MS), schema)
    with pytest.warns(UserWarning, match="slower than float32"):
        train(replace(tiny, precision="bfloat16", epochs=1), schema, planted.catalogue, few)


def test_a_step_has_the_same_gradient_bit_for_bit_however_threads_take_turns(planted, tiny):
    """At the demo's size, where torch divides the sum over rows that recur between threads."""
    config = replace(tiny, dim=64, uniform_negatives=4_096, id_dropout=0.0)
    schema = bare_schema(planted.catalogue)
    tower = TwoTower(config, schema, planted.catalogue).eval()
    batcher = Batcher(tower, planted.catalogue, from_interactions(planted.interactions, schema))
    batch = batcher.step(np.arange(1_024), stream(1, "test"))
    layers, threads = list(tower.content.parameters()), torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        first, *others = [torch.autograd.grad(step_loss(tower, batch), layers) for _ in range(6)]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))
