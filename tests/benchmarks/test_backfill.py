import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import backfill, load
from features import definitions as declared
from features import offline
from features.definitions import default_definitions
from features.memory_store import MemoryStore
from features.online import OnlineFeatures
from features.states import viewer_states
from features.video_state import VideoState
from tests.features import logs

SOURCE = Path(declared.__file__).read_text()


@pytest.fixture(scope="module")
def changed():
    return backfill.definitions(backfill.with_feature(SOURCE, backfill.declaration(backfill.PAGE.read_text())))


def test_the_page_shows_a_declaration_that_nobody_has_made_yet(changed):
    before, after = ([feature.name for feature in found.viewer] for found in (default_definitions(shelved=True), changed))
    assert after[-1] not in before
    assert after[:-1] == [feature.name for feature in default_definitions().viewer]
    assert len(changed.viewer_sums) > len(default_definitions().viewer_sums), "it should need a sum that nobody kept before"


def test_the_declaration_of_the_page_is_served_as_it_is_trained(changed):
    events, catalogue, viewers = logs.random_log(3, 2_000), logs.catalogue(), logs.viewers()
    half = len(events) // 2
    as_of = int(events["received_at"][half])
    store = MemoryStore()
    store.load(viewer_states(events[:half], catalogue, changed, as_of))
    videos = VideoState.from_events(events[:half], catalogue, changed, as_of)
    online = OnlineFeatures(changed, catalogue, viewers, store, videos)
    online.apply(events[half:].to_arrow())
    at = np.full(len(logs.VIEWER_IDS), int(events["received_at"][-1]) + 1)
    built = offline.build(
        events,
        catalogue,
        viewers,
        viewer_ids=logs.VIEWER_IDS,
        at=at,
        video_rows=np.zeros(5, dtype=np.int32),
        definitions=changed,
    )
    served, trained = (
        part.dense_BF[:, -1] for part in (online.viewer_part(logs.VIEWER_IDS, at), built.viewer_part(np.arange(5)))
    )
    np.testing.assert_array_equal(served, trained)
    assert len(np.unique(trained)) == 5, "every viewer of this log likes at a rate of their own"


def test_a_program_that_looks_otherwise_is_refused():
    with pytest.raises(ValueError, match="_viewer"):
        backfill.with_feature("def viewers():\n    return ()\n", "k.Rate()")


def test_visitors_finish_at_the_old_place_before_it_may_close(monkeypatch):
    releases, open_places, refused = {1: "a", 2: "b"}, {1, 2}, []

    async def visit(port: int, rate: float, seconds: float, number: int) -> list[load.Answer]:
        await asyncio.sleep(0.01)
        refused.extend([port] * (port not in open_places))
        body = {"release": releases[port], "degraded": number == 0, "reasons": ["slow"] if number == 0 else []}
        pages = [load.Visit(0.0, "/recommend"), load.Visit(0.0, "/events", body=b"{}")]
        return [load.Answer(page, 200, 7.0, json.dumps(body).encode()) for page in pages]

    monkeypatch.setattr(backfill.soak, "visit", visit)
    with backfill.Visitors("old", 1, 5.0) as visitors:
        visitors.until(lambda: visitors.serves("a"))
        visitors.go_to("new", 2)
        open_places.remove(1)
        visitors.until(lambda: visitors.serves("b"))
    found = backfill._noticed(visitors, {"a": "without", "b": "with"})
    assert not refused
    assert list(found["pages"]) == ["old program, release without", "new program, release with"]
    assert found["pages_asked"] == sum(found["pages"].values()) == visitors.rounds
    assert (found["pages_failed"], found["events_failed"], found["pages_that_lacked_something"]) == (0, 0, 1)


def test_a_step_that_never_shows_is_not_waited_for_for_ever(monkeypatch):
    async def nobody(port: int, rate: float, seconds: float, number: int) -> list[load.Answer]:
        await asyncio.sleep(0.01)
        return []

    monkeypatch.setattr(backfill.soak, "visit", nobody)
    monkeypatch.setattr(backfill, "_PATIENCE_S", 0.2)
    with backfill.Visitors("old", 1, 5.0) as visitors, pytest.raises(TimeoutError, match="waited in vain"):
        visitors.until(lambda: visitors.serves("a"))
