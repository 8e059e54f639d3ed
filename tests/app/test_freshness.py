"""What a release in service lacks of the log."""

from dataclasses import dataclass
from types import SimpleNamespace

from app import freshness
from core import events as ev
from core.errors import LogUnavailable
from core.event_log import SqliteEventLog
from features.definitions import default_definitions

NOW = 1_780_000_000_000


@dataclass
class Consumer:
    offset: int = 0


def opened(offset):
    loaded = SimpleNamespace(definitions=default_definitions(), end_at=NOW - 3_600_000)
    return SimpleNamespace(release=SimpleNamespace(loaded=loaded), consumer=Consumer(offset))


def ages(log, offset):
    return {age.group: age for age in freshness.ages(opened(offset), log, NOW)}


def test_age_is_that_of_the_oldest_event_that_is_lacking(tmp_path):
    log = SqliteEventLog(tmp_path / "events.db")
    assert ages(log, 0)["stream"].age_s == 0
    said = [
        ev.Click(event_id=str(i), event_at=1, received_at=NOW - ms, viewer_id=1) for i, ms in enumerate((9_000, 4_000, 500))
    ]
    log.append(ev.to_table(said))
    assert [ages(log, offset)["stream"].age_s for offset in (0, 1, 2, 3)] == [9.0, 4.0, 0.5, 0.0]
    assert ages(log, 3)["release"].age_s == 3600
    log.close()


def test_without_the_log_nobody_knows():
    class Gone:
        def read(self, after=0, limit=10_000):
            raise LogUnavailable("no such disk")

    assert ages(Gone(), 0)["stream"].late
