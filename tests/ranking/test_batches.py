from dataclasses import replace

import numpy as np
import pytest

from core.errors import BadInput
from ranking import batches, config
from ranking.layout import layout
from tests.ranking import planted


def collect(part, truth):
    make = batches.lists if isinstance(part, batches.Lists) else batches.impressions
    return make(part, truth.schema, truth.videos, layout(truth.schema, config.tiny()))


def test_every_row_is_asked_for_once_and_in_order(monkeypatch):
    monkeypatch.setattr(batches, "_CHUNK", 64)
    truth = planted.world(60)
    part, batch = planted.impressions(truth, 150)
    asked = []

    def provider(rows):
        asked.extend(rows.tolist())
        return planted.take(batch, rows)

    rows = collect(replace(part, features=provider), truth)
    assert asked == list(range(150))
    index = np.array([140, 3])
    inputs = rows.inputs(index)
    assert (inputs.video_BK.numpy() == batch.video_BK[index]).all()
    assert (inputs.history_BL.numpy() == batch.viewer.history_BL[index]).all()
    assert (inputs.candidate_numbers_BKF[..., 0].numpy() == part.affinity[index, None]).all()
    position, device = rows.position(index)
    assert (position.numpy() == part.position[index]).all()
    assert (device.numpy() == batch.viewer.codes_BC[index, 4]).all()


def test_the_last_rows_in_time_are_held_out():
    truth = planted.world(60)
    part, _ = planted.impressions(truth, 100)
    at = np.random.default_rng(0).permutation(100)
    before, after = collect(replace(part, at=at), truth).split(0.2)
    assert (len(before), len(after)) == (80, 20)
    assert at[before].max() < at[after].min()


def test_lists_say_nothing_of_clicks_watch_and_position():
    truth = planted.world(60)
    rows = collect(planted.lists(truth, 40), truth)
    labels = rows.labels(np.arange(40))
    assert labels["click"].isnan().all(), "column 0 is clicked by construction"
    assert labels["watch"].isnan().all()
    assert not labels["like"].isnan().any()
    assert (rows.position(np.arange(40))[0] == -1).all()
    assert rows.listed


def test_empty_parts_are_refused():
    truth = planted.world(60)
    part, _ = planted.impressions(truth, 5)
    names = ("affinity", "at", "position", "clicked", "watch_s", "liked", "disliked")
    with pytest.raises(BadInput, match="no training rows"):
        collect(replace(part, **{name: getattr(part, name)[:0] for name in names}), truth)


def test_feedback_is_given_a_click_unless_the_log_says_otherwise():
    truth = planted.world(60)
    part, _ = planted.impressions(truth, 200)
    skipped = part.clicked == 0
    labels = collect(part, truth).labels(np.arange(200))
    assert (labels["like"].isnan().numpy() == skipped).all()
    assert (labels["watch"].isnan().numpy() == skipped).all()
    assert labels["long_view"].isnan().all()
    by_itself = replace(part, given_click=False, long_viewed=part.clicked)
    labels = collect(by_itself, truth).labels(np.arange(200))
    assert (labels["like"].numpy() == part.liked).all()
    assert (labels["long_view"].numpy() == part.clicked).all()
