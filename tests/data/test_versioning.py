import json

import polars as pl
import pytest

from core import columns as c
from core import files
from core.clock import DAY_MS
from core.errors import BadInput
from core.events import SCHEMA_VERSION
from data import lineage, tombstones, versioning
from data.dataset import Dataset


def test_round_trip(dataset, tmp_path):
    found = versioning.snapshot(dataset, tmp_path, "abc123")
    opened = versioning.open_snapshot(tmp_path, found.snapshot_id, verify=True)
    assert opened.name == "hand"
    for table in ("events", "viewers", "videos"):
        assert getattr(opened, table).equals(getattr(dataset, table))
        assert getattr(opened, table).schema == getattr(dataset, table).schema
    assert (found.num_events, found.num_viewers, found.num_videos, found.code_version) == (6, 2, 2, "abc123")
    assert (found.first_at, found.last_at) == (dataset.events[c.RECEIVED_AT][0], dataset.end_at)
    assert versioning.to_json(found)["snapshot_id"] == found.snapshot_id


def test_events_lie_in_one_file_per_day(dataset, tmp_path):
    path = versioning.snapshot(dataset, tmp_path, "").path
    assert sorted(p.name for p in (path / "events").iterdir()) == ["date=2023-11-14", "date=2023-11-16"]
    assert len(pl.read_parquet(path / "events" / "date=2023-11-14" / "part.parquet")) == 4


def test_the_id_is_stable(dataset):
    # Written down once: a change here renames every snapshot there is.
    assert versioning.content_hash(dataset) == "e284d4bce16f6f6d"


def test_the_id_ignores_name_code_and_chunks_and_sees_every_value(dataset, tmp_path):
    chunked = pl.concat([dataset.events[:2], dataset.events[2:]], rechunk=False)
    same = Dataset("other", chunked, dataset.viewers, dataset.videos)
    first = versioning.snapshot(dataset, tmp_path, "one")
    assert versioning.snapshot(same, tmp_path, "two") == first
    assert first.code_version == "one"
    changes = [
        pl.when(pl.col(c.EVENT_ID) == "d").then(31.0).otherwise(pl.col(c.VALUE)).alias(c.VALUE),
        pl.col(c.VALUE).fill_null(0.0),
        pl.col(c.REQUEST_ID).fill_null(""),
        pl.col(c.KIND).str.replace("watch", "atchw"),
        pl.col(c.POSITION).cast(pl.Int64),
    ]
    hashes = {
        versioning.content_hash(Dataset("x", dataset.events.with_columns(x), dataset.viewers, dataset.videos)) for x in changes
    }
    assert len(hashes - {first.snapshot_id}) == 4  # no request is null here, so that change changes nothing
    moved = dataset.videos.with_columns(pl.lit([1.0, 2.5], dtype=pl.List(pl.Float32)).alias(c.CONTENT))
    assert versioning.content_hash(Dataset("x", dataset.events, dataset.viewers, moved)) != first.snapshot_id


def test_scanning_reads_only_the_days_and_viewers_that_count(dataset, tmp_path):
    root, end = tmp_path / "snapshots", dataset.end_at
    found = versioning.snapshot(dataset, root, "")
    for before in (dataset.events[c.RECEIVED_AT][0], end - 5, end, end + 1):
        wanted = dataset.events.filter(pl.col(c.RECEIVED_AT) < before)
        assert versioning.scan(root, found.snapshot_id, before).collect().equals(wanted)
    assert versioning.catalogues(root, found.snapshot_id)[0].equals(dataset.viewers)
    (found.path / "events" / "date=2023-11-16" / "part.parquet").write_bytes(b"not read")
    assert len(versioning.scan(root, found.snapshot_id, end - DAY_MS).collect()) == 4
    tombstones.forget(tmp_path, [1], at=0)
    assert len(versioning.scan(root, found.snapshot_id, end - DAY_MS).collect()) == 0
    viewers, videos = versioning.catalogues(root, found.snapshot_id)
    assert (viewers[c.VIEWER_ID].to_list(), videos.equals(dataset.videos)) == ([2], True)


def test_listing_and_unknown_ids(dataset, tmp_path):
    assert versioning.list_snapshots(tmp_path / "nothing") == []
    first = versioning.snapshot(dataset, tmp_path, "")
    second = versioning.snapshot(dataset.until(dataset.end_at), tmp_path, "")
    assert {s.snapshot_id for s in versioning.list_snapshots(tmp_path)} == {first.snapshot_id, second.snapshot_id}
    with pytest.raises(BadInput, match=f"no snapshot 'x'.*{first.snapshot_id}"):
        versioning.open_snapshot(tmp_path, "x")


def test_tampering_and_torn_writes(dataset, tmp_path, monkeypatch):
    found = versioning.snapshot(dataset, tmp_path, "")
    dataset.viewers[:1].write_parquet(found.path / "viewers.parquet")
    versioning.open_snapshot(tmp_path, found.snapshot_id)
    with pytest.raises(BadInput, match="was changed after it was written"):
        versioning.open_snapshot(tmp_path, found.snapshot_id, verify=True)

    def crash(*_):
        raise OSError("disk full")

    monkeypatch.setattr(files, "sync_tree", crash)
    with pytest.raises(OSError, match="disk full"):
        versioning.snapshot(dataset, tmp_path / "other", "")
    assert list((tmp_path / "other").iterdir()) == []


def test_where_it_came_from_is_written_down_and_old_manifests_still_open(dataset, tmp_path):
    (tmp_path / "log.tsv").write_text("x")
    origin = lineage.of_files("recbole", [tmp_path / "log.tsv"], log_offset=7)
    found = versioning.snapshot(dataset, tmp_path / "s", "", origin)
    assert versioning.describe(tmp_path / "s", found.snapshot_id) == found
    assert found.origin == origin
    assert (found.schema_version, found.schema_hash) == (SCHEMA_VERSION, lineage.schema_hash())
    manifest = found.path / "snapshot.json"
    new = ("origin", "schema_hash", "schema_version")
    manifest.write_text(json.dumps({name: fact for name, fact in json.loads(manifest.read_text()).items() if name not in new}))
    old = versioning.describe(tmp_path / "s", found.snapshot_id)
    assert (old.schema_version, old.origin, old.num_events) == (0, None, 6)


def test_forgotten_viewers_are_left_out_and_the_snapshot_says_so(dataset, tmp_path):
    root = tmp_path / "snapshots"
    found = versioning.snapshot(dataset, root, "")
    assert versioning.forgotten(found, tombstones.read(tmp_path)) == 0
    marked = tombstones.forget(tmp_path, [2, 77], at=1)
    assert versioning.forgotten(found, marked) == 1
    opened = versioning.open_snapshot(root, found.snapshot_id, verify=True)
    assert set(opened.events[c.VIEWER_ID]) == set(opened.viewers[c.VIEWER_ID]) == {1}
    again = versioning.snapshot(opened, root, "")
    assert again.snapshot_id != found.snapshot_id
    assert versioning.forgotten(again, marked) == 0
