import numpy as np
import pytest

from core.rng import stream
from retrieval.examples import RetrievalExamples
from retrieval.runs import RunSampler

COUNTS = [3, 1, 10, 25, 7]
LENGTH = 8


@pytest.fixture(scope="module")
def examples():
    """Clicks of five viewers, shuffled in the log; the video tells viewer and place."""
    random = np.random.default_rng(0)
    viewers = np.repeat(np.arange(len(COUNTS)) * 11, COUNTS)
    place = np.concatenate([np.arange(n) for n in COUNTS])
    order = random.permutation(len(viewers))
    rows = (np.repeat(np.arange(len(COUNTS)), COUNTS) * 100 + place).astype(np.int32)
    return RetrievalExamples(None, rows[order], 1_000 + place[order] * 5, viewers[order])  # type: ignore[arg-type]


def runs_of(batches, examples):
    """(viewer, places, whole) of every run."""
    for batch in batches:
        ends = np.cumsum(batch.lengths)
        for end, length, whole in zip(ends, batch.lengths, batch.whole, strict=True):
            videos = examples.video_rows[batch.positions[end - length : end]]
            yield int(videos[0]) // 100, videos % 100, bool(whole)


def test_an_epoch_is_one_run_per_viewer_in_order(examples):
    random = stream(0, "test")
    for _ in range(20):
        found = sorted(runs_of(RunSampler(examples, LENGTH).epoch(40, random), examples), key=lambda run: run[0])
        assert [viewer for viewer, _, _ in found] == [0, 1, 2, 3, 4]
        for (viewer, places, whole), count in zip(found, COUNTS, strict=True):
            assert len(places) == min(count, LENGTH), viewer
            assert (np.diff(places) == 1).all()
            assert whole == (places[0] == 0)


def test_long_viewers_end_at_the_latest_half_of_the_time(examples):
    random, sampler = stream(1, "test"), RunSampler(examples, LENGTH)
    starts = [
        places[0] for _ in range(400) for viewer, places, _ in runs_of(sampler.epoch(40, random), examples) if viewer == 3
    ]
    latest = np.mean(np.array(starts) == 25 - LENGTH)
    assert latest == pytest.approx(0.5 + 0.5 / (25 - LENGTH + 1), abs=0.08)
    assert set(starts) == set(range(25 - LENGTH + 1))


def test_batches_hold_what_they_may(examples):
    for size in (1, 9, 16, 1_000):
        batches = RunSampler(examples, LENGTH).epoch(size, stream(2, "test"))
        for batch in batches:
            assert len(batch.lengths) == 1 or batch.lengths.max() * len(batch.lengths) <= size
            assert batch.lengths.sum() == len(batch.positions)
    assert len(batches) == 1
