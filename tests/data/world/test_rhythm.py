import numpy as np

from core.clock import DAY_MS
from data.world.config import WorldConfig, tiny
from data.world.rhythm import plan_day
from data.world.viewers import make_viewers


def test_a_week_has_the_expected_number_of_pages():
    config = WorldConfig(num_viewers=3_000, impressions=1_000_000, joining_share=0.0)
    viewers = make_viewers(config)
    pages = sum(len(plan_day(config, viewers, day)) for day in range(7))
    assert abs(pages / (viewers.pages_per_day.sum() * 7) - 1) < 0.03


def test_days_are_sorted_and_repeatable_and_rates_scale():
    config, viewers = tiny(), make_viewers(tiny())
    plan, again = plan_day(config, viewers, 3), plan_day(config, viewers, 3)
    assert (plan.at == again.at).all()
    assert (plan.viewer_rows == again.viewer_rows).all()
    assert (np.diff(plan.at) >= 0).all()
    assert (plan.at >= config.start_at + 3 * DAY_MS).all()
    assert len(plan_day(config, viewers, 3, rate=20.0)) > 15 * len(plan)


def test_nobody_comes_before_joining():
    config, viewers = tiny(), make_viewers(tiny())
    for day in range(config.days):
        plan = plan_day(config, viewers, day)
        assert (plan.at >= viewers.joined_at[plan.viewer_rows]).all()
    assert len(plan_day(config, viewers, -1)) == 0


def test_rounds_hold_every_page_once_each_viewer_alone_and_in_order():
    plan = plan_day(tiny(), make_viewers(tiny()), 2, rate=5.0)
    rounds = list(plan.rounds())
    assert sorted(np.concatenate(rounds).tolist()) == list(range(len(plan)))
    last = np.zeros(500, dtype=np.int64)
    for chosen in rounds:
        viewers = plan.viewer_rows[chosen]
        assert len(set(viewers.tolist())) == len(viewers)
        assert (plan.at[chosen] >= last[viewers]).all()
        last[viewers] = plan.at[chosen]


def test_viewers_come_at_their_favourite_hour():
    config, viewers = tiny(), make_viewers(tiny())
    plan = plan_day(config, viewers, 1, rate=30.0)
    hour = plan.at / 3_600_000 % 24
    distance = np.abs((hour - viewers.hour[plan.viewer_rows] + 12) % 24 - 12)
    assert np.median(distance) < 2.5
