from dataclasses import replace

import numpy as np
import pytest

from core import events as ev
from core.clock import DAY_MS, HOUR_MS, MINUTE_MS
from core.policy import Request
from experiments import policies
from experiments.config import ArmConfig, ExperimentConfig, ExperimentsConfig
from features.memory_store import MemoryStore
from serving import explorer, fakes, thompson
from serving.arms import ArmRecommender
from serving.config import ExplorationConfig, ServingConfig
from serving.counterfactual import Recorder, Subjects, replay
from serving.impressions import to_table
from serving.live import go_live
from serving.releases import open_files
from serving.thompson import ThompsonRecommender, deviates, spread
from serving.witness import Notebook

CONFIG = ExplorationConfig("thompson", epsilon=0.1, pool=6)
ARMS = (ArmConfig("control"), ArmConfig("bold", set=("exploration.kind=thompson", "exploration.epsilon=0.02")))
NEW, OLD = np.array([False, True] + [False] * 8), np.zeros(10, dtype=bool)


class Counts:
    """VideoCounts that says the same of every video, and counts how often it is asked."""

    of_now = False

    def __init__(self, clicks=0.0, impressions=0.0):
        self.said, self.asked = (clicks, impressions), 0

    def clicks(self, at):
        self.asked += 1
        return np.full(200, self.said[0], dtype=np.float32)

    def impressions(self, at):
        return np.full(200, self.said[1], dtype=np.float32)


def recommender(counts=None, **exploration):
    config = ServingConfig(exploration=replace(CONFIG, **exploration))
    return ThompsonRecommender(fakes.parts(config=config), counts or Counts())


def requests(n=50, k=5):
    return [Request(f"r{i}", i % 10 + 1, fakes.NOW + i, k=k) for i in range(n)]


def test_the_spread_is_the_standard_error_of_log_odds():
    """Rate (8 + 1) / (109 + 10): a = 20 · rate + 8, b = 20 · (1 − rate) + 72. What was never shown has the prior's alone."""
    found, rate = spread([8.0, 0.0, 0.0], [80.0, 29.0, 0.0], 20.0), 9.0 / 119.0
    assert found[0] == pytest.approx(np.sqrt(1 / (20 * rate + 8) + 1 / (20 * (1 - rate) + 72)), rel=1e-6)
    assert found[2] == pytest.approx(np.sqrt(1 / (20 * rate) + 1 / (20 * (1 - rate))), rel=1e-6)
    assert found[0] < found[1] < found[2]
    assert np.isfinite(spread(np.zeros(3), np.zeros(3), 20.0)).all()


def test_deviates_are_standard_normal_and_a_videos_own():
    found = deviates(1, 3, np.arange(2_000))
    assert found.shape == (64, 2_000)
    assert found.mean() == pytest.approx(0, abs=0.01)
    assert found.std() == pytest.approx(1, abs=0.01)
    assert (np.abs(found) < 1.959964).mean() == pytest.approx(0.95, abs=0.003)
    assert abs(np.corrcoef(found[:, 0], found[:, 1])[0, 1]) < 0.4
    assert np.array_equal(deviates(1, 3, [1_500, 7]), found[:, [1_500, 7]])
    assert not np.array_equal(deviates(1, 4, [7]), found[:, [7]])


def page(request_id, utility, width, config=CONFIG, fresh=OLD):
    ranked = np.argsort(-utility, kind="stable")[:4]
    request = Request(request_id, 1, fakes.NOW)
    return thompson.page_of(ranked, utility, width, fresh, np.arange(10) + 1, config, request)


@pytest.mark.parametrize("fresh", [OLD, NEW])
def test_propensities_are_counts_mixed_with_epsilon_and_sum_to_one(fresh):
    utility, width = np.linspace(2, 0, 10).astype(np.float32), np.linspace(0.1, 2, 10).astype(np.float32)
    config = replace(CONFIG, fresh_boost=3.0)
    members = explorer.pool(utility, fresh, config.pool)
    weight = np.zeros((1, 10))
    weight[0, members] = np.where(fresh[members], 3.0, 1.0)
    score = utility + width * deviates(0, fakes.NOW // DAY_MS, np.arange(10) + 1)
    these = np.union1d(np.arange(4), members)
    chances = policies.thompson(score[:, None, these], 0.1, weight[:, these])
    for number in range(50):
        found, left = page(str(number), utility, width, config, fresh), np.ones((1, len(these)), dtype=bool)
        for pick, propensity in zip(found.chosen, found.propensities, strict=True):
            here = chances(left)[0]
            assert here.sum() == pytest.approx(1.0)
            assert propensity == pytest.approx(here[np.searchsorted(these, pick)])
            assert propensity > 0
            left[0, np.searchsorted(these, pick)] = False
        assert len(set(found.chosen.tolist())) == 4
    again = [page("7", utility, width, config, fresh) for _ in range(2)]
    assert again[0].chosen.tolist() == again[1].chosen.tolist()


def test_first_slots_are_filled_as_often_as_stated():
    utility, width = np.linspace(1, 0, 10).astype(np.float32), np.full(10, 0.7, dtype=np.float32)
    pages = [page(str(number), utility, width) for number in range(6_000)]
    first = np.array([each.chosen[0] for each in pages])
    stated = {int(each.chosen[0]): each.propensities[0] for each in pages}
    assert sum(stated.values()) == pytest.approx(1.0)
    for video, chance in stated.items():
        assert (first == video).mean() == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / len(pages)))


