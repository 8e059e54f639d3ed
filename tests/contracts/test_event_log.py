"""What every EventLog promises. An implementation opts in with a subclass and two fixtures."""

import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from core import columns as c
from core import events as ev
from core.errors import BadInput, LogUnavailable
from core.event_log import EventLog, SqliteEventLog
from data.stream_log import StreamLog
from tests import clusters

ROOT = Path(__file__).resolve().parents[2]


def click(number: int, video_id: int = 4) -> ev.Click:
    return ev.Click(event_id=f"e-{number}", event_at=number, received_at=number, viewer_id=3, video_id=video_id)


def impression(number: int, exploration: bool) -> ev.Impression:
    return ev.Impression(
        event_id=f"i-{number}", event_at=number, received_at=number, viewer_id=3, video_id=2**62 + 5, position=1,
        surface="home", release_id="r", arm="a", source="trending", propensity=0.1, exploration=exploration,
        scores={"click": 0.25},
    )  # fmt: skip


class EventLogContract:
    """Subclass it and provide `log` and `reopen` (another reader of the same log)."""

    def test_acknowledged_events_come_back_in_order(self, log: EventLog) -> None:
        events = [click(2), impression(1, True), impression(3, False), click(0)]
        assert log.append(ev.to_table(events)) == [event.event_id for event in events]
        table, offset = log.read()
        assert ev.from_table(table) == events
        assert table.schema == c.EVENTS
        assert offset > 0

    def test_duplicates_are_acknowledged_and_dropped(self, log: EventLog) -> None:
        log.append(ev.to_table([click(1, video_id=10)]))
        again = replace(click(1, video_id=10), event_at=7, received_at=9)
        assert log.append(ev.to_table([again, click(2), click(2)])) == ["e-1", "e-2", "e-2"]
        events = ev.from_table(log.read()[0])
        assert [(e.event_id, e.video_id, e.received_at) for e in events] == [("e-1", 10, 1), ("e-2", 4, 2)]

    def test_another_event_under_a_known_id_is_not_acknowledged(self, log: EventLog) -> None:
        log.append(ev.to_table([click(1, video_id=10), impression(5, True)]))
        sent = [click(1, video_id=11), click(2), click(2, video_id=5), impression(5, True), click(3)]
        assert log.append(ev.to_table(sent)) == [None, "e-2", None, "i-5", "e-3"]
        assert [(e.event_id, e.video_id) for e in ev.from_table(log.read()[0]) if isinstance(e, ev.Click)] == [
            ("e-1", 10), ("e-2", 4), ("e-3", 4)
        ]  # fmt: skip

    def test_reading_continues_where_it_stopped(self, log: EventLog) -> None:
        log.append(ev.to_table([click(i) for i in range(5)]))
        found, after = [], 0
        while True:
            table, offset = log.read(after, limit=2)
            if not len(table):
                break
            assert offset > after
            found, after = found + table[c.EVENT_ID].to_pylist(), offset
        assert found == [f"e-{i}" for i in range(5)]
        assert log.read(after)[1] == after
        log.append(ev.to_table([click(9)]))
        assert log.read(after)[0][c.EVENT_ID].to_pylist() == ["e-9"]

    def test_an_empty_batch_is_fine(self, log: EventLog) -> None:
        assert log.append(ev.to_table([])) == []
        assert len(log.read()[0]) == 0

    def test_a_batch_with_a_broken_event_is_refused_whole(self, log: EventLog) -> None:
        broken = ev.to_table([click(1), click(2)])
        broken = broken.set_column(broken.schema.get_field_index(c.KIND), c.KIND, [["click", None]])
        with pytest.raises(BadInput, match="required"):
            log.append(broken)
        assert len(log.read()[0]) == 0

    def test_another_reader_sees_what_was_acknowledged(self, log: EventLog, reopen: Callable[[], EventLog]) -> None:
        log.append(ev.to_table([click(1)]))
        assert ev.from_table(reopen().read()[0]) == [click(1)]

    def test_many_writers_lose_nothing(self, log: EventLog, reopen: Callable[[], EventLog]) -> None:
        def write(writer: int) -> None:
            mine = reopen()
            for i in range(10):
                mine.append(ev.to_table([click(1_000 * writer + i), click(i)]))

        threads = [threading.Thread(target=write, args=(w,)) for w in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = log.read()[0][c.EVENT_ID].to_pylist()
        assert len(found) == len(set(found)) == 4 * 10 + 10

    def test_one_viewer_is_forgotten_and_the_others_keep_their_places(self, log: EventLog) -> None:
        upload = ev.Upload(event_id="u", event_at=1, received_at=1, viewer_id=8, video_id=2)
        log.append(ev.to_table([replace(click(n), viewer_id=8 if n % 2 else 9) for n in range(6)]))
        log.append(ev.to_table([upload]))
        _, middle = log.read(limit=4)
        assert log.of_viewer(8)[c.EVENT_ID].to_pylist() == ["e-1", "e-3", "e-5"]
        assert [log.forget(8), log.forget(8), log.forget(77)] == [3, 0, 0]
        assert len(log.of_viewer(8)) == 0
        assert log.read()[0][c.EVENT_ID].to_pylist() == ["e-0", "e-2", "e-4", "u"]
        assert log.read(middle)[0][c.EVENT_ID].to_pylist() == ["e-4", "u"]


class TestSqliteEventLog(EventLogContract):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "deep" / "events.db"

    @pytest.fixture
    def log(self, path: Path) -> Iterator[SqliteEventLog]:
        log = SqliteEventLog(path, busy_timeout_s=20)
        yield log
        log.close()

    @pytest.fixture
    def reopen(self, path: Path) -> Callable[[], SqliteEventLog]:
        return lambda: SqliteEventLog(path, busy_timeout_s=20)

    def test_old_schema_versions_are_lifted_when_read(self, log: SqliteEventLog, monkeypatch: pytest.MonkeyPatch) -> None:
        log.append(ev.to_table([click(1)]))
        monkeypatch.setattr(ev, "SCHEMA_VERSION", ev.SCHEMA_VERSION + 1)
        monkeypatch.setattr(ev, "MIGRATIONS", {ev.SCHEMA_VERSION - 1: lambda row: {**row, c.SURFACE: "home"}})
        assert log.read()[0][c.SURFACE].to_pylist() == ["home"]

    def test_a_log_that_cannot_commit_says_so(self, path: Path, log: SqliteEventLog) -> None:
        hasty = SqliteEventLog(path, busy_timeout_s=0.01)
        blocker = log._connection()
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable, match="could not commit"):
            hasty.append(ev.to_table([click(1)]))
        blocker.rollback()
        assert hasty.append(ev.to_table([click(1)])) == ["e-1"]

    def test_what_was_forgotten_is_not_in_the_files(self, path: Path, log: SqliteEventLog) -> None:
        secret = replace(click(1), event_id="the-name-of-somebody")
        log.append(ev.to_table([secret, click(2)]))
        files = [path, path.with_name(f"{path.name}-wal")]
        assert any(b"the-name-of-somebody" in file.read_bytes() for file in files)
        log.forget(secret.viewer_id)
        assert not any(b"the-name-of-somebody" in file.read_bytes() for file in files if file.exists())

    @pytest.mark.parametrize("acknowledged", [1, 3, 8])
    def test_kill_minus_nine_loses_nothing_acknowledged(self, path: Path, acknowledged: int) -> None:
        process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        promised = [process.stdout.readline().split() for _ in range(acknowledged)]
        os.kill(process.pid, signal.SIGKILL)
        promised += [line.split() for line in process.stdout.read().splitlines() if line.endswith(".")]
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        found = SqliteEventLog(path).read(limit=1_000_000)[0][c.EVENT_ID].to_pylist()
        assert {event_id for line in promised for event_id in line if event_id != "."} <= set(found)
        assert len(found) % 20 == 0


