"""Training material from a log without impressions."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from core.clock import DAY_MS
from data import dataset as datasets
from data.catalogue import LABEL, Catalogue, ViewerTable
from data.splits import TimeSplit
from pipelines import fit
from tests.data.conftest import START_AT, catalogue, event, frame


@pytest.fixture
def material():
    plain = {"request_id": None}
    events = [
        event("click", "a", 0, **plain),
        event("click", "b", 10, video_id=99, **plain),  # not in the catalogue
        event("like", "c", 20, **plain),
        event("click", "d", 30, viewer_id=2, video_id=11, **plain),
        event("dislike", "e", 40, viewer_id=2, video_id=11, **plain),
        event("click", "f", 3 * DAY_MS, **plain),  # the same viewer and video again, without a like
        event("click", "g", 4 * DAY_MS, viewer_id=2, **plain),
        event("like", "h", 6 * DAY_MS, viewer_id=2, **plain),  # too late, and in the test window
    ]
    data = datasets.make("hand", frame(events), *catalogue())
    split = TimeSplit(START_AT + 2 * DAY_MS, START_AT + 5 * DAY_MS, START_AT + 7 * DAY_MS)
    return fit.prepare(data, Catalogue.of(data.videos), ViewerTable.of(data.viewers), split)


def test_feedback_belongs_to_its_click(material):
    liked, disliked = fit._feedback(material, known_from_impressions=False)
    assert material.catalogue.video_ids[material.clicks.video_rows].tolist() == [10, 11, 10, 10]
    assert liked.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert disliked.tolist() == [0.0, 1.0, 0.0, 0.0]
    assert liked.dtype == np.float32


def test_the_ranker_reads_labels_as_they_were_known_before_its_rows(material):
    plain = material.catalogue
    late, early = (replace(plain, frame=plain.frame.with_columns(pl.lit(p).alias(LABEL + "kids"))) for p in (0.9, 0.4))
    found = fit.prepare(material.dataset, late, material.viewers, material.split, early)
    batch = found.clicks.features.batch(np.arange(len(found.clicks)))
    assert found.schema.video_dense[-1] == "video_kids"
    assert batch.video_dense_BKF[..., -1] == pytest.approx(0.4)
    assert found.catalogue.labels["kids"] == pytest.approx(0.9)


def test_feedback_is_unknown_where_impressions_carry_it(material):
    liked, disliked = fit._feedback(material, known_from_impressions=True)
    assert len(liked) == len(disliked) == len(material.clicks)
    assert np.isnan(liked).all()
    assert np.isnan(disliked).all()
