from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from core import columns as c
from core.clock import DAY_MS
from data.catalogue import Catalogue, ViewerTable
from data.splits import global_time_split
from data.world.config import tiny
from data.world.simulate import generate
from pipelines import examples
from pipelines.orchestration import rows


@pytest.fixture(scope="module")
def log():
    """A tiny world in which every seventh click is received two days late, and where training on it ends."""
    dataset = generate(tiny())
    late = pl.when((pl.col(c.KIND) == "click") & (pl.int_range(pl.len()) % 7 == 0)).then(2 * DAY_MS).otherwise(0)
    events = dataset.events.with_columns(pl.col(c.RECEIVED_AT) + late).sort(c.RECEIVED_AT, c.EVENT_ID)
    return events, Catalogue.of(dataset.videos), ViewerTable.of(dataset.viewers), global_time_split(events, 0.1, 0.2).test_from


@pytest.fixture(scope="module")
def single(log):
    events, catalogue, viewers, until = log
    return examples.clicks(events, catalogue, viewers, until)


def equal(one, other):
    for name in ("dense_BF", "codes_BC", "history_BL", "history_age_BL"):
        assert getattr(one, name).dtype == getattr(other, name).dtype
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
    assert [seen.tolist() for seen in one.seen] == [seen.tolist() for seen in other.seen]


@pytest.mark.parametrize(("most", "at_a_time"), [(1, rows.MOST_EVENTS), (3, 5_000), (1_000, 15_000)])
def test_the_union_of_all_spans_is_the_single_build_bit_for_bit(log, single, most, at_a_time, tmp_path):
    events, catalogue, viewers, until = log
    spans = rows.spans(events, until, most)
    assert spans[0][0] == 0
    assert spans[-1][1] == until
    assert len(spans) == most or (most == 1_000 and len(spans) > 10)
    assert all(end == begin and begin % DAY_MS == 0 for (_, end), (begin, _) in pairwise(spans))
    parts = []
    for number, span in enumerate(spans):
        folder = tmp_path / str(number)
        folder.mkdir()
        rows.write(rows.build(events.lazy(), catalogue, viewers, span, at_a_time), folder)
        parts.append(rows.read(folder))
    every = np.arange(len(single))
    equal(rows.joined(parts), single.features.viewer_part(every))
    again = rows.clicks(events, catalogue, viewers, until, parts)
    some = every[::-3]
    one, other = again.features.batch(some), single.features.batch(some)
    equal(one.viewer, other.viewer)
    assert [one.fingerprint(i) for i in range(len(some))] == [other.fingerprint(i) for i in range(len(some))]
    assert (again.at.tolist(), again.video_rows.tolist()) == (single.at.tolist(), single.video_rows.tolist())


def test_a_span_reads_nothing_that_was_received_later(log):
    events, catalogue, viewers, until = log
    begin, end = rows.spans(events, until, 3)[1]
    past = events.filter(pl.col(c.RECEIVED_AT) < end)
    one, other = (rows.build(frame.lazy(), catalogue, viewers, (begin, end)) for frame in (past, events))
    equal(one, other)


def test_a_log_without_clicks_has_one_span_without_rows(log):
    events, catalogue, viewers, until = log
    shown = events.filter(pl.col(c.KIND) == "impression")
    ((begin, end),) = rows.spans(shown, until, 5)
    assert (begin, end) == (0, until)
    assert len(rows.build(shown.lazy(), catalogue, viewers, (begin, end))) == 0


def test_no_more_than_a_block_of_viewers_is_read_at_a_time(log, monkeypatch):
    events, catalogue, viewers, until = log
    sizes, whole = [], examples.clicks

    def counted(part, *rest, **named):
        sizes.append(len(part))
        return whole(part, *rest, **named)

    monkeypatch.setattr(examples, "clicks", counted)
    rows.build(events.lazy(), catalogue, viewers, (0, until), most=5_000)
    known = len(events.filter(pl.col(c.RECEIVED_AT) < until))
    assert len(sizes) == -(-known // 5_000)
    assert max(sizes) < 2 * 5_000
    assert sum(sizes) == known
