from functools import partial
from multiprocessing import active_children

import numpy as np
import pytest

from core import release
from core.errors import Unavailable
from core.policy import Request
from data.logs import open_log
from pipelines import spaces
from pipelines.batch import limit
from pipelines.page_makers import PageMaker, Task


def test_the_limit_is_that_of_a_fixed_and_an_arithmetic_cost():
    fixed, arithmetic = 6.0, 2.0
    for size in (2, 8, 64):
        ratio = (fixed + arithmetic) / (fixed / size + arithmetic)
        assert limit(ratio, size) == pytest.approx(1 + fixed / arithmetic)
    assert limit(1.3, 1) == 1.3
    assert limit(64.0, 64) == float("inf")


@pytest.fixture
def maker(trained):
    space = spaces.current(trained[0])
    live = release.resolve(space.releases, "live")
    return PageMaker(Task(space.releases, live, partial(open_log, space.events), nearest=30, batch_size=2))


def asked(maker, num):
    ids = maker.live.loaded.viewers.viewer_ids[:num].tolist()
    return [Request(f"q{viewer}", viewer, maker.live.loaded.end_at, k=8) for viewer in ids]


def test_several_processes_make_the_pages_that_one_makes(maker):
    requests = asked(maker, 70)
    alone, beside = [list(maker.make_all(requests, workers)) for workers in (1, 2)]
    assert [len(piece.slates) for piece in alone] == [len(piece.slates) for piece in beside] == [32, 32, 6]
    for one, other in zip(alone, beside, strict=True):
        assert one.nearest_BN.tolist() == other.nearest_BN.tolist()
        assert one.log_offset == other.log_offset
        assert [slate.request_id for slate in one.slates] == [slate.request_id for slate in other.slates]
        for left, right in zip(one.slates, other.slates, strict=True):
            assert left.video_ids.tolist() == right.video_ids.tolist()
            assert left.propensities.tolist() == right.propensities.tolist()


def test_the_nearest_videos_are_unseen_and_those_of_the_candidates(maker):
    requests = asked(maker, 3)
    (piece,) = maker.make_all(requests)
    viewer_ids, at = np.array([r.viewer_id for r in requests]), np.array([r.at for r in requests])
    seen = maker.live.features.viewer_part(viewer_ids, at).seen
    for ids, rows in zip(piece.nearest_BN, seen, strict=True):
        known = ids[ids >= 0]
        assert 0 < len(known) <= 30
        assert not set(maker.live.loaded.catalogue.rows(known)) & set(rows.tolist())


def test_a_process_that_ends_is_said_in_plain_words(maker):
    pieces = maker.make_all(asked(maker, 200), 2)
    next(pieces)
    active_children()[0].kill()
    with pytest.raises(Unavailable, match="run this again"):
        list(pieces)
