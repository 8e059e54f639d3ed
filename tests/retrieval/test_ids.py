"""Towers trained through tables that have fewer rows than videos."""

import copy
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from core.errors import ConfigError
from core.rng import stream
from data.catalogue import Catalogue
from data.interactions import group
from embeddings.compression import hashed_row
from embeddings.id_tables import ADMITTED, HASH, QUOTIENT_REMAINDER, IdTableConfig
from retrieval import index as indexes
from retrieval.batches import Batcher
from retrieval.config import TRANSFORMER, IndexConfig, TransformerConfig, TwoTowerConfig
from retrieval.encoder import VideoEncoder, ViewerEncoder
from retrieval.examples import InteractionParts, bare_schema, from_interactions
from retrieval.export import VECTORS, video_arrays, write
from retrieval.towers import VIDEO_ID, TwoTower
from retrieval.train import step_loss, train

DAY_MS = 86_400_000
SPLIT = 38 * DAY_MS
SHARE = 0.25
FEWER = [HASH, QUOTIENT_REMAINDER, ADMITTED]


@pytest.fixture(scope="module")
def trained(planted, tiny):
    """Towers through each scheme, on everything before the split."""
    schema = bare_schema(planted.catalogue)
    examples = from_interactions(planted.interactions.before(SPLIT), schema)
    plans = {scheme: replace(tiny, ids=IdTableConfig(scheme, SHARE)) for scheme in FEWER}
    return {scheme: train(plan, schema, planted.catalogue, examples) for scheme, plan in plans.items()}


