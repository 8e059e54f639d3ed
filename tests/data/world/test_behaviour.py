import numpy as np
import pytest

from data.world import behaviour
from data.world.behaviour import NUM_UNIFORMS, Pages
from data.world.config import WorldConfig
from data.world.world import World

CONFIG = WorldConfig(impressions=1_000)


@pytest.fixture(scope="module")
def trial():
    """20 000 fresh viewers' pages: every viewer 40 times, no memory between."""
    world, random = World(CONFIG), np.random.default_rng(0)
    viewers = np.tile(np.arange(500), 40)
    rows = random.integers(0, 640, (20_000, 10)).astype(np.int32)
    pages = Pages(viewers, rows, np.full(20_000, CONFIG.start_at))
    return world, pages, behaviour.react(world.truth, world.memory, pages, random.random((20_000, 10, NUM_UNIFORMS)))


def test_clicks_are_calibrated(trial):
    world, pages, clicks = trial
    chance, _ = behaviour.click_chance(world.truth, world.memory, pages)
    clicked = np.zeros(chance.shape)
    clicked[clicks.page, _positions(pages, clicks)] = 1
    bins = np.digitize(chance, np.quantile(chance, np.linspace(0, 1, 11)[1:-1]))
    for b in range(10):
        n, p = (bins == b).sum(), chance[bins == b]
        assert abs(clicked[bins == b].mean() - p.mean()) < 4 * np.sqrt((p * (1 - p)).mean() / n)


def _positions(pages, clicks):
    return (pages.video_rows_PK[clicks.page] == clicks.video_rows[:, None]).argmax(axis=1)


def test_watch_time_has_the_true_mean_and_ends_with_the_video(trial):
    world, _, clicks = trial
    expected = world.expected_watch_s(clicks.viewer_rows, clicks.video_rows, CONFIG.start_at)
    error = (clicks.watch_s - expected).std() / np.sqrt(len(clicks))
    assert abs(clicks.watch_s.mean() - expected.mean()) < 4 * error
    assert (clicks.watch_s > 0).all()
    assert (clicks.watch_s <= world.videos.duration_s[clicks.video_rows]).all()


@pytest.mark.parametrize(("found", "effect"), [("liked", "like"), ("disliked", "dislike"), ("regretted", "regret")])
def test_what_follows_a_click_has_its_true_rate(trial, found, effect):
    world, _, clicks = trial
    at = np.full(len(clicks), CONFIG.start_at)
    affinity = world.truth.affinity(clicks.viewer_rows, clicks.video_rows, at)
    p = getattr(world.truth, effect)(affinity, clicks.video_rows)
    assert abs(getattr(clicks, found).mean() - p.mean()) < 4 * np.sqrt((p * (1 - p)).mean() / len(clicks))


def test_nobody_likes_and_dislikes_or_subscribes_twice(trial):
    world, _, clicks = trial
    assert not (clicks.liked & clicks.disliked).any()
    followed = list(zip(clicks.viewer_rows, world.videos.channel[clicks.video_rows], strict=True))
    followed = [pair for pair, subscribed in zip(followed, clicks.subscribed, strict=True) if subscribed]
    assert len(followed) > 100
    assert len(set(followed)) == len(followed)


def test_one_video_after_the_other(trial):
    _, _, clicks = trial
    same = clicks.page[1:] == clicks.page[:-1]
    assert (np.diff(clicks.at)[same] > clicks.watch_s[:-1][same] * 1_000).all()
    assert (clicks.at > CONFIG.start_at).all()


def test_remembering_tires_and_spoils():
    world = World(CONFIG)
    before = world.probability_of_click(np.arange(500), 5, CONFIG.start_at)
    pages = Pages(np.arange(500), np.full((500, 1), 5, dtype=np.int32), np.full(500, CONFIG.start_at))
    clicks = behaviour.react(world.truth, world.memory, pages, np.zeros((500, 1, NUM_UNIFORMS)))
    assert len(clicks) == 500
    behaviour.remember(world.memory, world.truth, clicks)
    after = world.probability_of_click(np.arange(500), 5, CONFIG.start_at)
    assert (after < before).all()
    again = behaviour.react(world.truth, world.memory, pages, np.zeros((500, 1, NUM_UNIFORMS)))
    assert not again.subscribed.any()


def test_empty_slots_are_never_clicked():
    world = World(CONFIG)
    pages = Pages(np.arange(3), np.full((3, 4), -1, dtype=np.int32), np.full(3, CONFIG.start_at))
    assert len(behaviour.react(world.truth, world.memory, pages, np.zeros((3, 4, NUM_UNIFORMS)))) == 0
