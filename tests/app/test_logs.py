import logging

import pytest

from app import logs


@pytest.fixture
def upnext():
    logger = logging.getLogger("upnext")
    before = logger.handlers, logger.propagate
    yield logger
    logger.handlers, logger.propagate = before


def said(text):
    return logging.LogRecord("upnext.serving", logging.WARNING, "", 0, "%s is %s", (text, "down"), None)


def test_a_message_is_written_once_a_second_and_says_how_often_it_was_left_out():
    now = [0.0]
    rule = logs.OncePerSecond(1.0, lambda: now[0])
    assert rule.filter(said("the store"))
    assert [rule.filter(said("the store")) for _ in range(3)] == [False] * 3
    assert rule.filter(said("the ranker"))  # another message
    now[0] = 1.5
    again = said("the store")
    assert rule.filter(again)
    assert again.getMessage() == "the store is down (3 times more since this was written last)"
    now[0] = 3.0
    alone = said("the store")
    assert rule.filter(alone)
    assert alone.getMessage() == "the store is down"


def test_messages_that_never_repeat_fill_no_memory():
    rule = logs.OncePerSecond()
    assert all(rule.filter(said(f"viewer {number}")) for number in range(3_000))
    assert len(rule._written) <= 1_000


def test_lines_carry_their_time_and_where_they_come_from(upnext, capsys):
    logs.install()
    for _ in range(2):
        logging.getLogger("upnext.serving").warning("the %s is gone", "store")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("Z WARNING upnext.serving: the store is gone")
