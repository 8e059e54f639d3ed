import json

import polars as pl
import pytest

from core import columns as c
from core.clock import DAY_MS, HOUR_MS, MINUTE_MS, ManualClock
from core.errors import BadInput
from core.event_log import SqliteEventLog
from pipelines.orchestration.schedule import Book, Job, Scheduler, next_due, outcome

MONDAY = 1_767_571_200_000  # 2026-01-05T00:00Z
COMMAND = ("pipeline", "run")


class Desk:
    """A scheduler with a clock of its own whose commands take an hour and end as told."""

    def __init__(self, var_dir, *jobs, codes=()):
        self.clock, self.book = ManualClock(MONDAY), Book(var_dir)
        self.ran, self.told, self.codes = [], [], list(codes)
        for job in jobs:
            self.book.add(job, self.clock)
        self.scheduler = Scheduler(self.book, self.clock, self._run, lambda job, text: self.told.append(text))

    def _run(self, job):
        self.ran.append((job.name, self.clock.now()))
        self.clock.advance(HOUR_MS)
        return self.codes.pop(0) if self.codes else 0

    def state(self, name):
        return {entry.name: entry.state for entry in self.book.entries()}[name]


def test_cron_in_utc():
    assert next_due("0 3 * * *", MONDAY) == MONDAY + 3 * HOUR_MS
    assert next_due("0 3 * * *", MONDAY + 3 * HOUR_MS) == MONDAY + DAY_MS + 3 * HOUR_MS
    assert next_due("*/15 * * * *", MONDAY + MINUTE_MS) == MONDAY + 15 * MINUTE_MS
    assert next_due("30 12 * * 0", MONDAY) == MONDAY + 6 * DAY_MS + 12 * HOUR_MS + 30 * MINUTE_MS


@pytest.mark.parametrize("expression", ["", "61 * * * *", "* * * *", "0 0 30 2 *", "daily"])
def test_what_is_no_cron_expression_is_refused(expression):
    with pytest.raises(BadInput, match="five fields"):
        Job("bad", "cron", expression, COMMAND)


def test_a_job_needs_a_command_and_a_known_occasion():
    with pytest.raises(BadInput, match="no command"):
        Job("idle", "cron", "0 3 * * *", ())
    with pytest.raises(BadInput, match="one of cron, files, day, alarm, retrain"):
        Job("odd", "moon", "full", COMMAND)


def test_a_day_of_ticks_runs_a_nightly_job_once(tmp_path):
    desk = Desk(tmp_path, Job("nightly", "cron", "0 3 * * *", COMMAND))
    while desk.clock.now() < MONDAY + 2 * DAY_MS:
        desk.scheduler.tick()
        desk.clock.advance(10 * MINUTE_MS)
    assert desk.ran == [("nightly", MONDAY + 3 * HOUR_MS), ("nightly", MONDAY + DAY_MS + 3 * HOUR_MS)]


def test_missed_runs_are_caught_up_once(tmp_path):
    desk = Desk(tmp_path, Job("nightly", "cron", "0 3 * * *", COMMAND))
    desk.clock.advance(5 * DAY_MS)
    assert desk.scheduler.tick() == ["nightly"]
    assert desk.scheduler.tick() == []
    desk.clock.advance(DAY_MS)
    assert desk.scheduler.tick() == ["nightly"]


def test_new_files_and_only_new_ones(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "day-1.csv").write_text("")
    desk = Desk(tmp_path, Job("arrivals", "files", str(logs / "*.csv"), COMMAND))
    assert desk.scheduler.tick() == []
    (logs / "day-2.csv").write_text("")
    (logs / "notes.txt").write_text("")
    assert desk.scheduler.tick() == ["arrivals"]
    (logs / "day-2.csv").write_text("changed")
    (logs / "day-1.csv").unlink()
    assert desk.scheduler.tick() == []


def test_what_arrives_during_a_run_calls_for_another(tmp_path):
    desk = Desk(tmp_path, Job("arrivals", "files", str(tmp_path / "*.csv"), COMMAND))
    (tmp_path / "1.csv").write_text("")
    run = desk.scheduler.run

    def slow(job):
        (tmp_path / "2.csv").write_text("")
        return run(job)

    scheduler = Scheduler(desk.book, desk.clock, slow, desk.scheduler.failed)
    assert [scheduler.tick() for _ in range(3)] == [["arrivals"], ["arrivals"], []]


@pytest.fixture
def alerts(tmp_path):
    (tmp_path / "space").mkdir()
    return tmp_path / "space" / "alerts.jsonl"


