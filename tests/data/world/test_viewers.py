import numpy as np

from core import columns as c
from core.ids import to_ids
from data.world.config import tiny
from data.world.viewers import make_viewers, viewer_frame


def test_everyone_has_four_favourites_above_indifference():
    tastes = make_viewers(tiny()).tastes_NT
    ordered = np.sort(tastes, axis=1)[:, ::-1].mean(axis=0)
    assert ordered[0] > 2.3
    assert ordered[2] > 1.0
    assert ordered[8] < 0.0


def test_page_rates_give_the_configured_impressions():
    config, viewers = tiny(), make_viewers(tiny())
    days = (config.end_at - viewers.joined_at) / 86_400_000
    np.testing.assert_allclose((viewers.pages_per_day * days).sum() * config.slate_size, config.impressions, rtol=1e-6)


def test_shares_of_joining_and_drifting_viewers():
    config, viewers = tiny(), make_viewers(tiny())
    joining = (viewers.joined_at > config.start_at).mean()
    drifting = (viewers.drift_NT != 0).any(axis=1).mean()
    assert abs(joining - config.joining_share) < 0.05
    assert abs(drifting - config.drifting_share) < 0.07


def test_attributes_correlate_with_taste():
    viewers = make_viewers(tiny())
    between = np.stack([viewers.tastes_NT[viewers.age == band].mean(axis=0) for band in range(7)]).std(axis=0)
    shuffled = np.random.default_rng(0).permutation(viewers.age)
    chance = np.stack([viewers.tastes_NT[shuffled == band].mean(axis=0) for band in range(7)]).std(axis=0)
    assert between.mean() > 1.5 * chance.mean()


def test_frame_ids_and_values():
    frame = viewer_frame(tiny(), make_viewers(tiny()))
    assert frame[c.VIEWER_ID].to_list() == list(range(1, 501))
    assert (to_ids(frame[c.EXTERNAL_ID].to_list()) == frame[c.VIEWER_ID].to_numpy()).all()
    assert sorted(frame[c.SEGMENT].unique()) == ["casual", "heavy", "regular"]
    assert frame.null_count().sum_horizontal().sum() == 0
