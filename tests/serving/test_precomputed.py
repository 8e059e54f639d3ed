import os
from dataclasses import replace

import numpy as np
import pytest

from core import events as ev
from core.clock import ManualClock
from core.policy import UP_NEXT, Request, Slate
from serving import fakes
from serving.precomputed import Ahead, Doings, Facts, Front, MadeFor, Shelf, fill, room

CATALOGUE = fakes.catalogue(40)
CONFIG = "a config"
FACTS = Facts("r1", CONFIG, "control", 5, 3, ("click", "utility"), ("fresh", "two_tower"), made_at=1_000_000, log_offset=10)


NEAREST = {3: [5, 6, -1], 5: [7, -1, -1], 9: [-1, -1, -1]}


def slate(viewer, n=5, **changes):
    ids = CATALOGUE.video_ids[(viewer + np.arange(n)) % len(CATALOGUE)]
    scores = {head: np.arange(n, dtype=np.float32) + place for place, head in enumerate(FACTS.heads)}
    made = Slate(
        f"ahead:{viewer}",
        ids,
        np.linspace(1, 0.5, n),
        np.arange(n) % 2 == 1,
        ("two_tower", "fresh", "two_tower", "fresh", "fresh")[:n],
        scores,
        "r1",
    )
    return replace(made, **changes)


@pytest.fixture
def shelf(tmp_path):
    shelf = Shelf(tmp_path)
    records = room(np.array([9, 3, 5]), 5, 2, 3)
    for page, viewer in zip(records, (9, 3, 5), strict=True):
        fill(page, slate(viewer), FACTS)
        page["nearest"] = NEAREST[viewer]
    shelf.put(FACTS, records)
    return shelf


class Site:
    """Pages made ahead, with everything that a test may want to change."""

    def __init__(self, shelf, release_id="r1", max_age_s=60.0, start=10, **options):
        self.clock, self.doings = ManualClock(1_000_000), Doings(start)
        self.removed = np.zeros(len(CATALOGUE), dtype=bool)
        self.front = Front(shelf, self.doings, self.clock, max_age_s, **options)
        self.ahead = Ahead(MadeFor(release_id, CONFIG), CATALOGUE, self.visible, self.front)

    def visible(self, rows):
        rows = rows[rows >= 0]
        return rows[~self.removed[rows]]

    def ask(self, *viewers, **changes):
        """Their pages, None where one must be computed."""
        return [self.ahead.page(replace(Request(f"q{viewer}", viewer, 77, k=4), **changes)) for viewer in viewers]

    def known(self, *viewers, **changes):
        """Ids of their nearest videos, None where a computed page knows none."""
        requests = [replace(Request(f"q{viewer}", viewer, 77, k=4), **changes) for viewer in viewers]
        return [None if r.nearest is None else r.nearest.tolist() for r in self.ahead.knowing(requests)]

    def shown(self, *viewers):
        return [page is not None for page in self.ask(*viewers)]

    def do(self, offset, *events):
        self.doings.apply(ev.to_table(events))
        self.doings.save(offset)


def click(viewer, kind=ev.Click):
    return kind(event_id=f"{viewer}", event_at=1, received_at=1, viewer_id=viewer, video_id=1)


def test_a_page_made_ahead_is_the_page_that_was_made(shelf):
    site = Site(shelf)
    (shown,) = site.ask(5)
    made = slate(5)
    assert shown.request_id == "q5"
    assert shown.video_ids.tolist() == made.video_ids[:4].tolist()
    assert shown.propensities.tolist() == made.propensities[:4].tolist()
    assert shown.exploration.tolist() == made.exploration[:4].tolist()
    assert shown.sources == made.sources[:4]
    assert {head: values.tolist() for head, values in shown.scores.items()} == {
        head: values[:4].tolist() for head, values in made.scores.items()
    }
    assert (shown.release_id, shown.arm, shown.feature_hash, shown.degraded) == ("r1", "control", None, ())
    assert list(shown.stage_ms) == ["precomputed"]


def test_whoever_has_no_page_gets_a_computed_one(shelf):
    assert Site(shelf).shown(3, 4, 9, 100) == [True, False, True, False]


@pytest.mark.parametrize(
    "changes",
    [{"surface": UP_NEXT}, {"k": 6}, {"k": 0}, {"kids": True}, {"topics": ("music",)}],
    ids=lambda changes: str(changes),
)
def test_other_requests_are_computed(shelf, changes):
    site = Site(shelf)
    assert site.ask(5, **changes) == [None]


def test_who_has_done_something_since_gets_a_computed_page_and_being_shown_one_is_nothing_done(shelf):
    site = Site(shelf)
    shown = ev.Impression(
        event_id="i", event_at=1, received_at=1, viewer_id=9, video_id=1, position=0, surface="home", release_id="r1",
        arm="a", source="fresh", propensity=1.0, exploration=False,
    )  # fmt: skip
    loaded = ev.Loaded(event_id="l", event_at=1, received_at=1, viewer_id=9, video_id=1, request_id="i", load_s=0.3)
    site.do(11, click(5), shown, loaded, click(3, ev.Remove))
    assert site.shown(3, 5, 9) == [True, False, True]


def test_what_the_pages_know_of_does_not_count_against_them(shelf):
    site = Site(shelf, start=4)
    site.do(10, click(5))
    assert site.shown(5) == [True]
    site.do(12, click(3))
    assert site.shown(3, 5) == [False, True]


def test_pages_from_before_anybody_looked_are_not_trusted(shelf):
    assert Site(shelf, start=11).shown(5) == [False]


