import numpy as np
import polars as pl
import pytest

from core import columns as c
from core import events as ev
from core.clock import DAY_MS, HOUR_MS
from core.errors import BadInput
from data.labels import definitions as labels
from data.world.config import Fault
from data.world.simulate import generate
from monitoring import observations as o
from monitoring.severity import Cause
from pipelines.watching import drill_log, drills

SMALL = drills.DrillConfig(num_viewers=600, num_videos=600, num_channels=40, impressions_per_day=2_500)


def test_a_bad_release_is_rolled_back():
    drill = drills.run("bad_release", 1, SMALL)
    assert drill.diagnosis is not None
    assert drill.diagnosis.cause == Cause.RELEASE
    assert drill.actions == ("rollback", "report")
    assert drill.diagnosis_right
    assert drill.action_right
    assert not drill.false_alarm
    assert drill.detected_after_h is not None
    assert o.SETTLED_H < drill.detected_after_h <= drill.decided_after_h
    (row,) = drills.summary([drill])
    assert (row["drills"], row["detected"], row["action_right"]) == (1, 1, 1)


def test_frozen_features_and_an_unknown_fault():
    drill = drills.run("frozen_features", 2, SMALL)
    assert drill.diagnosis_right
    assert drill.actions == ("report",)
    with pytest.raises(BadInput, match="known: null_feature"):
        drills.run("gremlins", 1, SMALL)


def test_quiet_days_count_alarms():
    found = drills.quiet([1_001], 3, SMALL)
    assert (found.days, found.alarms) == (3, len(found.what))
    assert found.per_100_days.mean == pytest.approx(found.alarms / 0.03)


def test_the_interval_of_a_poisson_rate():
    none = drills.poisson_rate(0, 3.0)
    assert (none.low, none.high) == pytest.approx((0.0, 3.688879 / 3))
    some = drills.poisson_rate(10, 1.0)
    assert (some.low, some.high) == pytest.approx((4.795389, 18.390356))


@pytest.fixture(scope="module")
def lived():
    begin = drill_log.TRAIN_DAYS + 2
    config = SMALL.world(3, begin + 2, (Fault("bad_release", begin, begin + 2),))
    return config, generate(config), config.start_at + begin * DAY_MS


def test_predictions_are_calibrated_and_tell_clicks_apart(lived):
    config, dataset, begin = lived
    rows = o.observe(dataset.events, dataset.viewers, dataset.videos, drill_log.served(config, dataset))
    old = config.start_at + drill_log.TRAIN_DAYS * DAY_MS
    good = rows.filter((pl.col(labels.AT) >= old) & (pl.col(labels.AT) < begin))
    bad = rows.filter(pl.col(labels.AT) >= begin)
    correlation = [np.corrcoef(part[o.PREDICTED], part[labels.CLICKED])[0, 1] for part in (good, bad)]
    assert correlation[0] > 0.12
    assert correlation[1] < correlation[0] - 0.03
    assert bad[labels.CLICKED].sum() / bad[o.PREDICTED].sum() < 0.85 * good[labels.CLICKED].sum() / good[o.PREDICTED].sum()


def test_frozen_features_grow_old_and_releases_take_turns(lived):
    config, dataset, begin = lived
    served = drill_log.served(config, dataset, begin)
    shown = dataset.events.filter(pl.col(c.KIND) == ev.IMPRESSION)
    age = served[o.FEATURE_AGE_H].to_numpy()
    behind = (shown[c.EVENT_AT].to_numpy() - begin) / HOUR_MS
    assert age[behind <= 0].mean() < 0.02
    assert (age[behind > 0] >= behind[behind > 0]).all()
    marked = drill_log.released(dataset.events, [begin]).filter(pl.col(c.KIND) == ev.IMPRESSION)
    expected = pl.when(pl.col(c.EVENT_AT) >= begin).then(pl.lit("release-1")).otherwise(pl.lit("release-0"))
    assert (marked[c.RELEASE_ID] == marked.select(expected).to_series()).all()
