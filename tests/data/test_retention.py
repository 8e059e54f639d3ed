import os
from dataclasses import replace

import polars as pl
import pytest

from core import release
from core.clock import DAY_MS
from core.errors import BadInput, ReleaseRefused
from data import profile, retention, versioning

NOW = 4_000_000_000_000


@pytest.fixture
def places(dataset, tmp_path):
    """Four snapshots: one that a release names, one accepted, one that nobody needs, the newest."""
    snapshots, releases = tmp_path / "snapshots", tmp_path / "releases"
    ids = []
    for number in range(4):
        marked = dataset.videos.with_columns(pl.lit(f"title {number}").alias("title"))
        found = versioning.snapshot(replace(dataset, videos=marked), snapshots, "")
        os.utime(found.path / "snapshot.json", (number, number))
        ids.append(found.snapshot_id)
    published = release.publish(
        releases, lambda path: (path / "model").write_text("x") and None, snapshot=ids[0], feature_schema="f",
        config_fingerprint="", git_commit="", created_at=0,
    )  # fmt: skip
    release.point(releases, "live", published.release_id)
    profile.accept(snapshots, profile.build(dataset, ids[1]))
    return snapshots, releases, ids, published.release_id


def left(snapshots):
    return [found.snapshot_id for found in versioning.list_snapshots(snapshots)]


def test_only_what_nobody_needs_goes_and_only_when_told(places):
    snapshots, releases, ids, release_id = places
    fates = retention.collect(snapshots, releases, NOW)
    assert [fate.needed_by for fate in fates] == [(f"release {release_id} (live)",), ("accepted",), (), ("newest",)]
    assert [fate.removed for fate in fates] == [False, False, True, False]
    assert all(fate.size > 1_000 for fate in fates)
    assert left(snapshots) == ids
    assert retention.collect(snapshots, releases, NOW, apply=True) == fates
    assert left(snapshots) == [ids[0], ids[1], ids[3]]
    assert not any(fate.removed for fate in retention.collect(snapshots, releases, NOW, apply=True))


def test_a_released_snapshot_goes_only_by_force(places):
    snapshots, releases, ids, _ = places
    with pytest.raises(BadInput, match="no snapshot 'nothing'"):
        retention.collect(snapshots, releases, NOW, ["nothing"], apply=True)
    assert left(snapshots) == ids
    retention.collect(snapshots, releases, NOW, [ids[0]], apply=True)
    assert left(snapshots) == [ids[1], ids[3]]


def test_nothing_goes_while_a_release_cannot_be_read(places):
    snapshots, releases, ids, release_id = places
    (releases / release_id / release.MANIFEST).write_text("{")
    with pytest.raises(ReleaseRefused):
        retention.collect(snapshots, releases, NOW, apply=True)
    assert left(snapshots) == ids


def test_leftovers_of_crashes_go_after_a_day(places):
    snapshots, releases, ids, _ = places
    for name in (".staged-old", ".staged-new", ".removed-x"):
        (snapshots / name).mkdir()
    (snapshots / ".staged-file").write_text("")
    recent = NOW / 1_000
    for name, at in ((".staged-old", recent - 2 * DAY_MS / 1_000), (".staged-new", recent), (".staged-file", 0)):
        os.utime(snapshots / name, (at, at))
    retention.collect(snapshots, releases, NOW)
    assert len(list(snapshots.glob(".*"))) == 4
    retention.collect(snapshots, releases, NOW, apply=True)
    assert [path.name for path in snapshots.glob(".*")] == [".staged-new"]
    assert left(snapshots) == [ids[0], ids[1], ids[3]]


def test_names(places, tmp_path):
    snapshots, releases, ids, release_id = places
    for name, expected in (("live", 0), (release_id, 0), ("accepted", 1), (ids[2], 2), ("newest", 3)):
        assert retention.resolve(snapshots, releases, name) == ids[expected]
    for name in ("canary", "nothing"):
        with pytest.raises(BadInput, match=f"no snapshot '{name}'"):
            retention.resolve(snapshots, releases, name)
    for name in ("newest", "accepted"):
        with pytest.raises(BadInput):
            retention.resolve(tmp_path / "none", releases, name)
