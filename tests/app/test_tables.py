SAID = {
    "live": "a1", "warm": "b2", "uploads": 3, "removed": 1, "guard": None,
    "tables": [{"name": "video vectors", "rows": 63, "dim": 8, "dtype": "float32", "bytes": 2_016, "grows": True}],
    "cache": {"rows": 10, "lookups": 4_000, "hit_rate": 0.875},
    "index": {"kind": "exact", "vectors": 63, "beside": 3, "recall": 1.0, "at": 100},
    "releases": [
        {"release_id": "a1", "created_at": 1, "pointers": ["live"], "refresh_of": "b2", "snapshot": "s"},
        {"release_id": "b2", "created_at": 0, "pointers": ["previous"], "refresh_of": None, "snapshot": "s"},
    ],
    "moves": [{"at": 1, "pointer": "live", "before": "b2", "after": "a1", "who": "ann", "why": "refresh of b2"}],
}  # fmt: skip


def test_the_page_has_what_the_services_say(client, make_client):
    assert client.get("/ops/tables/summary").json()["tables"] == []
    with make_client(tables=lambda: SAID) as asked:
        assert asked.get("/ops/tables/summary").json() == SAID
        assert asked.get("/ops/tables").status_code == 200
