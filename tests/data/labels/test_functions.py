"""Statistics by hand, functions on hand-made videos, and labels of a whole world against its truth."""

import numpy as np
import polars as pl
import pytest

from core import columns as c
from data.labels import definitions, functions, label_model
from data.labels.functions import CLICKBAIT, KIDS, LabellingFunction
from data.world import kinds
from data.world.config import tiny
from data.world.simulate import history
from data.world.world import World


@pytest.fixture(scope="module")
def observed():
    world = World(tiny())
    data = history(world)
    graded = definitions.graded(definitions.impression_outcomes(data.events), data.videos)
    return world, data, graded, functions.statistics(data.videos, data.viewers, graded)


def test_counts_of_a_video_its_channel_and_its_category(observed):
    _, data, graded, frame = observed
    assert frame[c.VIDEO_ID].to_list() == data.videos[c.VIDEO_ID].to_list()
    video = frame.row(int(frame["clicks"].arg_max()), named=True)
    own = graded.filter(pl.col(c.VIDEO_ID) == video[c.VIDEO_ID])
    assert (video["shown"], video["clicks"], video["exits"]) == (len(own), own["clicked"].sum(), own["early_exit"].sum())
    assert video["watches"] == own.filter(pl.col("clicked") & pl.col("watch_s").is_not_null()).height
    young = data.viewers.filter(pl.col(c.AGE_BAND) == "under 18")[c.VIEWER_ID]
    assert video["young_clicks"] == own.filter(pl.col("clicked") & pl.col(c.VIEWER_ID).is_in(young.implode())).height
    for group, prefix in ((c.CHANNEL_ID, "channel_"), (c.CATEGORY, "category_")):
        others = data.videos.filter((pl.col(group) == video[group]) & (pl.col(c.VIDEO_ID) != video[c.VIDEO_ID]))[c.VIDEO_ID]
        assert video[f"{prefix}regrets"] == graded.filter(pl.col(c.VIDEO_ID).is_in(others.implode()))["regretted"].sum()
    assert video["channel_videos"] == len(data.videos.filter(pl.col(c.CHANNEL_ID) == video[c.CHANNEL_ID])) - 1


def test_titles():
    titles = [
        "You Won't BELIEVE This Trick!!",
        "Nobody Expected What Ramen Did Next...",
        "Ramen: A Beginner's Guide",
        "BBC News",
    ]
    said = functions.votes(pl.DataFrame({c.TITLE: titles}), [f for f in CLICKBAIT if f.name.startswith("title")])
    assert said.tolist() == [[1, 1, 1, -1, 1], [-1, -1, 1, 1, 1], [-1, -1, -1, -1, -1], [-1, -1, -1, -1, 1]]
    assert said.dtype == np.int8


def test_rates_are_drawn_to_the_log_and_silent_on_little():
    frame = pl.DataFrame({"hits": [30.0, 0.0, 1.0, 9.0], "trials": [100.0, 100.0, 2.0, 98.0]})
    said = functions.compared("hits", "trials", above=1.5, below=0.5, at_least=3)
    # usual rate 40 / 300; ratios (31.33 / 110) / .1333 = 2.14, .09, silent, .72
    assert functions.votes(frame, [LabellingFunction("x", said)])[:, 0].tolist() == [1, -1, 0, 0]


def test_who_is_keener():
    frame = pl.DataFrame(
        {"young_clicks": [40.0, 5.0], "clicks": [100.0, 100.0], "young_shown": [200.0, 200.0], "shown": [1_000.0, 1_000.0]}
    )
    said = functions.votes(frame, [LabellingFunction("x", functions.keener("young", above=1.2, below=0.8))])
    assert said[:, 0].tolist() == [1, -1]


def test_a_log_that_lacks_what_a_function_reads_is_met_with_silence(observed):
    _, data, graded, _ = observed
    ageless = data.viewers.with_columns(pl.lit(c.UNKNOWN).alias(c.AGE_BAND))
    said = functions.votes(functions.statistics(data.videos, ageless, graded), KIDS)
    assert not said.any()


def test_labels_of_a_world_order_videos_better_than_chance(observed):
    world, _, _, frame = observed
    for those, truth, wanted in ((CLICKBAIT, kinds.is_clickbait(world), 0.85), (KIDS, kinds.is_for_kids(world), 0.6)):
        said = functions.votes(frame, those)
        probability = label_model.fit(said, prior=float(truth.mean())).probability(said)
        above = (probability[truth][:, None] > probability[~truth]).mean() + 0.5 * (
            probability[truth][:, None] == probability[~truth]
        ).mean()
        assert above > wanted