_LOGS = itertools.count()


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with clusters.server(tmp_path_factory.mktemp("stream")) as port:
        yield port


@pytest.fixture(scope="module")
def three_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    with clusters.cluster(tmp_path_factory.mktemp("cluster")) as ports:
        yield ports


class StreamLogContract(EventLogContract):
    """The contract, and what streams add. Provide `url`."""

    @pytest.fixture
    def name(self) -> str:
        return f"space{next(_LOGS)}"

    @pytest.fixture
    def log(self, url: str, name: str) -> Iterator[StreamLog]:
        log = StreamLog(url, name)
        yield log
        log.close()

    @pytest.fixture
    def reopen(self, url: str, name: str) -> Callable[[], StreamLog]:
        return lambda: StreamLog(url, name)

    def test_the_newest_event_says_when_the_log_ends(self, log: StreamLog) -> None:
        assert log.newest_at() == 0
        log.append(ev.to_table([click(5), click(9)]))
        assert log.newest_at() == 9

    def test_old_schema_versions_are_lifted_when_read(self, log: StreamLog, monkeypatch: pytest.MonkeyPatch) -> None:
        log.append(ev.to_table([click(1)]))
        monkeypatch.setattr(ev, "SCHEMA_VERSION", ev.SCHEMA_VERSION + 1)
        monkeypatch.setattr(ev, "MIGRATIONS", {ev.SCHEMA_VERSION - 1: lambda row: {**row, c.SURFACE: "home"}})
        assert log.read()[0][c.SURFACE].to_pylist() == ["home"]

    def test_what_was_trimmed_is_gone_and_offsets_go_on(self, log: StreamLog) -> None:
        log.append(ev.to_table([click(n) for n in range(6)]))
        _, middle = log.read(limit=4)
        assert log.trim(middle) == 4
        log.append(ev.to_table([click(2), click(9)]))  # the first is still known
        table, end = log.read()
        assert table[c.EVENT_ID].to_pylist() == ["e-4", "e-5", "e-9"]
        assert end == middle + 3

    def test_spaces_do_not_mix(self, log: StreamLog, url: str) -> None:
        log.append(ev.to_table([click(1)]))
        other = StreamLog(url, f"other{next(_LOGS)}")
        other.append(ev.to_table([click(1), click(2)]))
        assert (len(log.read()[0]), len(other.read()[0])) == (1, 2)
        other.close()


