import numpy as np
from scipy.special import expit

from core.clock import DAY_MS
from data.world.config import Fault, WorldConfig, tiny
from data.world.truth import weekday
from data.world.world import World

NOW = tiny().start_at


def test_weekdays():
    assert weekday(0) == 3
    assert weekday(NOW) == 0
    assert weekday([NOW + 5 * DAY_MS, NOW + 7 * DAY_MS]).tolist() == [5, 0]


def test_examination_is_the_written_curve():
    truth = World(tiny()).truth
    np.testing.assert_allclose(truth.examination([0, 1, 9]), [1.0, 2**-0.45, 10**-0.45])


def test_random_pairs_have_the_configured_attraction():
    world, random = World(tiny()), np.random.default_rng(0)
    viewers, videos = random.integers(0, 500, 40_000), random.integers(0, 640, 40_000)
    mean = world.probability_of_click(viewers, videos, NOW).mean()
    assert abs(mean - tiny().behaviour.base_attraction) < 0.004


def test_logit_by_hand():
    world = World(tiny())
    t, b = world.truth, tiny().behaviour
    n, v, at = 11, 100, NOW + 2 * DAY_MS
    affinity = float(
        (t.viewers.tastes_NT[n] + 2 * t.viewers.drift_NT[n]) @ t.videos.topics_VT[v]
        + b.style / b.taste / np.sqrt(6) * (t.viewers.styles_NS[n] @ t.videos.styles_VS[v])
    )
    wave = b.trend * np.sin(2 * np.pi * at / DAY_MS / t.wave_T2[:, 0] + t.wave_T2[:, 1])
    foreign = t.videos.language[v] != t.viewers.language[n]
    logit = (
        t.intercept
        + b.taste * affinity
        + b.quality * t.videos.quality[v]
        + b.clickbait * t.videos.clickbait[v]
        + b.freshness * np.exp(-(at - t.videos.uploaded_at[v]) / DAY_MS / 3)
        + wave @ t.videos.topics_VT[v]
        - b.foreign * foreign * (0.5 if t.videos.language[v] == 0 else 1.0)
    )
    np.testing.assert_allclose(world.probability_of_click(n, v, at, 3), 4**-0.45 * expit(logit), rtol=1e-5)


def test_questions_broadcast():
    world = World(tiny())
    viewers, videos = np.arange(4)[:, None], np.arange(30)[None, :]
    table = world.probability_of_click(viewers, videos, NOW)
    assert table.shape == (4, 30)
    np.testing.assert_allclose(table[2, 7], world.probability_of_click(2, 7, NOW), rtol=1e-6)
    assert world.probability_of_click(1, 2, NOW, np.arange(10)).shape == (10,)


def test_satisfaction_is_the_product_of_its_parts():
    world = World(tiny())
    affinity = world.truth.affinity(np.array(3), np.array(9), np.array(NOW))
    expected = (
        world.probability_of_click(3, 9, NOW, 2) * world.expected_watch_s(3, 9, NOW) * (1 - world.truth.regret(affinity, 9))
    )
    np.testing.assert_allclose(world.expected_satisfaction(3, 9, NOW, 2), expected, rtol=1e-6)


def test_directions():
    truth = World(tiny()).truth
    videos = truth.videos
    loud, calm = int(videos.clickbait.argmax()), int(videos.clickbait.argmin())
    same = np.zeros(1)
    for effect in (truth.like, truth.watch_share, truth.subscribe, truth.regret, truth.dislike):
        liking = effect(np.array([-1.0, 0.0, 2.0]), np.zeros(3, dtype=int))
        assert (np.diff(liking) > 0).all() == (effect not in (truth.regret, truth.dislike))
    quality = np.array([videos.quality[loud], videos.quality[calm]])
    gap = 4.0 * (videos.clickbait[loud] - videos.clickbait[calm]) - 0.6 * (quality[0] - quality[1])
    assert (truth.regret(same, loud) > truth.regret(same, calm)).all() == (gap > 0)


def test_drift_is_slow_and_flips_are_not():
    world = World(WorldConfig(faults=(Fault("taste_flip", 3.0, 5.0),)))
    viewers = np.arange(500)
    taste = [world.truth.taste(viewers, np.full(500, NOW + int(day * DAY_MS))) for day in (2.9, 3.0, 5.0)]
    same = [np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(taste[0], other, strict=True)]) for other in taste[1:]]
    assert same[0] < 0.3
    assert same[1] > 0.95