@pytest.fixture(scope="module")
def grown(planted):
    """The catalogue with two more videos, and clicks after the split that are on these two and on some of the others."""
    kept = planted.catalogue.frame
    new = kept.head(2).with_columns(video_id=pl.Series([1, 100_000]))
    catalogue = Catalogue.of(pl.concat([kept, new]).sort("video_id"))
    rows = catalogue.rows(np.tile([1, 100_000, *kept["video_id"][:6]], 4))
    at = SPLIT + np.arange(len(rows), dtype=np.int64)
    return catalogue, group(np.arange(len(rows), dtype=np.int64) // 8, rows, at, len(catalogue))


@pytest.mark.parametrize("scheme", FEWER)
def test_towers_through_a_quarter_of_the_rows_learn_and_are_served(trained, planted, tmp_path, scheme):
    tower, log = trained[scheme], planted.interactions
    assert len(tower.video_tables.array(VIDEO_ID)) <= SHARE * len(planted.catalogue)
    write(tower, planted.catalogue, tmp_path, at=SPLIT)
    positions = np.flatnonzero(log.at >= SPLIT)
    parts = InteractionParts(log, bare_schema(planted.catalogue))
    part = parts.before(log.viewer_ids[log.viewer_rows[positions]], log.at[positions])
    videos, target, k = np.load(tmp_path / VECTORS), log.video_rows[positions], 40
    _, found = indexes.build(videos, IndexConfig()).search(ViewerEncoder.load(tmp_path).encode(part), k)
    popular = np.argsort(-log.before(SPLIT).counts(), kind="stable")[:k]
    towers, popularity = (found == target[:, None]).any(axis=1).mean(), np.isin(target, popular).mean()
    assert towers > 0.7
    assert towers > popularity + 0.15


@pytest.mark.parametrize("scheme", FEWER)
def test_a_video_without_a_row_is_its_content_and_codes(trained, planted, tmp_path, scheme):
    tower, catalogue = trained[scheme], planted.catalogue
    write(tower, catalogue, tmp_path, at=SPLIT)
    described = VideoEncoder.load(tmp_path).encode(catalogue.content, catalogue.codes, catalogue.uploaded_at, SPLIT)
    without_id = np.isclose(np.load(tmp_path / VECTORS), described, atol=1e-5).all(axis=1)
    assert (without_id == ~tower.known_V).all()
    assert without_id[planted.cold].all()


def test_only_admitted_videos_have_a_row(trained, planted):
    clicks = planted.interactions.before(SPLIT)
    tower = trained[ADMITTED]
    assert tower.known_V.sum() == tower.ids.num_rows == 80
    assert not tower.known_V[clicks.counts() == 0].any()
    latest = clicks.video_rows[np.argsort(clicks.at, kind="stable")][-10:]
    assert tower.known_V[latest].all()


def test_the_gradient_reaches_remainders_and_quotients(planted, tiny):
    schema = bare_schema(planted.catalogue)
    tower = TwoTower(replace(tiny, ids=IdTableConfig(QUOTIENT_REMAINDER, SHARE), id_dropout=0.0), schema, planted.catalogue)
    tower.known_V[:] = True
    batcher = Batcher(tower, planted.catalogue, from_interactions(planted.interactions, schema))
    before, m = tower.video_tables.array(VIDEO_ID), tower.ids.remainders
    step_loss(tower, batcher.step(np.arange(256), stream(1, "test"))).backward()
    moved = (tower.video_tables.array(VIDEO_ID) != before).any(axis=1)
    assert moved[:m].mean() > 0.9
    assert moved[m:].mean() > 0.9


@pytest.mark.parametrize("scheme", FEWER)
def test_the_id_of_a_video_is_the_sum_of_its_rows(trained, planted, scheme):
    tower, video_ids = trained[scheme], planted.catalogue.video_ids
    nobody = copy.copy(tower)
    nobody.known_V = np.zeros_like(tower.known_V)
    id_VD = video_arrays(tower, planted.catalogue, at=SPLIT)[0] - video_arrays(nobody, planted.catalogue, at=SPLIT)[0]
    table, number = tower.video_tables.array(VIDEO_ID), np.arange(len(video_ids))
    if scheme == HASH:
        wanted = table[hashed_row(video_ids, len(table))]
    elif scheme == QUOTIENT_REMAINDER:
        m = tower.ids.remainders
        wanted = table[number % m] + table[m + number // m]
    else:
        wanted = table[tower.ids.map.rows(video_ids)]
    np.testing.assert_allclose(id_VD, np.where(tower.known_V[:, None], wanted, 0.0), atol=1e-5)


@pytest.mark.parametrize("scheme", FEWER)
def test_a_warm_start_over_a_grown_catalogue_goes_on_where_the_first_run_ended(trained, planted, grown, scheme):
    before, (catalogue, clicks) = trained[scheme], grown
    schema = bare_schema(catalogue)
    still = replace(before.config, epochs=1, learning_rate=1e-12, code_learning_rate=1e-12, table_learning_rate=1e-12)
    after = train(still, schema, catalogue, from_interactions(clicks, schema), warm_start=before)
    rows = catalogue.rows(planted.catalogue.video_ids)
    stayed = before.known_V & after.known_V[rows]
    old, new = (video_arrays(t, c, at=SPLIT)[1] for t, c in ((before, planted.catalogue), (after, catalogue)))
    np.testing.assert_allclose(new[rows][stayed], old[stayed], atol=1e-4)
    assert stayed.sum() >= before.known_V.sum() - 8
    assert after.known_V[catalogue.rows([1, 100_000])].all()
    assert (after.ids.rows(planted.catalogue.video_ids[stayed]) == before.ids.rows(planted.catalogue.video_ids[stayed])).all()


def test_who_was_not_seen_for_long_makes_room(trained, planted, grown):
    before, (catalogue, clicks) = trained[ADMITTED], grown
    schema = bare_schema(catalogue)
    after = train(before.config, schema, catalogue, from_interactions(clicks, schema), warm_start=before)
    assert after.ids.num_rows == before.ids.num_rows
    assert after.known_V.sum() == before.known_V.sum() == before.ids.num_rows
    assert after.known_V[np.unique(clicks.video_rows)].all()


def test_training_goes_on_with_the_same_rows_or_not_at_all(trained, planted):
    schema = bare_schema(planted.catalogue)
    other = replace(trained[HASH].config, ids=IdTableConfig(HASH, 0.5))
    examples = from_interactions(planted.interactions, schema)
    with pytest.raises(ConfigError, match="train from nothing"):
        train(other, schema, planted.catalogue, examples, warm_start=trained[HASH])


@pytest.mark.parametrize("scheme", FEWER)
def test_towers_that_read_in_order_train_through_fewer_rows(planted, tiny, scheme):
    plan = replace(
        tiny, viewer=TRANSFORMER, hidden=(), history_length=10, epochs=3, learning_rate=0.003, dense_ids=True,
        transformer=TransformerConfig(layers=1, hidden=32, batch_clicks=512), ids=IdTableConfig(scheme, SHARE),
    )  # fmt: skip
    schema, losses = bare_schema(planted.catalogue, 10), []
    examples = from_interactions(planted.interactions, schema)
    tower = train(plan, schema, planted.catalogue, examples, on_step=lambda done, total, loss: losses.append(loss))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.5
    assert all(torch.isfinite(weight).all() for weight in tower.parameters())


def test_too_few_rows_for_pairs_and_solved_towers_are_refused(planted, tiny):
    schema = bare_schema(planted.catalogue)
    with pytest.raises(ConfigError, match="too few for a pair"):
        TwoTower(replace(tiny, ids=IdTableConfig(QUOTIENT_REMAINDER, 0.05)), schema, planted.catalogue)
    with pytest.raises(ConfigError, match="a row per video"):
        replace(TwoTowerConfig.set_of_videos(), ids=IdTableConfig(HASH, 0.5))