def test_the_order_of_candidates_does_not_matter():
    """A record keeps them by utility, retrieval finds them by source; the page is the same."""
    random = np.random.default_rng(4)
    utility, width = random.normal(size=10).astype(np.float32), random.uniform(0.1, 2, 10).astype(np.float32)
    order, request = np.argsort(-utility), Request("r", 1, fakes.NOW)
    for number in range(20):
        request = replace(request, request_id=str(number))
        shuffled = thompson.page_of(order[:4], utility, width, NEW, np.arange(10) + 1, CONFIG, request)
        sorted_ = thompson.page_of(np.arange(4), utility[order], width[order], NEW[order], order + 1, CONFIG, request)
        assert order[sorted_.chosen].tolist() == shuffled.chosen.tolist()
        assert np.array_equal(sorted_.propensities, shuffled.propensities)


def test_certainty_leaves_the_ranked_page_and_the_budget_limits_chance():
    utility = np.linspace(2, 0, 10).astype(np.float32)
    sure = page("r", utility, np.zeros(10, dtype=np.float32), replace(CONFIG, epsilon=1e-9))
    assert sure.chosen.tolist() == [0, 1, 2, 3]
    assert sure.propensities == pytest.approx(np.ones(4))
    assert not sure.exploration.any()
    wide = np.full(10, 5.0, dtype=np.float32)
    pages = [page(str(n), utility, wide, replace(CONFIG, slots=(2,))) for n in range(50)]
    assert all(p.chosen[:2].tolist() == [0, 1] and p.propensities[[0, 1, 3]].tolist() == [1, 1, 1] for p in pages)
    assert len({int(p.chosen[2]) for p in pages}) > 3
    assert page("r", utility, wide, replace(CONFIG, epsilon=0.0)).chosen.tolist() == [0, 1, 2, 3]


def test_what_was_shown_little_is_explored_more():
    utility, shown = np.full(10, 1.0, dtype=np.float32), np.full(10, 500.0)
    shown[9] = 0
    width = spread(shown / 10, shown, 20.0)
    first = [page(str(n), utility, width, replace(CONFIG, pool=10)).chosen[0] for n in range(300)]
    assert np.mean(np.array(first) == 9) > 0.3


def test_a_viewer_who_had_the_days_chance_gets_the_ranked_page():
    live = recommender(Counts(0, 0), daily_cap=3, temperature=20.0)
    alone = [Request(f"r{i}", 1, fakes.NOW + i, k=5) for i in range(12)]
    slates = live.recommend(alone[:6]) + live.recommend(alone[6:])
    assert slates[0].exploration.any()
    assert (slates[-1].propensities == 1).all()
    tomorrow = replace(alone[0], request_id="later", at=fakes.NOW + DAY_MS)
    assert (live.recommend([tomorrow])[0].propensities < 1).any()


def test_the_spread_is_looked_at_once_a_period_and_follows_what_is_known():
    counts = Counts()
    live = recommender(counts)
    before = live.spread(fakes.NOW)
    counts.said = (50.0, 500.0)
    assert live.spread(fakes.NOW) is before
    assert (live.spread(fakes.NOW + MINUTE_MS) < before).all()
    assert counts.asked == 2


def test_a_record_gives_a_thompson_page_again():
    live, notes, rows = recommender(temperature=3.0), Notebook(), []
    recorder = Recorder(lambda: Subjects(lambda request: live, fakes.viewers(), None, notes), rows.append)
    for request, slate in zip(requests(), notes.over(live).recommend(requests()), strict=True):
        recorder(request, slate)
    assert all(row["replayed"] for row in rows)
    fresh = recommender(Counts(9.0, 99.0), temperature=3.0)  # another process, after more was seen
    assert all(replay(fresh, row)[0] == row["shown"] for row in rows)
    assert any(row["propensities"].min() < 0.5 for row in rows)


def test_an_arm_explores_by_thompson_sampling_and_learns_from_the_stream(release_files):
    live = go_live(open_files(release_files[0], release_id="a1"), MemoryStore())
    arms = ArmRecommender(ExperimentsConfig((ExperimentConfig("explore", ARMS),)), live.base)
    at = live.loaded.end_at + 1
    asked = [Request(f"q{v}", int(v), at, k=5) for v in live.loaded.viewers.viewer_ids[:40]]
    slates = arms.recommend(asked)
    bold = [slate for slate in slates if slate.arm.endswith("bold")]
    assert 5 < len(bold) < 35
    assert all((slate.propensities < 1).all() for slate in bold)
    policy = arms.of(asked[slates.index(bold[0])])
    assert isinstance(policy, ThompsonRecommender)
    shown = live.loaded.catalogue.rows(bold[0].video_ids)
    before = policy.spread(at)[shown]
    live.apply(to_table(asked, [bold[0]] * len(asked), at))
    clicks = [
        ev.Click(
            event_id=f"{request.request_id}-{video_id}", event_at=at, received_at=at, viewer_id=request.viewer_id,
            video_id=int(video_id), request_id=request.request_id,
        )
        for request in asked[:10] for video_id in bold[0].video_ids
    ]  # fmt: skip
    live.apply(ev.to_table(clicks))
    assert (policy.spread(at + HOUR_MS)[shown] < 0.8 * before).all()
