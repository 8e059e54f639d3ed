import pytest

from app import fakes
from app.probation import Probation, ProbationConfig
from core import events as ev
from tests.app.conftest import NOW

CONFIG = ProbationConfig(viewers=30, patience_s=60.0)
LATER = NOW + 61_000


def page(release_id, viewer, n=0, at=NOW, clicked_after_ms=None):
    """The events of one page of one video."""
    about = {"received_at": at, "viewer_id": viewer, "video_id": 1, "request_id": f"{release_id} {viewer} {n}"}
    shown = ev.Impression(
        event_id=f"i {about['request_id']}", event_at=at, position=0, surface="home", release_id=release_id, arm="control",
        source="fresh", propensity=1.0, exploration=False, **about,
    )  # fmt: skip
    if clicked_after_ms is None:
        return [shown]
    return [shown, ev.Click(event_id=f"c {about['request_id']}", event_at=at + clicked_after_ms, **about)]


def probation(*pages, **more):
    log = fakes.MemoryLog()
    log.append(ev.to_table([event for events in pages for event in events]))
    return Probation(log, "before", "new", **({"offset": 0, "at": NOW, "config": CONFIG} | more))


def everybody(release_id, num, **more):
    return [page(release_id, viewer, **more) for viewer in range(num)]


@pytest.mark.parametrize(("clicked_after_ms", "goes_back"), [(1_000, False), (60_000, False), (60_001, True), (None, True)])
def test_a_click_counts_as_long_as_patience_lasts(clicked_after_ms, goes_back):
    before = everybody("before", 300, clicked_after_ms=1_000)
    before[0] = page("before", 0)  # nothing varies otherwise
    new = everybody("new", 300, clicked_after_ms=clicked_after_ms)
    why = probation(*before, *new).look(LATER)
    assert (why is not None) == goes_back
    if why:
        assert why == "0.0% of the pages of new are clicked, 99.7% of those before it"


def test_pages_that_are_too_young_and_too_few_viewers_say_nothing():
    pages = [*everybody("before", 300, clicked_after_ms=1), page("before", 300), *everybody("new", 300)]
    assert probation(*pages).look(NOW + 59_000) is None
    few = probation(*pages[:301], *everybody("new", 29))
    assert few.look(LATER) is None
    assert few.to_json()["viewers"] == [301, 29]
    assert probation(*pages).look(LATER)


def test_only_so_much_of_the_past_is_read():
    pages = [*everybody("before", 300, clicked_after_ms=1), page("before", 300), *everybody("new", 300)]
    asked = probation(*pages, offset=601, config=ProbationConfig(viewers=30, lookback=41))
    assert asked.look(LATER) is None
    assert asked.to_json()["viewers"] == [21, 300]


def test_a_viewer_counts_once_however_many_pages():
    eager = [page("new", 0, n, clicked_after_ms=1) for n in range(500)]
    others = [page("new", viewer) for viewer in range(1, 300)]
    assert probation(*everybody("before", 300, clicked_after_ms=1), page("before", 300), *eager, *others).look(LATER)


def test_probation_ends():
    assert [probation(page("new", 1)).over(NOW + seconds * 1_000) for seconds in (3_599, 3_600)] == [False, True]
