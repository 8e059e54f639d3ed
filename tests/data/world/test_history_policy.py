from dataclasses import replace

import numpy as np
import pytest

from data.world.config import HistoryConfig, tiny
from data.world.history_policy import FOLLOWED, RANDOM, HistoryPolicy
from data.world.world import World


def _open(history: HistoryConfig) -> tuple[World, HistoryPolicy]:
    world = World(replace(tiny(), history=history))
    policy = HistoryPolicy(world.truth)
    policy.open_day(world.config.start_at)
    return world, policy


def test_pages_hold_distinct_available_videos():
    world, policy = _open(HistoryConfig())
    pages = policy.pages(np.arange(500), 10, world.memory, np.random.default_rng(0))
    assert pages.video_rows_PK.max() < world.videos.num_available(world.config.start_at)
    assert all(len(set(page.tolist())) == 10 for page in pages.video_rows_PK)


def test_random_pages_are_uniform_without_replacement():
    world, policy = _open(HistoryConfig(random_share=1.0))
    pages = policy.pages(np.tile(np.arange(500), 40), 10, world.memory, np.random.default_rng(0))
    assert (pages.source_PK == RANDOM).all()
    np.testing.assert_allclose(pages.propensity_PK[0], 1.0 / (640 - np.arange(10)))
    for position in (0, 9):
        counts = np.bincount(pages.video_rows_PK[:, position], minlength=640)
        expected = 20_000 / 640
        assert abs(((counts - expected) ** 2 / expected).sum() - 639) < 4 * np.sqrt(2 * 639)


def test_sources_have_their_shares_and_unknown_propensities():
    world, policy = _open(HistoryConfig(random_share=0.25, followed_share=0.6))
    pages = policy.pages(np.tile(np.arange(500), 10), 10, world.memory, np.random.default_rng(0))
    explored = (pages.source_PK == RANDOM).all(axis=1)
    assert (explored | (pages.source_PK != RANDOM).all(axis=1)).all()
    assert abs(explored.mean() - 0.25) < 0.03
    assert abs((pages.source_PK[~explored] == FOLLOWED).mean() - 0.6) < 0.03
    assert np.isnan(pages.propensity_PK[~explored]).all()
    assert not np.isnan(pages.propensity_PK[explored]).any()


def test_followed_channels_are_shown():
    world, policy = _open(HistoryConfig(random_share=0.0, followed_share=1.0))
    viewers = np.arange(200)
    channel = int(world.videos.channel[0])
    world.memory.follow(viewers, np.full(200, channel))
    shown = policy.pages(viewers, 10, world.memory, np.random.default_rng(0)).video_rows_PK
    others = policy.pages(viewers + 200, 10, world.memory, np.random.default_rng(0)).video_rows_PK
    assert (world.videos.channel[shown] == channel).mean() > 2 * (world.videos.channel[others] == channel).mean()


def test_guessed_topics_suit_the_viewer():
    world, policy = _open(HistoryConfig(random_share=0.0, followed_share=1.0))
    viewers, at = np.arange(500), np.array(world.config.start_at)
    shown = policy.pages(viewers, 10, world.memory, np.random.default_rng(0)).video_rows_PK
    chance = world.truth.affinity(viewers[:, None], np.random.default_rng(1).integers(0, 640, (500, 10)), at)
    assert world.truth.affinity(viewers[:, None], shown, at).mean() > chance.mean() + 0.5


@pytest.mark.parametrize("k", [1, 25])
def test_pages_of_other_lengths(k):
    world, policy = _open(HistoryConfig())
    assert policy.pages(np.arange(50), k, world.memory, np.random.default_rng(0)).video_rows_PK.shape == (50, k)