def test_an_alarm_counts_once_its_line_is_whole(tmp_path, alerts):
    alerts.write_text('{"at": 1}\n')
    desk = Desk(tmp_path, Job("drift", "alarm", "space", COMMAND))
    assert desk.scheduler.tick() == []
    alerts.write_text('{"at": 1}\n{"at": 2')
    assert desk.scheduler.tick() == []
    alerts.write_text('{"at": 1}\n{"at": 2}\n')
    assert [desk.scheduler.tick(), desk.scheduler.tick()] == [["drift"], []]
    alerts.write_text("")  # begun anew
    assert desk.scheduler.tick() == []
    alerts.write_text('{"at": 3}\n')
    assert desk.scheduler.tick() == ["drift"]


def test_only_alarms_that_ask_for_training_are_followed_by_it(tmp_path, alerts):
    desk = Desk(tmp_path, Job("learn", "retrain", "space", COMMAND), Job("tell", "alarm", "space", COMMAND))
    alerts.write_text('{"at": 1, "action": "rollback"}\n{"at": 2, "action": "report"}\nno alarm\n')
    assert desk.scheduler.tick() == ["tell"]
    with alerts.open("a") as file:
        file.write('{"at": 3, "action": "schedule_retrain"}\n')
    assert desk.scheduler.tick() == ["learn", "tell"]
    with alerts.open("a") as file:
        file.write('{"at": 4, "action": "report"}\n')
    assert desk.scheduler.tick() == ["tell"]


def test_a_later_day_in_the_live_log(tmp_path):
    desk = Desk(tmp_path, Job("daily", "day", "space", COMMAND))
    log = SqliteEventLog(tmp_path / "space" / "events.db")

    def received(event_id, at):
        row = {c.EVENT_ID: event_id, c.KIND: "click", c.EVENT_AT: at, c.RECEIVED_AT: at, c.VIEWER_ID: 1}
        log.append(pl.DataFrame([row | {name: None for name in c.EVENTS.names if name not in row}]).to_arrow().cast(c.EVENTS))

    assert desk.scheduler.tick() == []
    received("a", MONDAY)
    assert desk.scheduler.tick() == ["daily"]
    received("b", MONDAY + 23 * HOUR_MS)
    assert desk.scheduler.tick() == []
    received("c", MONDAY + 24 * HOUR_MS)
    assert desk.scheduler.tick() == ["daily"]
    log.close()


def test_a_failure_is_told_and_waits_for_the_next_occasion(tmp_path):
    desk = Desk(tmp_path, Job("nightly", "cron", "0 3 * * *", COMMAND), codes=[7])
    desk.clock.advance(DAY_MS)
    assert [desk.scheduler.tick(), desk.scheduler.tick()] == [["nightly"], []]
    assert desk.told == ["job 'nightly' (upnext pipeline run) ended with code 7"]
    assert outcome(desk.state("nightly")) == "failed"
    desk.clock.advance(DAY_MS)
    desk.scheduler.tick()
    assert (desk.state("nightly").ok, desk.state("nightly").runs) == (True, 2)


def test_a_crash_during_a_run_repeats_it(tmp_path):
    desk = Desk(tmp_path, Job("nightly", "cron", "0 3 * * *", COMMAND))
    desk.clock.advance(DAY_MS)

    def crash(job):
        raise SystemExit

    with pytest.raises(SystemExit):
        Scheduler(desk.book, desk.clock, crash, desk.scheduler.failed).tick()
    assert outcome(desk.state("nightly")) == "running or cut off"
    assert desk.scheduler.tick() == ["nightly"]
    assert desk.scheduler.tick() == []
    assert (outcome(desk.state("nightly")), desk.state("nightly").runs) == ("ok", 2)


def test_the_book_keeps_names_apart(tmp_path):
    job = Job("nightly", "cron", "0 3 * * *", COMMAND, webhook="https://example.org")
    desk = Desk(tmp_path, job)
    with pytest.raises(BadInput, match="already"):
        desk.book.add(job, desk.clock)
    desk.clock.advance(DAY_MS)
    desk.scheduler.tick()
    desk.book.remove("nightly")
    assert desk.book.entries() == []
    with pytest.raises(BadInput, match="no job 'nightly'; known: none"):
        desk.book.remove("nightly")
    desk.book.add(job, desk.clock)  # nothing is left of the one before
    assert (desk.state("nightly").runs, desk.book.entries()[0].job) == (0, job)
    assert desk.scheduler.tick() == []


def test_both_files_are_json_for_people(tmp_path):
    desk = Desk(tmp_path, Job("nightly", "cron", "0 3 * * *", COMMAND))
    desk.clock.advance(DAY_MS)
    desk.scheduler.tick()
    jobs, states = (json.loads((tmp_path / "schedule" / name).read_text()) for name in ("jobs.json", "state.json"))
    assert jobs[0]["job"]["command"] == ["pipeline", "run"]
    assert states[f"nightly {MONDAY}"]["ok"] is True
