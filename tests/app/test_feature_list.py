from dataclasses import replace

from app import fakes
from features import listing
from features.freshness import Age

AUDIT = {"checked": 5}


def test_every_declared_feature_with_the_ages_of_what_feeds_it(make_client, site):
    both = [
        Age("stream", ("viewer_ctr_7d", "history"), 11.0, 10.0),
        Age("tiles of 1 day", ("viewer_ctr_7d",), None, 86_400.0),
    ]
    live = replace(site.releases.live, ages=lambda now: both)
    changes = {"releases": fakes.OneRelease(live), "reports": lambda: {"skew": AUDIT}, "viewers_held": lambda: 7}
    with make_client(**changes) as client:
        said = client.get("/ops/features/summary").json()
        assert "upnext_viewers_held 7.0" in client.get("/metrics").text.splitlines()
    assert [one["name"] for one in said["features"]] == [one.name for one in listing.entries()]
    ages = {one["name"]: [(age["group"], age["late"]) for age in one["ages"]] for one in said["features"]}
    assert ages["viewer_ctr_7d"] == [("stream", True), ("tiles of 1 day", True)]
    assert (ages["history"], ages["video_age"]) == ([("stream", True)], [])
    assert (said["audit"], said["viewers_held"]) == (AUDIT, 7)


def test_what_is_not_known_yet_is_null(reader):
    said = reader.get("/ops/features/summary").json()
    assert (said["audit"], said["viewers_held"]) == (None, None)
    assert "upnext_viewers_held NaN" in reader.get("/metrics").text.splitlines()
