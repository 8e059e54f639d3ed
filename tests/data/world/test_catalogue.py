import numpy as np
import polars as pl

from core import columns as c
from core.ids import to_ids
from data.catalogue import Catalogue
from data.world.catalogue import FIRST_CHANNEL_ID, make_videos, video_frame
from data.world.config import tiny
from data.world.topics import TOPICS


def test_rows_follow_upload_order_so_the_past_is_a_prefix():
    config, videos = tiny(), make_videos(tiny())
    assert (np.diff(videos.uploaded_at) >= 0).all()
    assert videos.num_available(config.start_at) == round(config.num_videos * config.backlog_share)
    assert videos.num_available(int(videos.uploaded_at[5])) == 5
    assert videos.num_available(config.end_at) == config.num_videos


def test_every_day_has_uploads():
    config, videos = tiny(), make_videos(tiny())
    day = (videos.uploaded_at[videos.uploaded_at >= config.start_at] - config.start_at) // 86_400_000
    assert set(day.tolist()) == set(range(config.days))


def test_mixtures_are_distributions_with_a_clear_main_topic():
    topics = make_videos(tiny()).topics_VT
    np.testing.assert_allclose(topics.sum(axis=1), 1.0, atol=1e-6)
    assert (topics.max(axis=1) >= 0.6 - 1e-6).all()
    assert (topics >= 0).all()


def test_ranges():
    videos = make_videos(tiny())
    assert videos.clickbait.min() >= 0
    assert videos.clickbait.max() <= 1
    assert videos.duration_s.min() >= 20
    assert videos.duration_s.max() <= 3_600


def test_frame_agrees_with_the_arrays_and_hides_the_truth():
    config, videos = tiny(), make_videos(tiny())
    frame = video_frame(config, videos)
    names = list(TOPICS)
    assert frame[c.CATEGORY].to_list() == [names[t] for t in videos.main_topic]
    assert (to_ids(frame[c.EXTERNAL_ID].to_list()) == frame[c.VIDEO_ID].to_numpy()).all()
    assert (frame[c.CHANNEL_ID].to_numpy() - FIRST_CHANNEL_ID == videos.channel).all()
    assert set(frame.columns) == {field.name for field in c.VIDEOS}
    catalogue = Catalogue.of(frame.cast({c.CONTENT: pl.List(pl.Float32)}))
    np.testing.assert_array_equal(catalogue.content, videos.content_VC)


def test_content_tells_topics_apart():
    videos = make_videos(tiny())
    vectors = videos.content_VC / np.linalg.norm(videos.content_VC, axis=1, keepdims=True)
    nearest = (vectors @ vectors.T - 2 * np.eye(len(videos))).argmax(axis=1)
    assert (videos.main_topic[nearest] == videos.main_topic).mean() > 0.5
