from dataclasses import replace

import polars as pl
import pytest

from core import columns as c
from core.clock import DAY_MS
from data import snapshot_diff, tombstones, versioning
from data.world import config, simulate

COUNTS = ("added", "removed", "changed")


def differences(tmp_path, before, after):
    root = tmp_path / "snapshots"
    first, second = (versioning.snapshot(dataset, root, "").snapshot_id for dataset in (before, after))
    return snapshot_diff.diff(root, first, second)


def test_nothing_differs_from_itself(dataset, tmp_path):
    found = differences(tmp_path, dataset, dataset)
    assert len(found.rows) == 0
    assert found.catalogues == {name: dict.fromkeys(COUNTS, 0) for name in ("viewers", "videos")}
    assert found.moved == ()


def test_rows_by_day_and_kind(dataset, tmp_path):
    is_d, is_c = pl.col(c.EVENT_ID) == "d", pl.col(c.EVENT_ID) == "c"
    events = dataset.events.with_columns(pl.when(is_d).then(31.0).otherwise(pl.col(c.VALUE)).alias(c.VALUE)).filter(~is_c)
    late = dataset.events.filter(is_c).with_columns(pl.lit("g").alias(c.EVENT_ID), pl.col(c.RECEIVED_AT) + DAY_MS)
    viewers = dataset.viewers.with_columns(
        pl.when(pl.col(c.VIEWER_ID) == 1).then(pl.lit("de")).otherwise(c.COUNTRY).alias(c.COUNTRY)
    )
    after = replace(dataset, events=pl.concat([events, late]).sort(c.RECEIVED_AT), viewers=viewers, videos=dataset.videos[:1])
    found = differences(tmp_path, dataset, after)
    assert found.rows.rows() == [
        ("2023-11-14", "click", 0, 1, 0), ("2023-11-14", "watch", 0, 0, 1), ("2023-11-15", "click", 1, 0, 0),
    ]  # fmt: skip
    assert found.catalogues == {
        "viewers": {"added": 0, "removed": 0, "changed": 1}, "videos": {"added": 0, "removed": 1, "changed": 0},
    }  # fmt: skip
    back = snapshot_diff.diff(tmp_path / "snapshots", found.after, found.before)
    assert back.rows.select("day", "kind", added="removed", removed="added", changed="changed").equals(found.rows)
    assert found.to_json()["rows"][0] == {"day": "2023-11-14", "kind": "click", "added": 0, "removed": 1, "changed": 0}


def test_forgotten_viewers_are_in_neither(dataset, tmp_path):
    tombstones.forget(tmp_path, [2], at=0)
    found = differences(tmp_path, dataset, replace(dataset, events=dataset.events.filter(pl.col(c.VIEWER_ID) == 1)))
    assert len(found.rows) == 0


@pytest.mark.parametrize(("factor", "moved"), [(1.0, set()), (1_000.0, {"seconds of a watch", "watched share of the video"})])
def test_distributions_that_moved(tmp_path, factor, moved):
    world = simulate.generate(config.tiny())
    after = replace(world, events=world.events.with_columns(pl.col(c.VALUE) * factor))
    assert {outcome.what for outcome in differences(tmp_path, world, after).moved} == moved
