"""Both parts against the matrices they stand for, the choice of settings, and towers that survive export."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import ConfigError
from core.ragged import Ragged
from core.rng import stream
from data.interactions import group
from retrieval import export, solved, train
from retrieval.baselines import watched
from retrieval.config import SolvedConfig, TwoTowerConfig
from retrieval.encoder import VECTORS, VideoEncoder, ViewerEncoder
from retrieval.examples import bare_schema, from_interactions, history_part
from retrieval.neighbours import Ease
from retrieval.solved_graphs import HistorySolver
from retrieval.towers import TwoTower

DAY_MS = 86_400_000
NO_CONTENT = np.zeros((0, 0), dtype=np.float32)


@pytest.fixture(scope="module")
def plan():
    return replace(TwoTowerConfig.set_of_videos(), dim=32, solved=SolvedConfig(sweeps=4))


@pytest.fixture(scope="module")
def schema(planted):
    return bare_schema(planted.catalogue, 100)


@pytest.fixture(scope="module")
def tower(planted, plan, schema):
    return train.train(plan, schema, planted.catalogue, from_interactions(planted.interactions, schema))


def small_log(num_viewers=40, num_videos=12):
    pairs = np.argwhere(stream(3, "small log").random((num_viewers, num_videos)) < 0.4)
    return group(pairs[:, 0], pairs[:, 1].astype(np.int32), np.zeros(len(pairs), dtype=np.int64), num_videos, ordered=False)


def test_all_directions_together_are_ease():
    log, histories = small_log(), Ragged.of([[0, 3, 7], [5], [1, 2, 3, 4]])
    strength, direction = solved.principal(log, 12, seed=1)
    np.testing.assert_allclose(strength, np.linalg.svd(watched(log).toarray())[1], rtol=1e-4)
    linear = direction * (strength / np.sqrt(strength**2 + 20.0))
    found, expected = (
        solved.linear_scores(linear, histories),
        Ease(l2=20.0, decay=1.0, max_videos=12).fit(log).scores(histories),
    )
    unseen = np.ones((3, 12), dtype=bool)
    unseen[histories.owners, histories.values] = False
    np.testing.assert_allclose(found[unseen], expected[unseen], atol=1e-4)


def test_the_strongest_directions_are_those_of_the_matrix():
    log = small_log(60, 40)
    strength, direction = solved.principal(log, 4, seed=1)
    _, all_strengths, axes = np.linalg.svd(watched(log).toarray())
    np.testing.assert_allclose(strength, all_strengths[:4], rtol=1e-3)
    assert np.abs((direction.T * axes[:4]).sum(axis=1)) == pytest.approx(np.ones(4), abs=1e-2)
    assert solved.principal(log, 48, seed=1)[0][40:].max() == 0  # no more than the matrix has


def test_the_graph_solves_the_viewers_equations(planted):
    log = planted.interactions
    content = np.zeros((log.num_videos, 0), dtype=np.float32)
    solution = solved.solve(log, content, 32, 4, solved.Settings(alpha=12.0, l2=0.002, mix=0.0), seed=1)
    solver = HistorySolver(32)
    solver.take(solution)
    histories = [np.unique(log.history(viewer)) for viewer in log.viewer_ids[:20]]
    longest = max(map(len, histories))
    raw = np.stack([np.pad(solution.video_VD[rows], ((0, longest - len(rows)), (0, 0)), mode="edge") for rows in histories])
    found = solver.last(torch.from_numpy(raw), torch.tensor([len(rows) for rows in histories])).numpy()
    factor = solution.video_VD[:, :8].astype(np.float64)
    for viewer, rows in zip(found, histories, strict=True):
        penalty = 0.002 * (log.num_videos + 12.0 * len(rows)) * np.eye(8)
        left = factor.T @ factor + 11.0 * factor[rows].T @ factor[rows] + penalty
        expected = np.linalg.solve(left, 12.0 * factor[rows].sum(axis=0))
        np.testing.assert_allclose(viewer[:8], expected, atol=1e-3 * np.abs(expected).max())


def test_a_newcomer_is_shown_what_is_popular(planted, tower, tmp_path):
    export.write(tower, planted.catalogue, tmp_path, at=41 * DAY_MS)
    encoder, vectors = ViewerEncoder.load(tmp_path), np.load(tmp_path / VECTORS)
    scores = encoder.encode(history_part([np.zeros(0, dtype=np.int32)], bare_schema(planted.catalogue, 100)))[0] @ vectors.T
    assert np.corrcoef(scores, planted.interactions.counts())[0, 1] > 0.6


def test_towers_find_the_rest_of_a_set_and_survive_export(planted, tower, schema, tmp_path):
    log = planted.interactions
    export.write(tower, planted.catalogue, tmp_path, at=41 * DAY_MS)
    encoder, vectors = ViewerEncoder.load(tmp_path), np.load(tmp_path / VECTORS)
    halves = [np.unique(log.history(viewer))[::2] for viewer in log.viewer_ids]
    found = encoder.encode(history_part(halves, schema))
    best = np.argsort(-(found @ vectors.T), axis=1)[:, :10]
    assert (planted.topic[best][:, :, None] == planted.tastes[:, None, :]).any(axis=2).mean() > 0.9  # two topics of eight
    raw, _ = export.video_arrays(tower, planted.catalogue, 41 * DAY_MS)
    with torch.no_grad():
        for row in (0, 17):
            history = torch.from_numpy(raw[halves[row][::-1].copy()])[None]
            expected = tower.history.last(history, torch.tensor([len(halves[row])])).numpy()[0]
            np.testing.assert_allclose(found[row], expected, atol=1e-4)


def test_content_places_videos_that_nobody_watched(planted, tower, tmp_path):
    export.write(tower, planted.catalogue, tmp_path, at=41 * DAY_MS)
    vectors, cold = np.load(tmp_path / VECTORS), planted.cold
    warm = np.setdiff1d(np.arange(len(vectors)), cold)
    nearest = warm[np.argmax(vectors[cold] @ vectors[warm].T, axis=1)]
    assert (planted.topic[nearest] == planted.topic[cold]).mean() > 0.9
    uploads = VideoEncoder.load(tmp_path).encode(
        planted.catalogue.content[cold],
        np.zeros((len(cold), 3), dtype=np.int32),
        np.zeros(len(cold), dtype=np.int64),
        41 * DAY_MS,
    )
    np.testing.assert_allclose(uploads, vectors[cold], atol=1e-5)


def test_content_fades_as_interactions_come():
    content, vectors = np.eye(2, dtype=np.float32)[[0, 0, 1]], np.array([[4.0], [2.0], [0.0]], dtype=np.float32)
    counts = np.array([9, 1, 0])
    learned = solved.regression(content, vectors, counts)
    assert learned[:, 0] == pytest.approx([6.0 / 3.0, 0.0])  # ridge: 6 / (2 + 1)
    said = solved.leaned(content, np.array([[2.0], [5.0]]), vectors, counts, solved.Settings(trust=3.0, boost=2.0))
    assert said[:, 0] == pytest.approx([4.0 + 2.0 * 3 / 12, 2.0 + 2.0 * 3 / 4, 10.0])


def test_the_choice_is_the_best_of_what_was_tried(planted):
    heard = []
    content = planted.catalogue.content
    chosen = solved.choose(planted.interactions, content, 32, SolvedConfig(sweeps=2), 1, heard.append)
    assert len(heard) == solved.num_trials(content, SolvedConfig())
    assert chosen == solved.choose(planted.interactions, content, 32, SolvedConfig(sweeps=2), 1, heard.append)
    assert max(heard) > 0.1


def test_what_is_fixed_is_not_chosen(planted):
    heard = []
    fixed = SolvedConfig(sweeps=2, alpha=3.0, l2=0.01, ridge=30.0, mix=0.0)
    chosen = solved.choose(planted.interactions, NO_CONTENT, 32, fixed, 1, heard.append)
    assert (chosen.alpha, chosen.l2, chosen.ridge, chosen.mix) == (3.0, 0.01, 30.0, 0.0)
    assert len(heard) == solved.num_trials(NO_CONTENT, fixed) == 3


def test_a_warm_start_keeps_the_settings(planted, plan, schema, tower):
    heard = []
    examples = from_interactions(planted.interactions, schema)
    again = train.train(plan, schema, planted.catalogue, examples, warm_start=tower, on_step=lambda *step: heard.append(step))
    assert not heard
    assert again.history.chosen() == tower.history.chosen()


def test_what_cannot_be_solved_is_refused(plan, planted, rich_schema):
    with pytest.raises(ConfigError, match="similarity dot"):
        replace(plan, similarity="cosine")
    with pytest.raises(ConfigError, match="use pools or transformer"):
        TwoTower(plan, rich_schema, planted.catalogue)
