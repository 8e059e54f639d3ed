import hashlib
from dataclasses import replace

import pytest

from core import columns as c
from core import config as configs
from core import events as ev
from core.errors import BadInput
from core.event_log import SqliteEventLog
from data import partitions, tombstones, versioning
from pipelines import ingest, presets, provenance

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + "".join(
    f"u{i % 3}\tv{i % 5}\t4\t{1_700_000_000 + i}\n" for i in range(30)
)


def load(source, path, var_dir, snapshot=""):
    config = replace(presets.tiny(), snapshot=snapshot)
    return ingest.load(source, path, None, config, var_dir, lambda share, note: None)


@pytest.mark.parametrize("pointed_at", ["plays", "plays/plays.inter"])
def test_what_was_read_is_known_by_its_hash(tmp_path, pointed_at):
    (tmp_path / "plays").mkdir()
    (tmp_path / "plays" / "plays.inter").write_text(INTER)
    loaded = load("recbole", tmp_path / pointed_at, tmp_path / "var")
    (file,) = loaded.origin.files
    assert (loaded.origin.source, loaded.origin.log_offset, loaded.space.name) == ("recbole", 0, "plays")
    assert file.sha256 == hashlib.sha256(INTER.encode()).hexdigest()
    assert file.path == str(tmp_path / "plays" / "plays.inter")


def test_a_row_from_the_future_is_set_aside_and_does_not_end_the_log(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "now", lambda: 1_700_000_100_000)
    (tmp_path / "plays").mkdir()
    (tmp_path / "plays" / "plays.inter").write_text(INTER + f"u1\tv1\t4\t{1_700_000_000 + 365 * 86_400}\n")
    loaded = load("recbole", tmp_path / "plays", tmp_path / "var")
    assert loaded.dataset.end_at == 1_700_000_029_000
    assert "1 broken rows set aside: 1 timestamp lies in the far future" in loaded.warnings[0]


def test_a_world_is_known_by_its_config(tmp_path):
    loaded = load("world", None, tmp_path)
    assert loaded.origin.config == configs.fingerprint(presets.tiny().world)
    assert loaded.origin.files == ()


def test_what_the_service_took_in_is_in_the_next_catalogue_once(tmp_path):
    before = load("world", None, tmp_path)
    about = {"event_at": before.dataset.end_at, "received_at": before.dataset.end_at, "viewer_id": 3}
    known = int(before.dataset.videos[c.VIDEO_ID][0])
    attributes = {c.CATEGORY: "Chess"}
    uploads = [ev.Upload(event_id=f"{id_}", video_id=id_, attributes=attributes, **about) for id_ in (known, 9_000_000)]
    log = SqliteEventLog(before.space.events)
    log.append(ev.to_table(uploads))
    log.close()
    after = load("world", None, tmp_path)
    assert len(after.dataset.videos) == len(before.dataset.videos) + 1
    assert after.dataset.videos.row(-1, named=True)[c.CATEGORY] == "Chess"
    assert after.dataset.videos[c.VIDEO_ID].is_sorted()
    assert after.log_offset == 2


def test_a_log_needs_a_path(tmp_path):
    with pytest.raises(BadInput, match="--path"):
        ingest.open_space("recbole", None, presets.tiny(), tmp_path)


@pytest.mark.parametrize(("source", "path", "said"), [("recbole", "nothing", "does not exist"), ("recbol", ".", "no source")])
def test_what_does_not_exist_leaves_no_folder(source, path, said, tmp_path):
    with pytest.raises(BadInput, match=said):
        ingest.open_space(source, tmp_path / path, presets.tiny(), tmp_path / "var")
    assert not (tmp_path / "var").exists()


def test_daily_partitions_stand_for_the_part_of_the_live_log_that_they_have(tmp_path):
    before = load("world", None, tmp_path)
    at = before.dataset.end_at
    likes = [
        ev.Like(event_id=f"live-{i}", video_id=3, viewer_id=i, request_id="r", event_at=at + i, received_at=at + i)
        for i in range(20)
    ]
    log = SqliteEventLog(before.space.events)
    log.append(ev.to_table(likes[:12]))
    partitions.follow(before.space.partitions, log)
    log.append(ev.to_table(likes[12:]))
    log.close()
    with_partitions = load("world", None, tmp_path)
    before.space.partitions.rename(tmp_path / "aside")
    without = load("world", None, tmp_path)
    assert versioning.content_hash(with_partitions.dataset) == versioning.content_hash(without.dataset)
    assert (with_partitions.log_offset, without.log_offset) == (20, 20)
    (tmp_path / "aside").rename(before.space.partitions)
    before.space.events.unlink()
    alone = load("world", None, tmp_path)
    assert alone.log_offset == 12
    assert len(alone.dataset.events) == len(before.dataset.events) + 12


def test_a_config_that_names_a_snapshot_learns_from_it_whatever_came_since(tmp_path):
    (tmp_path / "plays").mkdir()
    path = tmp_path / "plays" / "plays.inter"
    path.write_text(INTER)
    before = load("recbole", path, tmp_path / "var")
    frozen = versioning.snapshot(before.dataset, before.space.snapshots, "", before.origin)
    path.write_text(INTER + "u1\tv1\t4\t1700009000\n")
    assert len(load("recbole", path, tmp_path / "var").dataset.events) > len(before.dataset.events)
    again = load("recbole", path, tmp_path / "var", frozen.snapshot_id)
    assert versioning.content_hash(again.dataset) == frozen.snapshot_id
    assert (again.origin, again.log_offset, again.warnings) == (before.origin, 0, ())
    tombstones.forget(before.space.path, [int(before.dataset.viewers[c.VIEWER_ID][0])], at=0)
    assert "1 viewers" in load("recbole", path, tmp_path / "var", frozen.snapshot_id).warnings[0]
    with pytest.raises(BadInput, match="no snapshot 'nothing'"):
        load("recbole", path, tmp_path / "var", "nothing")
