import numpy as np
import pytest

from pipelines.lab import filter_loop as filters
from pipelines.lab.filter_loop import Filter, FilterConfig, Uploads
from pipelines.progress import Silent, Stage

WEEKS, OPENINGS = 9, 40
CONFIG = FilterConfig(weeks=WEEKS, uploads=1, openings=OPENINGS, memory_weeks=2, prior=10.0)
FORGETTING, REMEMBERING = Filter("forgetting"), Filter("remembering", forgets=False)


def two_channels(good_from: int = WEEKS) -> Uploads:
    """Channel 0 is always regretted before week `good_from` and never from then on; channel 1 is never."""
    bad = np.zeros((WEEKS, 2), dtype=bool)
    bad[:good_from, 0] = True
    seconds = np.where(bad, 1.0, 10.0)[..., None]
    regrets = np.broadcast_to(bad[..., None, None], (WEEKS, 2, 1, OPENINGS))
    return Uploads(np.where(bad[..., None], 0.0, seconds), np.where(bad[..., None], seconds, 0.0), regrets, bad, ~bad)


def test_what_a_filter_forgets_comes_back():
    found = filters.live(CONFIG, two_channels(), FORGETTING, seed=1)
    assert found["bad_seen"].tolist() == [1, 0, 0] * 3
    assert found["good_blocked"].tolist() == [0] * 9
    assert found["regretted_s"].tolist() == [0.5, 0, 0] * 3
    assert found["satisfied_s"].tolist() == [5.0] * 9


def test_what_it_never_forgets_stays_out_after_it_changed():
    found = filters.live(CONFIG, two_channels(good_from=4), REMEMBERING, seed=1)
    assert found["bad_seen"].tolist() == [1] + [0] * 8
    assert found["good_blocked"].tolist() == [0] * 4 + [0.5] * 5
    assert filters.live(CONFIG, two_channels(good_from=4), FORGETTING, seed=1)["good_blocked"][6:].tolist() == [0, 0, 0]


def test_a_holdout_keeps_seeing_what_it_blocks():
    held = Filter("holdout", holdout=0.25)
    found = filters.live(CONFIG, two_channels(good_from=5), held, seed=1)
    assert found["bad_seen"][0] == 1
    assert ((found["bad_seen"][1:5] > 0) & (found["bad_seen"][1:5] < 0.6)).all()
    # Two weeks after the change, nothing in memory speaks against the channel.
    assert found["good_blocked"][7:].tolist() == [0, 0]


def test_limits():
    open_door = FilterConfig(weeks=WEEKS, openings=OPENINGS, threshold=1.1)
    assert filters.live(open_door, two_channels(), FORGETTING, 1)["bad_seen"].tolist() == [1] * WEEKS
    everyone = filters.live(CONFIG, two_channels(), Filter("all", holdout=1.0), 1)
    assert everyone["bad_seen"].tolist() == [1] * WEEKS
    long = FilterConfig(weeks=WEEKS, openings=OPENINGS, memory_weeks=WEEKS)
    mine, other = (filters.live(long, two_channels(), kind, 1) for kind in (FORGETTING, REMEMBERING))
    assert all((mine[m] == other[m]).all() for m in filters.MEASURES)


def test_on_the_world_a_forgetting_filter_rebounds_and_a_holdout_does_not():
    config = FilterConfig(weeks=8)
    result = filters.compare(config, range(1, 5), Stage("filters", Silent()))
    assert result["names"] == ["forgetting", "remembering", "holdout 0.02", "holdout 0.1"]
    assert result["rebound"]["forgetting"]["low"] > 0.5
    assert abs(result["rebound"]["holdout 0.1"]["mean"]) < 0.25
    assert [len(result["curves"][n]["bad_seen"]) for n in result["names"]] == [8] * 4
    assert len(result["lead"]) == 5


def test_every_filter_meets_the_same_uploads():
    config = FilterConfig(weeks=6)
    first, again, other = filters.uploads(config, 3), filters.uploads(config, 3), filters.uploads(config, 4)
    assert (first.regrets_WCUO == again.regrets_WCUO).all()
    assert first.regrets_WCUO.mean() != pytest.approx(other.regrets_WCUO.mean(), abs=1e-12)
    assert not (first.bad_WC & first.good_WC).any()
