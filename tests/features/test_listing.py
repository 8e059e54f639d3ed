import json

import pytest

from core.errors import BadInput
from features import listing
from features.definitions import default_definitions

KNOWN = {entry.name: entry for entry in listing.entries()}


def test_every_feature_says_everything_about_itself():
    assert list(KNOWN) == [feature.name for feature in default_definitions(shelved=True)]
    for entry in KNOWN.values():
        assert all((entry.description, entry.formula, entry.owner, entry.kind, entry.freshness_s)), entry.name
    assert json.loads(json.dumps([entry.to_json() for entry in KNOWN.values()], allow_nan=False))


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("viewer_clicks_1d", 0.0), ("video_ctr_7d", 0.1), ("video_like_rate_30d", 0.05), ("video_watch_share_7d", 0.4),
        ("hours_since_click", 10.0), ("age_band", "code 0"), ("daypart_x_category", "code 0"), ("hour", "always known"),
        ("history", "empty"), ("video_duration", 0.0),
    ],
)  # fmt: skip
def test_the_default_is_what_a_model_reads_of_the_unknown(name, default):
    assert KNOWN[name].default == default


def test_what_no_model_reads_says_so():
    read = {feature.name for feature in default_definitions()}
    assert {name for name, entry in KNOWN.items() if entry.is_read} == read
    assert not KNOWN["viewer_watch_median"].is_read


def test_windows_and_sums():
    assert KNOWN["viewer_likes_30d"].window == "30 days"
    assert KNOWN["history"].window == "latest 50"
    assert KNOWN["viewer_watch_median"].window == "latest 20"
    assert KNOWN["session_clicks"].window == "session"
    assert KNOWN["video_ctr_7d"].sums == ("count of click, 7 tiles of 1 day", "count of impression, 7 tiles of 1 day")
    assert KNOWN["viewer_watch_median"].settings == {"quantile": 0.5}


def test_a_misspelt_name_is_answered_with_the_right_one():
    assert listing.entry("video_ctr_7d").name == "video_ctr_7d"
    with pytest.raises(BadInput, match="did you mean video_ctr_7d"):
        listing.entry("video_ctr")
    with pytest.raises(BadInput, match="features list"):
        listing.entry("xyz")
