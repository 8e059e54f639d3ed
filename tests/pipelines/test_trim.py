import json

import polars as pl
import pytest

from core import columns as c
from core import events as ev
from core import release
from core.event_log import SqliteEventLog
from data import partitions, tombstones
from data.stream_log import StreamLog
from experiments.served import EXPERIMENTS
from pipelines import ingest, spaces, trim
from serving.releases import LINEAGE
from tests import clusters


def clicks(*numbers):
    return ev.to_table(
        [ev.Click(event_id=f"e-{n}", event_at=n, received_at=n, viewer_id=n % 3, video_id=4, request_id="r") for n in numbers]
    )


def publish(space, log_offset, pointer="live"):
    facts = dict.fromkeys(("snapshot", "feature_schema", "config_fingerprint", "git_commit"), "") | {"created_at": 0}
    lineage = json.dumps({"log_offset": log_offset})
    made = release.publish(space.releases, lambda path: path.joinpath(LINEAGE).write_text(lineage), **facts)
    release.point(space.releases, pointer, made.release_id)
    return made.release_id


@pytest.fixture
def space(tmp_path):
    return spaces.open_space(tmp_path, "world-tiny")


def ids(parts):
    return pl.concat(parts)[c.EVENT_ID].sort().to_list() if parts else []


def test_nothing_goes_that_the_partitions_lack_or_a_release_in_use_still_needs(space):
    log = SqliteEventLog(space.events)
    log.append(clicks(*range(10)))
    assert trim.bound(space).upto == 0
    partitions.follow(space.partitions, log)
    log.close()
    assert trim.bound(space).upto == 10
    needed = publish(space, 7)
    assert trim.bound(space).upto == 7
    publish(space, 9)  # the one before is now where a roll-back goes
    assert trim.bound(space) == trim.Bound(7, f"release {needed} (previous) was trained on what came before")
    publish(space, 3, "canary")
    assert trim.bound(space).upto == 3
    (space.path / EXPERIMENTS).write_text(
        '[[experiments]]\nname = "spread"\n[[experiments.arms]]\nname = "control"\n[[experiments.arms]]\nname = "more"\n'
    )
    assert trim.bound(space).upto == 0


def test_readers_find_what_a_trimmed_log_let_go_of(space, tmp_path, monkeypatch):
    with clusters.server(tmp_path / "server", appendonly="no") as port:
        monkeypatch.setenv("UPNEXT_LOG_URL", f"redis://127.0.0.1:{port}")
        log = StreamLog(f"redis://127.0.0.1:{port}", space.name)
        log.append(clicks(*range(9)))
        whole, end = ingest.live_events(space)
        partitions.follow(space.partitions, log)
        log.append(clicks(9))
        assert log.trim(6) == 6
        assert ids(ingest.live_events(space)[0]) == sorted([*ids(whole), "e-9"])
        assert ids(ingest.live_events(space, after=end)[0]) == ["e-9"]
        tombstones.forget(space.path, [2], 0)
        assert "e-2" not in ids(ingest.live_events(space)[0])
        log.trim(10)
        assert ingest.live_events(space)[1] == end  # whoever starts there misses nothing that the log still has
        log.close()
