from dataclasses import replace

import numpy as np
import pytest

from core.rng import stream
from data.interactions import group
from retrieval.batches import Batcher, InteractionParts, bare_schema, from_interactions, history_part
from retrieval.encoder import pool_weights
from retrieval.towers import TwoTower, pool

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def short(planted):
    return replace(bare_schema(planted.catalogue), history_length=4)


def small_log(ordered=True):
    """Viewer 1 watches rows 0…5 (3 and 4 in the same instant), viewer 2 watches rows 9 and 8."""
    viewers = np.array([1, 1, 1, 1, 1, 1, 2, 2])
    rows = np.array([0, 1, 2, 3, 4, 5, 9, 8], dtype=np.int32)
    at = np.array([1, 2, 3, 4, 4, 6, 1, 5]) * HOUR_MS
    return group(viewers, rows, at, 10, ordered=ordered)


def test_history_is_strictly_earlier_and_most_recent_first(short):
    part = InteractionParts(small_log(), short).of(np.arange(8))
    expected = [
        [-1] * 4,
        [0, -1, -1, -1],
        [1, 0, -1, -1],
        [2, 1, 0, -1],
        [2, 1, 0, -1],
        [4, 3, 2, 1],
        [-1] * 4,
        [9, -1, -1, -1],
    ]
    assert part.history_BL.tolist() == expected
    assert part.history_age_BL[5].tolist() == [2, 2, 3, 4]
    assert part.history_age_BL[7].tolist() == [4, 0, 0, 0]


def test_viewers_at_an_instant(short):
    at = np.array([4, 4, 100]) * HOUR_MS
    part = InteractionParts(small_log(), short).before(np.array([1, 7, 2]), at, with_seen=True)
    assert part.history_BL.tolist() == [[2, 1, 0, -1], [-1] * 4, [8, 9, -1, -1]]
    assert [rows.tolist() for rows in part.seen] == [[0, 1, 2], [], [9, 8]]
    assert part.dense_BF.shape == (3, 0)


def test_without_order_history_is_any_of_the_others(short):
    log = small_log(ordered=False)
    part = InteractionParts(log, short, seed=3).of(np.arange(8))
    for own, history in zip(log.video_rows, part.history_BL, strict=True):
        found = history[history >= 0]
        assert own not in found
        assert len(set(found)) == len(found)
        assert set(found) <= ({8, 9} if own > 5 else set(range(6)))
    assert (part.history_BL >= 0).sum(axis=1).tolist() == [4] * 6 + [1] * 2
    assert (part.history_age_BL == 0).all()


def test_examples_may_begin_late_with_full_histories(short):
    examples = from_interactions(small_log(), short, since=5 * HOUR_MS)
    assert examples.num == 2
    assert examples.video_rows.tolist() == [5, 8]
    assert examples.viewer_part(np.array([0])).history_BL.tolist() == [[4, 3, 2, 1]]


def test_an_empty_log_has_viewers_without_history(short):
    empty = group(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64), 10)
    assert InteractionParts(empty, short).before(np.array([5]), np.array([9])).history_BL.tolist() == [[-1] * 4]


def test_given_histories_are_cut_to_the_latest(short):
    part = history_part([np.arange(6), np.array([], dtype=np.int32)], short)
    assert part.history_BL.tolist() == [[5, 4, 3, 2], [-1] * 4]
    assert part.seen[0].tolist() == list(range(6))


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
