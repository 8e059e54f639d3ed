from core.event_log import SqliteEventLog
from data.logs import existing_log, open_log
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
