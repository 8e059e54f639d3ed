import pytest

from core.clock import DAY_MS, HOUR_MS
from features import freshness
from features.definitions import default_definitions

DEFINITIONS = default_definitions()
NOW = 20_000 * DAY_MS + 7 * HOUR_MS


def ages(**changes):
    given = {"lacking_since": None, "end_at": NOW - HOUR_MS, **changes}
    return {age.group: age for age in freshness.ages(DEFINITIONS, NOW, **given)}


def test_every_feature_is_in_the_group_that_feeds_it_once():
    found = ages()
    named = [name for group in ("stream", "release", "request") for name in found[group].features]
    assert sorted(named) == sorted(feature.name for feature in DEFINITIONS)
    assert "hour" in found["request"].features
    assert "video_duration" in found["release"].features
    assert "content_cosine" in found["stream"].features


def test_the_stream_is_as_old_as_what_it_lacks():
    assert ages()["stream"].age_s == 0
    assert not ages(lacking_since=NOW - 10_000)["stream"].late
    late = ages(lacking_since=NOW - 10_001)["stream"]
    assert (late.age_s, late.budget_s, late.late) == (10.001, 10, True)


def test_what_cannot_be_told_is_late():
    stream = ages(log_answers=False)["stream"]
    assert stream.age_s is None
    assert stream.late


def test_a_release_lasts_a_day():
    assert ages()["release"].age_s == 3600
    assert not ages(end_at=NOW - DAY_MS)["release"].late
    assert ages(end_at=NOW - DAY_MS - 1)["release"].late
    assert ages(end_at=NOW + 5)["release"].age_s == 0


def test_windows_move_by_the_tile():
    found = ages()
    assert found["tiles of 3 h"].age_s == 3600
    assert found["tiles of 1 day"].age_s == 7 * 3600
    assert found["tiles of 5 days"].budget_s == 5 * 86_400
    assert "viewer_clicks_1d" in found["tiles of 3 h"].features
    assert not any(age.late for age in found.values())


@pytest.mark.parametrize(
    ("ms", "text"), [(DAY_MS, "1 day"), (30 * DAY_MS, "30 days"), (3 * HOUR_MS, "3 h"), (90_000, "1.5 min")]
)
def test_lengths(ms, text):
    assert freshness.length(ms) == text
