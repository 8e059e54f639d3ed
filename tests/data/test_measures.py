import pytest

from data.measures import MEASURES, VIEWER, Rows

BY_NAME = {measure.name: measure for measure in MEASURES}


def values(dataset, name):
    frame = Rows.of(dataset, 1_000).of_measure(BY_NAME[name])
    return frame.sort(name)[name].to_list()


@pytest.mark.parametrize(("name", "expected"), [
    ("kind of event", ["click"] * 2 + ["impression"] * 3 + ["watch"]),
    ("seconds of a watch", [30.0]),
    ("watched share of the video", [0.5]),
    ("delay of a click or watch, s", [0.0] * 3),
    ("position of an impression", ["0", "0", "1"]),
    ("surface of an impression", []),
    ("length of a clicked video, s", [60.0, 60.0]),
    ("age of a clicked video, days", []),
    ("clicks of a viewer in a day", [1.0, 1.0]),
    ("country of the day's viewers", ["unknown", "unknown"]),
    ("impressions without a propensity", ["present"] * 3),
    ("clicked videos without a length", ["present"] * 2),
])  # fmt: skip
def test_what_each_measures(dataset, name, expected):
    assert values(dataset, name) == expected


def test_viewers_are_numbered_from_zero(dataset):
    rows = Rows.of(dataset, 1_000)
    assert sorted(set(rows.events[VIEWER])) == sorted(set(rows.viewer_days[VIEWER])) == [0, 1]


def test_a_viewer_is_in_the_sample_with_everything_or_not_at_all(dataset):
    counts = dict(dataset.events.group_by("viewer_id").len().iter_rows())
    for most in range(1, 6):
        drawn = dict(Rows.of(dataset, most).events.group_by("viewer_id").len().iter_rows())
        assert drawn == {viewer: counts[viewer] for viewer in drawn}
