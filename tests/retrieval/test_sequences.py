from dataclasses import replace

import numpy as np
import pytest
import torch

from core.rng import stream
from retrieval import export, index, train
from retrieval.config import TRANSFORMER, IndexConfig, TransformerConfig
from retrieval.encoder import VECTORS, ViewerEncoder
from retrieval.examples import InteractionParts, RetrievalExamples, bare_schema, from_interactions
from retrieval.runs import RunSampler
from retrieval.sequences import SequenceBatcher
from retrieval.towers import TwoTower

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def ordered(tiny):
    return replace(
        tiny, viewer=TRANSFORMER, hidden=(), history_length=16, epochs=8, learning_rate=0.003, dense_ids=True,
        transformer=TransformerConfig(layers=1, hidden=32, dropout=0.1, batch_clicks=512),
    )  # fmt: skip


def batch_of(config, schema, catalogue, examples):
    tower = TwoTower(config, schema, catalogue)
    tower.known_V[:] = True
    runs = RunSampler(examples, config.history_length + 1).epoch(config.transformer.batch_clicks, stream(0, "test"))[0]
    return tower, runs, SequenceBatcher(tower, catalogue, examples).step(runs, stream(1, "test"))


def test_moments_are_asked_after_what_came_before(planted, ordered):
    examples = from_interactions(planted.interactions, bare_schema(planted.catalogue, 16))
    _, runs, batch = batch_of(replace(ordered, id_dropout=0.0), bare_schema(planted.catalogue, 16), planted.catalogue, examples)
    unique = batch.videos["video_id"].values().numpy()
    states_per_run = batch.history_SL.shape[1] + 1
    ends = np.cumsum(runs.lengths)
    expected = []
    for s, (end, length, whole) in enumerate(zip(ends, runs.lengths, runs.whole, strict=True)):
        videos = examples.video_rows[runs.positions[end - length : end]]
        assert unique[batch.history_SL[s, : length - 1]].tolist() == videos[:-1].tolist()
        expected += [(s * states_per_run + step, videos[step]) for step in range(0 if whole else 1, length)]
    assert list(zip(batch.moment_B.tolist(), unique[batch.clicked_B], strict=True)) == expected
    assert (unique[batch.candidate_C] == batch.candidate_row_C.numpy()).all()


def test_candidates_come_with_their_chance(planted, ordered):
    schema = bare_schema(planted.catalogue, 16)
    examples = from_interactions(planted.interactions, schema)
    config = replace(ordered, uniform_negatives=50, batch_negatives=30)
    tower = TwoTower(config, schema, planted.catalogue)
    batcher, share = (
        SequenceBatcher(tower, planted.catalogue, examples),
        planted.interactions.counts() / len(planted.interactions),
    )
    random, times = stream(3, "test"), np.zeros(len(planted.catalogue))
    chance = np.full(len(times), np.nan)
    for _ in range(600):
        clicked = random.choice(planted.interactions.video_rows, size=200)
        drawn, log_chance = batcher._candidates(clicked, random)
        times[drawn] += 1
        chance[drawn] = np.exp(log_chance)
    assert chance == pytest.approx(1 - (1 - 1 / len(times)) ** 50 * (1 - share) ** 30, rel=1e-5)
    assert times / 600 == pytest.approx(chance, abs=0.09)
    everything, certain = SequenceBatcher(
        TwoTower(replace(config, uniform_negatives=10_000), schema, planted.catalogue), planted.catalogue, examples
    )._candidates(clicked, random)
    assert (everything == np.arange(len(times))).all()
    assert (certain == 0).all()


def test_towers_learn_the_next_video_and_survive_export(planted, ordered, tmp_path):
    """Viewers who walk through a fixed cycle of videos: the last one tells the next."""
    schema, log = bare_schema(planted.catalogue, 16), planted.interactions
    cycle = np.arange(40, dtype=np.int32)
    begin = np.repeat(stream(5, "test").integers(0, 40, len(log.viewer_ids)), np.diff(log.offsets))
    place = np.arange(len(log)) - np.repeat(log.offsets[:-1], np.diff(log.offsets))
    log = replace(log, video_rows=cycle[(begin + place) % 40])
    losses = []
    tower = train.train(
        replace(ordered, epochs=10, learning_rate=0.01), schema, planted.catalogue, from_interactions(log, schema),
        on_step=lambda done, total, loss: losses.append(loss),
    )  # fmt: skip
    assert losses[-1] < 0.5 * losses[0]
    export.write(tower, planted.catalogue, tmp_path, at=41 * DAY_MS)
    encoder, vectors = ViewerEncoder.load(tmp_path), np.load(tmp_path / VECTORS)
    part = InteractionParts(log, schema).before(log.viewer_ids, np.full(len(log.viewer_ids), 41 * DAY_MS))
    found = (encoder.encode(part) @ vectors.T).argmax(axis=1)
    last = log.video_rows[log.offsets[1:] - 1]
    assert (found == (last + 1) % 40).mean() > 0.8
    _, rows = index.build(vectors, IndexConfig()).search(encoder.encode(part), 1)
    assert (rows[:, 0] == found).all()


def test_the_exported_viewer_equals_torch(planted, ordered, rich_schema, rich_part, tmp_path):
    """With codes and numbers beside the history, histories of every length, and videos newer than the release."""
    log = planted.interactions
    examples = RetrievalExamples(rich_part, log.video_rows, log.at, log.viewer_ids[log.viewer_rows])
    config = replace(ordered, hidden=(16,), epochs=1, history_length=8)
    tower = train.train(config, rich_schema, planted.catalogue, examples)
    export.write(tower, planted.catalogue, tmp_path, at=41 * DAY_MS)
    part = rich_part(np.arange(50))
    raw, _ = export.video_arrays(tower, planted.catalogue, 41 * DAY_MS)
    unknown = part.history_BL.copy()
    unknown[:, 1] = np.where(unknown[:, 1] >= 0, len(raw) + 7, -1)
    encoder = ViewerEncoder.load(tmp_path)
    for history_BL in (part.history_BL, unknown, np.full_like(part.history_BL, -1)):
        found = encoder.encode(replace(part, history_BL=history_BL))
        lists = [line[(line >= 0) & (line < len(raw))][:8][::-1] for line in history_BL]
        with torch.no_grad():
            states = torch.stack([tower.history(torch.from_numpy(raw[rows])[None])[0, -1] for rows in lists])
            from retrieval.batches import viewer_features

            codes = tower.code_vectors(viewer_features(rich_schema, part.codes_BC, tower.device))
            expected = tower.viewer_vectors(states, codes, torch.from_numpy(part.dense_BF)).numpy()
        np.testing.assert_allclose(found, expected, atol=2e-5)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)


def test_the_same_seed_gives_the_same_towers(planted, ordered):
    schema = bare_schema(planted.catalogue, 16)
    examples = from_interactions(planted.interactions, schema)
    config = replace(ordered, epochs=1)
    first, second = (train.train(config, schema, planted.catalogue, examples).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
