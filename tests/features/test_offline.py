import numpy as np

from core import columns as c
from core import events as ev
from core.clock import HOUR_MS
from features import offline
from features.kinds import SEEN_LIMIT
from tests.features import logs
from tests.features.test_tiles import row

CATALOGUE, VIEWERS = logs.catalogue(), logs.viewers()
T = logs.START_AT


def built(*rows, at=T, viewer_id=1, video_rows=0, with_seen=False):
    return offline.build(
        logs.frame(list(rows)),
        CATALOGUE,
        VIEWERS,
        viewer_ids=np.array([viewer_id]),
        at=np.array([at]),
        video_rows=np.array([video_rows], dtype=np.int32),
        with_seen=with_seen,
    )


def test_history_is_latest_first_with_ages():
    rows = [row(ev.CLICK, T - HOUR_MS * h, video_id=v) for h, v in [(9, 103), (2, 101), (4, 999), (0, 105)]]
    part = built(*rows).viewer_part(np.array([0]))
    assert part.history_BL[0, :3].tolist() == [1, 3, -1]
    assert part.history_age_BL[0, :3].tolist() == [2.0, 9.0, 0.0]
    assert part.codes_BC[0, -2:].tolist() == [0, 1]  # midnight, Tuesday
    assert part.seen == ()


def test_a_request_exactly_at_receipt_does_not_see_the_event():
    click = row(ev.CLICK, T)
    assert built(click).viewer_part(np.array([0])).history_BL[0, 0] == -1
    assert built(click, at=T + 1).viewer_part(np.array([0])).history_BL[0, 0] == 0


def test_seen_is_everything_remembered():
    rows = [row(ev.CLICK, T - 5_000 + i, video_id=100 + i % 3) for i in range(SEEN_LIMIT + 5)]
    seen = built(*rows, with_seen=True).viewer_part(np.array([0])).seen[0]
    assert len(seen) == SEEN_LIMIT
    assert seen[:3].tolist() == [(SEEN_LIMIT + 4 - i) % 3 for i in range(3)]


def test_shapes_follow_the_schema():
    found = built(row(ev.CLICK, T - 1), video_rows=[3, 1, 4, 1])
    batch = found.batch(np.array([0, 0]))
    schema = found.schema
    assert len(found) == 1
    assert batch.viewer.dense_BF.shape == (2, len(schema.viewer_dense))
    assert batch.video_dense_BKF.shape == (2, 4, len(schema.video_dense))
    assert batch.cross_dense_BKF.shape == (2, 4, len(schema.cross_dense))
    assert batch.cross_codes_BKC.shape == (2, 4, len(schema.cross_codes))
    np.testing.assert_array_equal(batch.video_dense_BKF[0, 1], batch.video_dense_BKF[0, 3])


def test_against_other_candidates_keeps_the_request():
    found = built(*(row(ev.CLICK, T - i, video_id=100 + i) for i in range(1, 9)), video_rows=[2])
    other = found.against(np.array([0]), np.array([[5, 2]], dtype=np.int32))
    own = found.batch(np.array([0]))
    np.testing.assert_array_equal(other.video_dense_BKF[0, 1], own.video_dense_BKF[0, 0])
    np.testing.assert_array_equal(other.cross_dense_BKF[0, 1], own.cross_dense_BKF[0, 0])


def test_video_dense_moves_with_time():
    found = built(*(row(ev.CLICK, T - i) for i in range(1, 6)))
    place = found.schema.video_dense.index("video_clicks_1d")
    at = np.array([T - 10, T - 3, T, T + 48 * HOUR_MS])
    values = found.video_dense(np.zeros((4, 1), dtype=np.int32), at)[:, 0, place]
    np.testing.assert_allclose(np.expm1(values), [0, 2, 5, 0], atol=1e-6)


def test_everything_is_finite_whatever_the_log():
    events = logs.random_log(11, 2_000)
    random = np.random.default_rng(0)
    at = random.choice(events[c.RECEIVED_AT].to_numpy(), 200)
    found = offline.build(
        events,
        CATALOGUE,
        VIEWERS,
        viewer_ids=random.choice([1, 2, 5, 77], 200),
        at=at,
        video_rows=random.integers(0, 12, (200, 3)).astype(np.int32),
    )
    batch = found.batch(np.arange(200))
    for matrix in (batch.viewer.dense_BF, batch.viewer.history_age_BL, batch.video_dense_BKF, batch.cross_dense_BKF):
        assert np.isfinite(matrix).all()
        assert np.abs(matrix).max() < 1e4
    assert (batch.viewer.codes_BC < np.array(found.schema.viewer_code_sizes)).all()


def test_an_empty_log_and_an_empty_request():
    assert built().viewer_part(np.array([0])).history_BL.max() == -1
    none = offline.build(
        logs.frame([]), CATALOGUE, VIEWERS, viewer_ids=np.array([], dtype=np.int64), at=np.array([], dtype=np.int64),
        video_rows=np.array([], dtype=np.int32),
    )  # fmt: skip
    assert len(none) == 0
    assert none.batch(np.array([], dtype=np.int64)).video_dense_BKF.shape[:2] == (0, 1)
