import os

import pytest

from core.clock import ManualClock
from core.errors import BadInput
from pipelines.orchestration.journal import Journal, status


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path, ManualClock(7))


def test_a_finished_run(journal, tmp_path):
    journal.write("began", pid=os.getpid())
    with journal.step("train") as step:
        step.note, step.reused, step.result = "well", True, ["key", 3]
    with journal.step("register") as step:
        step.result = "abc"
    assert status(tmp_path).state == "running"
    journal.write("ended", ok=True)
    found = status(tmp_path)
    assert (found.state, found.attempts, found.began_at, found.release_id) == ("finished", 1, 7, "abc")
    train = found.steps["train"]
    assert (train.state, train.note, train.reused, train.result) == ("finished", "well", True, ["key", 3])


def test_a_failed_step_and_a_second_attempt(journal, tmp_path):
    journal.write("began", pid=os.getpid())
    with pytest.raises(BadInput), journal.step("validate"):
        raise BadInput("no clicks")
    journal.write("ended", ok=False)
    found = status(tmp_path)
    assert (found.state, found.steps["validate"].state, found.steps["validate"].note) == (
        "failed",
        "failed",
        "BadInput: no clicks",
    )
    journal.write("began", pid=os.getpid())
    with journal.step("validate"):
        pass
    journal.write("ended", ok=True)
    assert (status(tmp_path).attempts, status(tmp_path).steps["validate"].state) == (2, "finished")


def test_a_dead_process_was_killed(journal, tmp_path):
    journal.write("began", pid=2**22 + 1)
    journal.write("started", step="train")
    found = status(tmp_path)
    assert (found.state, found.steps["train"].state) == ("killed", "killed")


def test_a_torn_line_costs_itself_only(journal, tmp_path):
    journal.write("began", pid=os.getpid())
    with journal.path.open("a") as file:
        file.write('{"event": "started", "st')
    journal.write("ended", ok=True)
    assert [event["event"] for event in journal.read()[0]] == ["began", "ended"]
    assert status(tmp_path).state == "finished"


def test_reading_on_sees_each_event_once(journal):
    journal.write("started", step="a")
    first, offset = journal.read()
    assert journal.read(offset) == ([], offset)
    with journal.path.open("a") as file:
        file.write('{"event": "half')
    assert journal.read(offset)[0] == []
    journal.write("started", step="b")
    second, _ = journal.read(offset)
    assert [event["step"] for event in (*first, *second)] == ["a", "b"]


def test_progress_is_written_now_and_then(journal):
    with journal.step("train") as step:
        for i in range(10_000):
            step.advance(i / 10_000)
    assert 1 <= sum(event["event"] == "advanced" for event in journal.read()[0]) < 100
