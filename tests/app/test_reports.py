import json
import os

import pytest

from app import reports

LINEAGE = {"release_id": "a1", "run": None, "nodes": {"data": {"id": "world", "facts": ["source world"]}}, "edges": []}
GATE = {"name": "quality:live", "value": 0.1, "bound": 0.0, "verdict": "pass", "sentence": "as good", "interval": None}
GATES = {"release_id": "a1", "live_id": None, "created_at": 5, "gates": [GATE], "blocking": [], "evidence": {"much": 1}}
VALIDATION = {
    "dataset": "world", "snapshot_id": "s", "at": 7, "ok": True, "summary": "all checks passed", "num_rows": {"events": 3},
    "findings": [], "outcomes": [{}, {}],
}  # fmt: skip
FEATURE = {
    "feature": "hour",
    "segment": "all",
    "psi": 0.01,
    "limit": 0.1,
    "missing": 0.0,
    "missing_before": 0.0,
    "labels": ["a", "b"],
    "expected": [0.5, 0.5],
    "actual": [0.4, 0.6],
    "rows": 100,
}
SIGNAL = {"signal": "click_rate", "value": 0.1, "expected": 0.1, "q": 0.9}
DRIFT = {
    "release_id": "a1", "from": "2026-01-01 00:00", "until": "2026-01-02 00:00", "reference": ["2025-12-31"], "num_tested": 2,
    "alert": None, "performance": None, "drifted": [
        {"feature": "f29", "segment": "all", "psi": 0.29, "standing": True},
        {"feature": "f28", "segment": "all", "psi": 0.28, "standing": False},
    ], "signals": [SIGNAL],
    "features": [FEATURE | {"feature": f"f{i}", "psi": i / 100} for i in range(30)],
}  # fmt: skip
SKEW = {
    "release_id": "a1", "audited_at": 8, "traffic": "made up", "pages": 50, "checked": 19_000, "mismatches": 3,
    "fingerprints": {"equal": 50, "unsettled": 0, "different": 0}, "joins": 10_240, "future_rows": 0, "alert": {"text": "skew"},
    "differences": [
        {"feature": "hour", "count": 3, "viewer_id": 3, "video_id": None, "at": 5, "served": 7.0, "offline": "nan"}
    ],
}  # fmt: skip
FILES = {
    "lineage/a1.json": LINEAGE, "gates/a1-against-nothing.json": GATES, "validation.json": VALIDATION, "monitoring.json": DRIFT,
    "skew.json": SKEW | {"store": "MemoryStore"},
}  # fmt: skip


REPORTS = {"lineage": LINEAGE, "gates": GATES, "validation": VALIDATION, "drift": DRIFT, "skew": SKEW}


@pytest.fixture
def space(tmp_path):
    for name, said in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(said))
    return tmp_path


def test_each_report_is_cut_to_what_fits_on_a_page(space):
    found = reports.newest(space, "a1")
    assert found["lineage"] == LINEAGE
    assert found["gates"] == {name: value for name, value in GATES.items() if name != "evidence"}
    assert found["validation"]["compared"] == 2
    assert "outcomes" not in found["validation"]
    assert [one["feature"] for one in found["drift"]["features"]] == [f"f{i}" for i in range(29, 14, -1)]
    assert found["drift"]["features"][0]["actual"] == [0.4, 0.6]
    assert "rows" not in found["drift"]["features"][0]
    assert found["skew"] == SKEW


def test_gates_of_the_live_release_come_before_newer_ones_of_others(space):
    other = space / "gates" / "b2-against-a1.json"
    other.write_text(json.dumps(GATES | {"release_id": "b2"}))
    os.utime(other, (2e9, 2e9))
    assert reports.newest(space, "a1")["gates"]["release_id"] == "a1"
    assert reports.newest(space, "c3")["gates"]["release_id"] == "b2"


def test_what_is_not_there_or_cannot_be_read_is_missing(space, tmp_path_factory):
    nothing = dict.fromkeys(REPORTS)
    assert reports.newest(tmp_path_factory.mktemp("empty"), "a1") == nothing
    for name in FILES:
        (space / name).write_text('{"older": "format"}')
    (space / "monitoring.json").write_text("{")
    found = reports.newest(space, "a1")
    assert {name for name, said in found.items() if said is not None} == {"lineage"}


def test_the_route_says_what_the_services_say(client, make_client, space):
    assert set(client.get("/ops/reports/summary").json().values()) == {None}
    with make_client(reports=lambda: reports.newest(space, "a1")) as asked:
        assert asked.get("/ops/reports/summary").json()["gates"]["gates"] == [GATE]
        assert asked.get("/ops/reports").status_code == 200
