import numpy as np
import pytest

from core.clock import HOUR_MS, MINUTE_MS
from core.errors import BadInput
from features.facts import VideoFacts, ViewerFacts

AT = 1_000 * HOUR_MS


def facts(ages_min, categories=None, length=6) -> ViewerFacts:
    """One viewer with clicks of these ages, latest first."""
    known = len(ages_min)
    history = np.full((1, length), -1, dtype=np.int32)
    history_at = np.zeros((1, length), dtype=np.int64)
    category = np.full((1, length), -1, dtype=np.int32)
    history[0, :known], history_at[0, :known] = 3, AT - np.array(ages_min, dtype=np.int64) * MINUTE_MS
    category[0, :known] = categories if categories is not None else 1
    return ViewerFacts(np.array([AT]), {}, history, history_at, category, np.full((1, 4), -1))


@pytest.mark.parametrize(
    ("ages_min", "clicks"),
    [([], 0), ([29], 1), ([30], 0), ([5, 20, 49], 3), ([5, 20, 50], 2), ([5, 100, 101], 1), ([1, 2, 3, 4, 5, 6], 6)],
)
def test_session_ends_at_the_first_pause(ages_min, clicks):
    assert facts(ages_min).session_clicks(30 * MINUTE_MS).tolist() == [clicks]


@pytest.mark.parametrize(
    ("categories", "share"),
    [([], 0.0), ([2], 1.0), ([2, 3], 0.5), ([3, 2, 3, 2, 3], 0.6), ([-1, -1, -1, 4], 0.25), ([-1, -1], 0.0)],
)
def test_share_of_the_top_category(categories, share):
    assert facts([1] * len(categories), categories).share("top category").tolist() == [share]


def test_hours_since_click():
    assert facts([90, 200]).hours_since("click").tolist() == [1.5]
    assert facts([]).hours_since("click").tolist() == [-1.0]


def test_age_of_videos():
    uploaded = np.array([[AT - 2 * HOUR_MS, AT + HOUR_MS, 0]])
    video = VideoFacts(np.array([AT]), {}, uploaded, np.array([[10.0, 0.0, 5.0]], dtype=np.float32))
    assert video.hours_since("upload").tolist() == [[2.0, 0.0, -1.0]]
    assert video.column("age_known").tolist() == [[1.0, 1.0, 0.0]]


def test_a_feature_of_the_wrong_entity_is_refused():
    with pytest.raises(BadInput, match="ViewerFacts has no column 'duration_s'"):
        facts([]).column("duration_s")


@pytest.mark.parametrize(
    ("ages_min", "clicks", "sessions"),
    [([], 0, 0), ([5], 1, 1), ([5, 34, 64], 3, 2), ([5, 34, 63], 3, 1), ([1, 50, 100], 2, 2), ([99, 100], 1, 1), ([100], 0, 0)],
)
def test_sessions_of_a_span(ages_min, clicks, sessions):
    """Thirty minutes apart end a session; what is 100 minutes old is over."""
    counted, of = facts(ages_min).sessions(100 * MINUTE_MS, 30 * MINUTE_MS)
    assert (counted.tolist(), of.tolist()) == ([clicks], [sessions])


def test_a_history_that_is_full_has_sessions_to_its_end():
    counted, of = facts([1, 2, 50, 51, 120, 121], length=6).sessions(1_000 * MINUTE_MS, 30 * MINUTE_MS)
    assert (counted.tolist(), of.tolist()) == ([6], [3])
