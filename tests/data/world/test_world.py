from collections.abc import Sequence

import numpy as np
import pytest

from core import columns as c
from core import events as ev
from core.clock import DAY_MS, HOUR_MS
from core.errors import BadInput
from core.events import from_table
from core.policy import Request, Slate
from data.world.config import tiny
from data.world.world import World

NOW = tiny().end_at


def _slate(request: Request, video_ids) -> Slate:
    k = len(video_ids)
    return Slate(request.request_id, np.asarray(video_ids, dtype=np.int64), np.ones(k), np.zeros(k, dtype=bool), ("test",) * k)


def _requests(n: int, label: str = "q") -> list[Request]:
    return [Request(f"{label}{i}", 1 + i % 500, NOW) for i in range(n)]


class Fixed:
    """The same page for everyone."""

    def __init__(self, video_ids: Sequence[int]) -> None:
        self.video_ids = video_ids

    def recommend(self, requests: Sequence[Request]) -> list[Slate]:
        return [_slate(request, self.video_ids) for request in requests]


class Oracle:
    """The ten videos with the highest true P(click)."""

    def __init__(self, world: World) -> None:
        self.world = world

    def recommend(self, requests: Sequence[Request]) -> list[Slate]:
        viewers = np.array([request.viewer_id - 1 for request in requests])
        chance = self.world.probability_of_click(viewers[:, None], np.arange(800), NOW)
        best = np.argsort(-chance, axis=1)[:, :10]
        return [_slate(request, rows + 1) for request, rows in zip(requests, best, strict=True)]


def _clicks(world: World, policy, label: str) -> float:
    requests = _requests(500, label)
    events = world.respond(policy.recommend(requests), requests)
    return events.column(c.KIND).to_pylist().count(ev.CLICK) / 5_000


def test_a_true_ranking_gets_far_more_clicks_than_popularity(lived):
    _, data = lived
    clicked = data.events.filter(data.events[c.KIND] == ev.CLICK)[c.VIDEO_ID]
    popular = clicked.value_counts(sort=True)[c.VIDEO_ID].head(10).to_list()
    world = World(tiny())
    world.remember(data.events)
    assert _clicks(world, Oracle(world), "o") > 2.0 * _clicks(world, Fixed(popular), "p")


def test_true_value_is_what_responses_average_to():
    requests, policy = _requests(500), Fixed([5, 17, 300, 44, 620])
    value = World(tiny()).true_value(policy, requests)
    totals = []
    for trial in range(16):
        world, asked = World(tiny()), _requests(500, f"t{trial}-")
        table = world.respond(policy.recommend(asked), asked)
        rows = table.to_pylist()
        regretted = {(r[c.REQUEST_ID], r[c.VIDEO_ID]) for r in rows if r[c.KIND] == ev.REGRET}
        kept = [r[c.VALUE] for r in rows if r[c.KIND] == ev.WATCH and (r[c.REQUEST_ID], r[c.VIDEO_ID]) not in regretted]
        totals.append(sum(kept) / 500)
    assert abs(np.mean(totals) - value) < 4 * np.std(totals, ddof=1) / np.sqrt(16)


def test_true_value_changes_nothing_and_needs_requests():
    world = World(tiny())
    first, second = (world.true_value(Fixed([1, 2, 3]), _requests(50)) for _ in range(2))
    assert first == second > 0
    with pytest.raises(BadInput, match="at least one request"):
        world.true_value(Fixed([1]), [])


def test_responses_replay_and_do_not_depend_on_the_batch():
    requests = _requests(40)
    slates = Fixed(list(range(1, 11))).recommend(requests)
    whole = World(tiny()).respond(slates, requests)
    world = World(tiny())
    parts = [world.respond(slates[i : i + 7], requests[i : i + 7]) for i in range(0, 40, 7)]
    ids = sorted(event_id for part in parts for event_id in part.column(c.EVENT_ID).to_pylist())
    assert ids == sorted(whole.column(c.EVENT_ID).to_pylist())
    assert len(set(ids)) == len(ids) > 20


def test_responses_are_events_of_the_slate():
    requests = _requests(200)
    table = World(tiny()).respond(Fixed([9, 8, 7]).recommend(requests), requests, at=NOW + HOUR_MS)
    assert table.schema == c.EVENTS
    events = from_table(table)
    assert {event.video_id for event in events} <= {7, 8, 9}
    assert min(event.event_at for event in events) > NOW + HOUR_MS
    assert all(event.received_at == event.event_at for event in events)
    assert [event.received_at for event in events] == sorted(event.received_at for event in events)


def test_losses_only_when_asked():
    requests = _requests(500)
    slates = Fixed(list(range(1, 11))).recommend(requests)
    exact, lossy = World(tiny()).respond(slates, requests), World(tiny()).respond(slates, requests, lossy=True)
    assert lossy.num_rows <= exact.num_rows
    assert (np.array(lossy.column(c.RECEIVED_AT)) >= np.array(lossy.column(c.EVENT_AT))).all()
    assert (np.array(lossy.column(c.RECEIVED_AT)) > np.array(lossy.column(c.EVENT_AT))).any()


def test_bad_slates_are_explained_and_odd_ones_survive():
    world, requests = World(tiny()), _requests(2)
    with pytest.raises(BadInput, match="do not match"):
        world.respond(Fixed([1]).recommend(requests[:1]), requests)
    stranger = [Request("x", 999_999, NOW)]
    with pytest.raises(BadInput, match="viewer 999999 does not live"):
        world.respond(Fixed([1]).recommend(stranger), stranger)
    assert world.respond([], []).num_rows == 0
    assert world.respond(Fixed([]).recommend(requests), requests).num_rows == 0
    assert world.respond(Fixed([10**9]).recommend(requests), requests).num_rows == 0
    assert world.true_value(Fixed([]), requests) == 0.0


def test_sessions_are_ordered_and_windows_agree():
    world = World(tiny())
    day = list(world.sessions(NOW, NOW + DAY_MS, rate=3.0))
    assert [r.at for r in day] == sorted(r.at for r in day)
    assert all(NOW <= r.at < NOW + DAY_MS for r in day)
    assert len({r.request_id for r in day}) == len(day) > 200
    noon = NOW + 12 * HOUR_MS
    halves = [*world.sessions(NOW, noon, rate=3.0), *world.sessions(noon, NOW + DAY_MS, rate=3.0)]
    assert halves == day
    assert list(world.sessions(NOW, NOW)) == []


def test_rows_and_ids_agree_with_the_dataset(lived):
    world, data = lived
    assert (data.viewers[c.VIEWER_ID].to_numpy() == world.viewer_ids).all()
    assert (data.videos[c.VIDEO_ID].to_numpy() == world.video_ids).all()
    assert (
        data.until(NOW - 5 * DAY_MS).videos[c.VIDEO_ID].to_numpy()
        == world.video_ids[: world.videos.num_available(NOW - 5 * DAY_MS)]
    ).all()
