import pyarrow as pa
import pytest

from core import columns as c
from core import events as ev

BASE = {"event_id": "e-1", "event_at": 1, "received_at": 2, "viewer_id": 3, "video_id": 4, "request_id": "r"}
EXTRA = {
    ev.IMPRESSION: {
        "position": 0, "surface": "home", "release_id": "rel", "arm": "a", "team": "b", "source": "fresh", "propensity": 0.25,
        "exploration": True, "feature_hash": "h", "scores": {"click": 0.5},
    },
    ev.WATCH: {"watch_s": 12.5},
    ev.SURVEY: {"rating": 4.0},
    ev.LOADED: {"load_s": 0.4},
    ev.UPLOAD: {"attributes": {"title": "é", "duration_s": 3}},
    ev.LABEL: {"surface": "clickbait?", "value": 1.0},
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(ev.KINDS))
def test_every_kind_survives_the_table(kind: str) -> None:
    event = ev.KINDS[kind](**BASE, **EXTRA.get(kind, {}))
    table = ev.to_table([event])
    assert table.schema == c.EVENTS
    assert ev.from_table(table) == [event]


def test_fields_a_kind_lacks_are_null() -> None:
    row = ev.to_table([ev.Click(**BASE)]).to_pylist()[0]
    assert {name for name, value in row.items() if value is not None} == {*BASE, c.KIND}


def test_an_empty_table_has_the_schema() -> None:
    assert ev.to_table([]).schema == c.EVENTS
    assert ev.from_table(pa.Table.from_pylist([], schema=c.EVENTS)) == []


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        ev.from_row({**BASE, c.KIND: "teleport"})


def test_migration_lifts_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ev, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(
        ev, "MIGRATIONS", {1: lambda row: {**row, "steps": [1]}, 2: lambda row: {**row, "steps": [*row["steps"], 2]}}
    )
    assert ev.migrate({}, 1) == {"steps": [1, 2]}
    assert ev.migrate({"steps": []}, 3) == {"steps": []}


def test_events_from_the_future_are_refused() -> None:
    with pytest.raises(ValueError, match="newer than this program"):
        ev.migrate({}, ev.SCHEMA_VERSION + 1)