class TestStreamLog(StreamLogContract):
    @pytest.fixture
    def url(self, one_server: int) -> str:
        return f"redis://127.0.0.1:{one_server}"

    def test_kill_minus_nine_loses_nothing_acknowledged(self, tmp_path: Path) -> None:
        with clusters.server(tmp_path) as port:
            log, promised = StreamLog(f"redis://127.0.0.1:{port}", "s"), list[str]()
            for number in range(0, 60, 3):
                promised += log.append(ev.to_table([click(number + i) for i in range(3)]))
            with redis.Redis(port=port) as client:
                os.kill(client.info("server")["process_id"], signal.SIGKILL)
            with pytest.raises(LogUnavailable, match="did not answer"):
                log.append(ev.to_table([click(99)]))
            with clusters.server(tmp_path, port=str(port)):
                assert log.read()[0][c.EVENT_ID].to_pylist() == promised
                assert log.append(ev.to_table([click(0), click(60)])) == ["e-0", "e-60"]
                assert log.read(len(promised))[0][c.EVENT_ID].to_pylist() == ["e-60"]
            log.close()

    def test_a_server_without_a_file_is_warned_of(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with clusters.server(tmp_path, appendonly="no") as port, caplog.at_level(logging.WARNING):
            log = StreamLog(f"redis://127.0.0.1:{port}", "s")
            assert log.append(ev.to_table([click(1)])) == ["e-1"]
            log.close()
        assert "lost when it ends" in caplog.text

    def test_a_server_that_is_not_there_is_said(self) -> None:
        with pytest.raises(LogUnavailable, match="did not answer"):
            StreamLog("redis://127.0.0.1:1", "s")


class TestStreamLogOfACluster(StreamLogContract):
    @pytest.fixture
    def url(self, three_servers: list[int]) -> str:
        return f"redis+cluster://127.0.0.1:{three_servers[1]}"


_WRITER = """
import sys
from pathlib import Path
from core import events as ev
from core.event_log import SqliteEventLog
log, n = SqliteEventLog(Path(sys.argv[1])), 0
while True:
    batch = [ev.Click(event_id=f"k-{n + i}", event_at=1, received_at=1, viewer_id=1, video_id=1) for i in range(20)]
    print(*log.append(ev.to_table(batch)), ".", flush=True)
    n += 20
"""
