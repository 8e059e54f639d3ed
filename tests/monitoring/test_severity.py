from dataclasses import dataclass, field

import polars as pl
import pytest

from core import columns as c
from core import rng
from data.labels import definitions as labels
from monitoring import observations as o
from monitoring import watch
from monitoring.severity import Action, Cause, Diagnosis, Severity, respond
from tests.monitoring.made import DAYS, FIRST, rows, since, tallied

END = FIRST + 24 * DAYS
ONSET = END - 12
SWITCH = FIRST + 24 * 17 + 5
TV = pl.col(c.DEVICE) == "tv"


def diagnosed(frame: pl.DataFrame, end: int = END) -> Diagnosis | None:
    return watch.look(tallied(frame), end).diagnosis


def test_a_quiet_day():
    assert diagnosed(rows()) is None


def test_missing_values_of_one_device():
    found = diagnosed(rows().with_columns(since(ONSET, watch_s=pl.when(~TV).then(pl.col(labels.WATCH_S)))))
    assert found is not None
    assert (found.cause, found.step, found.feature, found.segment) == (Cause.MISSING, "ingest", "watch_s", "device=tv")
    assert (found.severity, found.action) == (Severity.MODERATE, Action.REPORT)
    assert abs(found.since_hour - ONSET) <= 1


def test_a_unit_change_of_one_device_names_the_factor():
    found = diagnosed(rows().with_columns(since(ONSET, watch_s=pl.col(labels.WATCH_S) * pl.when(TV).then(1_000).otherwise(1))))
    assert found is not None
    assert (found.cause, found.step, found.segment) == (Cause.UNIT, "upstream", "device=tv")
    assert "times larger" in found.because
    assert found.because.endswith("nearest: 1,000")


def test_old_features():
    found = diagnosed(rows().with_columns(since(ONSET, feature_age_h=(pl.col(o.HOUR) - ONSET + 0.5))))
    assert found is not None
    assert (found.cause, found.step, found.severity) == (Cause.FROZEN, "features", Severity.MODERATE)


def test_crowding_is_traffic():
    found = diagnosed(rows().with_columns(since(ONSET, crowd=pl.col(o.CROWD) * 5)))
    assert found is not None
    assert (found.cause, found.step) == (Cause.BOTS, "traffic")


def test_many_unwatched_clicks_are_bots_and_no_unit_change():
    clicks = rng.stream(3, "bots").random(len(rows())) < 0.6
    changed = since(ONSET, clicked=pl.lit(pl.Series(clicks)), reported=pl.lit(pl.Series(clicks)))
    frame = rows().with_columns(changed).with_columns(since(ONSET, watch_s=pl.when(labels.CLICKED).then(1.0)))
    found = diagnosed(frame)
    assert found is not None
    assert found.cause == Cause.BOTS
    assert "hardly watched" in found.because


def halved(frame: pl.DataFrame, hour: int) -> pl.DataFrame:
    return frame.with_columns(since(hour, clicked=pl.col(labels.CLICKED) & (pl.col(c.POSITION) >= 5)))


def test_a_fall_with_a_release_is_severe_and_one_without_is_not():
    with_it = diagnosed(halved(rows(), SWITCH), SWITCH + 20)
    assert with_it is not None
    assert (with_it.cause, with_it.feature, with_it.action) == (Cause.RELEASE, "second", Action.ROLLBACK)
    without = diagnosed(halved(rows(), SWITCH + 24), SWITCH + 44)
    assert without is not None
    assert (without.cause, without.severity, without.action) == (Cause.CONCEPT, Severity.MODERATE, Action.REPORT)


def test_a_fall_when_a_canary_arrives_is_the_release_and_no_change_of_tastes():
    step = pl.when(pl.col(c.POSITION) == 9).then(pl.lit("second as canary-second-1")).otherwise(pl.lit("first"))
    canary = pl.when(pl.col(o.HOUR) < SWITCH).then(step).otherwise(pl.lit("second")).alias(c.RELEASE_ID)
    found = diagnosed(halved(rows(), SWITCH).with_columns(canary), SWITCH + 20)
    assert found is not None
    assert (found.cause, found.feature, found.action) == (Cause.RELEASE, "second", Action.ROLLBACK)


def test_without_predictions_clicks_are_held_against_earlier_days():
    found = diagnosed(halved(rows(), SWITCH + 24).with_columns(pl.lit(None, dtype=pl.Float64).alias(o.PREDICTED)), SWITCH + 44)
    assert found is not None
    assert (found.cause, found.feature) == (Cause.CONCEPT, "clicks")
    assert "against earlier days" in found.because


def test_half_a_day_without_pages_is_an_outage():
    found = diagnosed(rows().filter(pl.col(o.HOUR) < END - 15))
    assert found is not None
    assert (found.cause, found.step, found.action) == (Cause.OUTAGE, "ingest", Action.REPORT)


def test_a_season_is_mild():
    grown = pl.concat([rows(), rows(2).filter(pl.col(o.HOUR) >= END - 24)], how="vertical")
    found = diagnosed(grown)
    assert found is not None
    assert (found.cause, found.severity, found.action) == (Cause.SEASON, Severity.MILD, Action.RETRAIN)


@dataclass
class Recorder:
    done: list[str] = field(default_factory=list)

    def rollback(self) -> str:
        self.done.append("rollback")
        return "before"

    def schedule_retrain(self, diagnosis: Diagnosis) -> None:
        self.done.append("retrain")

    def report(self, diagnosis: Diagnosis) -> None:
        self.done.append("report")


@pytest.mark.parametrize(
    ("action", "done"),
    [(Action.RETRAIN, ["retrain"]), (Action.REPORT, ["report"]), (Action.ROLLBACK, ["rollback", "report"])],
)
def test_a_rollback_comes_before_its_report(action, done):
    responder = Recorder()
    respond(Diagnosis(Cause.SHIFT, "viewers", "x", "all", Severity.MILD, action, 0, ""), responder)
    assert responder.done == done
