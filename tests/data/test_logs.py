import pytest

from app.fakes import MemoryLog
from core import events as ev
from core.errors import LogUnavailable
from core.event_log import SqliteEventLog
from data.logs import SharedReads, existing_log, open_log
from data.stream_log import StreamLog
from tests import clusters


def test_without_a_server_it_is_a_file_that_may_not_be_there_yet(tmp_path):
    path = tmp_path / "space" / "events.db"
    assert existing_log(path) is None
    log = open_log(path)
    assert isinstance(log, SqliteEventLog)
    log.close()
    found = existing_log(path)
    assert isinstance(found, SqliteEventLog)
    found.close()


def test_a_server_keeps_the_log_under_the_name_of_the_space(tmp_path):
    with clusters.server(tmp_path / "server", appendonly="no") as port:
        log = existing_log(tmp_path / "world-tiny" / "events.db", f"redis://127.0.0.1:{port}")
        assert isinstance(log, StreamLog)
        assert log._stream == "upnext:{world-tiny}:events"
        log.close()
    assert not (tmp_path / "world-tiny").exists()


class Counted(MemoryLog):
    """A log that counts how often it is read, and does `meanwhile` while it is."""

    def __init__(self):
        super().__init__()
        self.reads, self.meanwhile = 0, lambda: None

    def read(self, after=0, limit=10_000):
        self.reads += 1
        found = super().read(after, limit)
        self.meanwhile()
        return found


class Shared:
    """Followers of one log."""

    def __init__(self):
        self.log, self.now_s = Counted(), 0.0
        self.shared = SharedReads(self.log, lambda: self.now_s)

    def clicks(self, *viewers):
        events = [ev.Click(event_id=f"c{v}", event_at=1, received_at=1, viewer_id=v, video_id=1) for v in viewers]
        self.shared.append(ev.to_table(events))

    def read(self, after=0, limit=10_000):
        events, following = self.shared.read(after, limit)
        return events["viewer_id"].to_pylist(), following


def test_followers_read_once_between_them_and_everybody_sees_everything():
    site = Shared()
    site.clicks(1, 2)
    first, end = site.read()
    site.clicks(3)
    assert site.read() == ([1, 2], end) == (first, end)
    assert site.log.reads == 1
    assert [site.read(end)[0] for _ in range(3)] == [[3]] * 3
    assert site.log.reads == 2
    assert site.read(limit=1)[0] == [1]


def test_what_is_not_there_yet_is_looked_for_again():
    site = Shared()
    assert site.read() == ([], 0)
    site.clicks(1)
    assert site.read()[0] == [1]


def test_reads_are_kept_for_a_moment():
    site = Shared()
    site.clicks(1)
    for moment, reads in ((0.0, 1), (1.9, 1), (4.0, 2)):
        site.now_s = moment
        site.read()
        assert site.log.reads == reads
    for viewer in range(2, 9):
        site.clicks(viewer)
        site.read(site.read()[1] + viewer - 2)
    assert len(site.shared._kept) <= 4


def test_nobody_reads_of_a_viewer_who_was_forgotten():
    site = Shared()
    site.clicks(1, 2)
    site.read()
    assert site.shared.forget(1) == 1
    assert site.read()[0] == [2]
    site.now_s, site.log.meanwhile = 9.0, lambda: site.shared.forget(2)
    assert site.read()[0] == [2]  # read before, though it ended afterwards: not kept
    site.log.meanwhile = lambda: None
    assert site.read()[0] == []


def test_a_log_that_does_not_answer_is_asked_again():
    site = Shared()
    site.clicks(1)

    def down():
        raise LogUnavailable("down")

    site.log.meanwhile = down
    with pytest.raises(LogUnavailable):
        site.read()
    site.log.meanwhile = lambda: None
    assert site.read()[0] == [1]
