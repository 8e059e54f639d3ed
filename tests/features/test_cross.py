import numpy as np
import pytest

from core import columns as c
from core.clock import HOUR_MS
from features import offline
from features.cross import CrossReader
from features.definitions import default_definitions
from features.schema import ViewerPart
from tests.features import logs

CATALOGUE, VIEWERS, DEFINITIONS = logs.catalogue(), logs.viewers(), default_definitions()
SCHEMA = DEFINITIONS.schema(CATALOGUE, VIEWERS)
READER = CrossReader(DEFINITIONS, CATALOGUE, VIEWERS)


def part(rows, ages, viewer_id=1, hour=13):
    """One viewer with this history."""
    history, age = np.full((1, 50), -1, dtype=np.int32), np.zeros((1, 50), dtype=np.float32)
    history[0, : len(rows)], age[0, : len(ages)] = rows, ages
    codes = np.concatenate([VIEWERS.attributes([viewer_id]), [[hour, 0]]], axis=1).astype(np.int32)
    return ViewerPart(np.zeros((1, 1), dtype=np.float32), codes, history, age, ())


def column(name, *args, **kwargs):
    videos = kwargs.pop("videos")
    return READER.dense(part(*args, **kwargs), np.array([videos]))[0, :, SCHEMA.cross_dense.index(name)].tolist()


def test_shares_of_the_history():
    # Categories by row: chess music news unknown, again and again; channels by threes, channel 0 is rows 0-2.
    assert column("category_share", [0, 4, 1, 3], [1, 2, 3, 4], videos=[8, 5, 2, 7]) == [0.5, 0.25, 0.0, 0.0]
    assert column("channel_share", [0, 1, 4, 9], [1, 2, 3, 4], videos=[2, 5, 11, 6]) == [0.5, 0.25, 0.25, 0.0]
    assert column("category_share", [], [], videos=[0, 3]) == [0.0, 0.0]


def test_hours_since_the_same_category():
    found = column("hours_since_category", [1, 0, 4], [2.0, 5.0, 9.0], videos=[8, 5, 2])
    assert found == pytest.approx([np.log1p(5.0), np.log1p(2.0), 10.0])


def test_cosine_with_the_mean_of_the_history():
    unit = CATALOGUE.content / np.maximum(np.linalg.norm(CATALOGUE.content, axis=1, keepdims=True), 1e-9)
    mean = unit[[2, 5, 7]].mean(axis=0)
    expected = unit[[0, 5]] @ mean / np.linalg.norm(mean)
    assert column("content_cosine", [2, 5, 7], [1, 1, 1], videos=[0, 5]) == pytest.approx(expected.tolist(), abs=1e-3)
    assert column("content_cosine", [2], [1], videos=[11, 2]) == pytest.approx([0.0, 1.0])
    assert column("content_cosine", [], [], videos=[1]) == [0.0]


def test_same_language():
    languages = dict(zip(VIEWERS.viewer_ids.tolist(), VIEWERS.frame[c.LANGUAGE].to_list(), strict=True))
    assert [languages[1], languages[2]] == ["fr", "en"]
    assert column("same_language", [], [], viewer_id=2, videos=[0, 1]) == [1.0, 0.0]  # rows alternate en, de
    assert column("same_language", [], [], viewer_id=1, videos=[0, 1]) == [0.0, 0.0]  # no video is in French
    assert column("same_language", [], [], viewer_id=77, videos=[0, 1]) == [0.0, 0.0]


def test_cross_codes_are_exact():
    codes = READER.codes(part([], [], viewer_id=1, hour=23), np.array([[0, 5, 11]]))[0]
    age, device = VIEWERS.attributes([1])[0, [0, 4]]
    category = CATALOGUE.category[[0, 5, 11]]
    assert codes[:, 0].tolist() == (age * 4 + category).tolist()
    assert codes[:, 1].tolist() == [device * 6 + 1, device * 6 + 4, device * 6]  # 40 s, 1440 s, unknown
    assert codes[:, 2].tolist() == (3 * 4 + category).tolist()


def test_codes_stay_inside_their_sizes():
    every = np.array([np.arange(len(CATALOGUE))])
    for viewer_id in [*VIEWERS.viewer_ids.tolist(), 77]:
        for hour in range(24):
            codes = READER.codes(part([], [], viewer_id=viewer_id, hour=hour), every)
            assert (codes >= 0).all()
            assert (codes < np.array(SCHEMA.cross_code_sizes)).all()


def test_a_catalogue_without_content():
    catalogue = logs.catalogue(content_size=0)
    at = np.array([logs.START_AT + 40 * 24 * HOUR_MS])
    built = offline.build(
        logs.random_log(2, 300), catalogue, VIEWERS, viewer_ids=np.array([1]), at=at, video_rows=np.array([3], dtype=np.int32)
    )
    assert built.schema.content_size == 0
    assert built.batch(np.array([0])).cross_dense_BKF[0, 0, SCHEMA.cross_dense.index("content_cosine")] == 0.0