def test_old_pages_and_pages_of_other_releases_are_not_shown(shelf):
    site = Site(shelf)
    site.clock.advance(60_000)
    assert site.shown(5) == [True]
    site.clock.advance(1)
    assert site.shown(5) == [False]
    assert Site(shelf, "r2").shown(5) == [False]


def test_pages_of_another_config_are_not_shown(tmp_path, shelf):
    records = room(np.array([5]), 5, 2)
    fill(records[0], slate(5), FACTS)
    shelf.put(replace(FACTS, config="another", made_at=1_000_001), records)
    assert Site(shelf).shown(5) == [False]


def test_a_page_with_a_removed_video_is_computed(shelf):
    site = Site(shelf)
    site.removed[CATALOGUE.rows(slate(5).video_ids[4:])] = True  # beyond the four that are asked for
    assert site.shown(5) == [True]
    site.removed[CATALOGUE.rows(slate(5).video_ids[:1])] = True
    assert site.shown(5) == [False]


def test_a_page_with_a_video_that_this_process_has_not_heard_of_is_computed(shelf):
    records = room(np.array([5]), 5, 2)
    fill(records[0], slate(5), FACTS)
    records["video_ids"][0, 1] = 9_999
    shelf.put(replace(FACTS, made_at=1_000_500), records)
    assert Site(shelf).shown(5) == [False]


def test_computed_pages_know_the_nearest_videos_whatever_was_done_since(shelf):
    site = Site(shelf)
    site.do(11, click(5))
    assert site.shown(5) == [False]
    assert site.known(5, 3, 9, 4) == [[7], [5, 6], [], None]


@pytest.mark.parametrize(
    "changes", [{"surface": UP_NEXT}, {"kids": True}, {"topics": ("music",)}], ids=lambda changes: str(changes)
)
def test_other_requests_know_nothing(shelf, changes):
    assert Site(shelf).known(5, **changes) == [None]


def test_nothing_is_known_from_old_batches_other_releases_and_batches_that_kept_none(shelf):
    site = Site(shelf)
    site.clock.advance(60_001)
    assert site.known(5) == [None]
    assert Site(shelf, "r2").known(5) == [None]
    records = room(np.array([5]), 5, 2)
    fill(records[0], slate(5), FACTS)
    shelf.put(replace(FACTS, nearest=0, made_at=1_000_500), records)
    assert Site(shelf).known(5) == [None]
    assert Site(shelf).shown(5) == [True]


@pytest.mark.parametrize("spare_search", [True, False])
def test_whether_they_spare_the_search_is_the_operator_s_choice(shelf, spare_search):
    ahead = Site(shelf, spare_search=spare_search).ahead
    known, unknown = ahead.knowing([Request("q3", 3, 77), Request("q4", 4, 77)])
    assert (known.search, unknown.search) == (not spare_search, True)


def test_new_pages_replace_the_old_ones_and_their_file(tmp_path, shelf):
    records = room(np.array([5]), 5, 2)
    fill(records[0], slate(7), FACTS)
    shelf.put(replace(FACTS, made_at=1_000_500), records)
    assert sorted(os.listdir(tmp_path / "pages")) == ["r1-1000500.npy", "r1.json"]
    found = Site(shelf).ask(5, 3)
    assert found[0].video_ids.tolist() == slate(7).video_ids[:4].tolist()
    assert found[1] is None


def test_degraded_and_short_pages(shelf):
    records = room(np.array([1, 2]), 5, 2)
    fill(records[0], slate(1, degraded=("the store was down",)), FACTS)
    fill(records[1], slate(2, n=3), FACTS)
    shelf.put(replace(FACTS, made_at=1_000_500), records)
    found = Site(shelf).ask(1, 2)
    assert found[0] is None
    assert found[1].video_ids.tolist() == slate(2, n=3).video_ids.tolist()


def test_pages_that_cannot_be_read_are_computed(tmp_path, shelf):
    (tmp_path / "pages" / shelf.get("r1").facts.file).write_bytes(b"cut off")
    assert Site(shelf).shown(5) == [False]
    (tmp_path / "pages" / "r1.json").write_text('{"of": "another version"}')
    assert Site(shelf).shown(5) == [False]


@pytest.mark.parametrize("viewer", [3, 5, 9])
def test_a_forgotten_viewer_is_not_in_the_file_and_the_others_stay(tmp_path, shelf, viewer):
    before = Site(shelf)
    assert before.shown(viewer) == [True]
    kept = {"video_ids": slate(viewer).video_ids.tolist(), "nearest": [ids for ids in NEAREST[viewer] if ids >= 0]}
    assert shelf.held(viewer) == {"r1": kept}
    assert [shelf.forget(viewer), shelf.forget(viewer), shelf.forget(77)] == [True, False, False]
    assert shelf.held(viewer) == {}
    assert before.known(viewer) == [None]
    assert before.shown(viewer) == [False]  # not by whoever mapped the file before, either
    kept = {3, 5, 9} - {viewer}
    pages = shelf.get("r1")
    assert set(pages.records["viewer_id"].tolist()) == kept
    for other in kept:
        assert Site(shelf).ask(other)[0].video_ids.tolist() == slate(other).video_ids[:4].tolist()
        assert Site(shelf).known(other) == [[ids for ids in NEAREST[other] if ids >= 0]]
    assert Site(shelf).shown(viewer) == [False]
    assert [shelf.forget(other) for other in sorted(kept)] == [True, True]
    assert shelf.get("r1") is None
