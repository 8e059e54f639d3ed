import re
import tomllib
from dataclasses import fields
from pathlib import Path

import polars as pl
import pytest

from core.errors import BadInput, ConfigError, TooManyBrokenRows
from data.sources import mapping, registry

MANUAL = (Path(__file__).parents[3] / "docs" / "your-data.md").read_text()
EVENTS = {"path": "log.csv", "viewer_id": "u", "video_id": "v", "time": "t"}


def test_the_example_is_valid():
    found = mapping.parse(tomllib.loads(mapping.EXAMPLE))
    assert found.events.always == ("impression",)
    assert found.events.format.delimiter == "\t"
    assert found.videos is not None
    assert found.videos.duration_unit == "ms"


@pytest.mark.parametrize(
    "section", [mapping.EventColumns, mapping.VideoColumns, mapping.ViewerColumns, mapping.TextFormat, mapping.LogMapping]
)
def test_the_manual_names_every_key(section):
    assert [key.name for key in fields(section) if not re.search(rf"`(\[[a-z.…]*)?{key.name}\]?`", MANUAL)] == []


def test_the_example_of_the_manual_does_what_it_says(write):
    folder = write(dict(re.findall(r"^`(\w+\.\w+)`:\n\n```\w+\n(.*?)```$", MANUAL, re.DOTALL | re.MULTILINE)))
    found = registry.load("csv", folder)
    assert (found.warnings, len(found.quarantine)) == ((), 0)
    kinds = found.dataset.events.group_by("received_at", "video_id", maintain_order=True).agg("kind")["kind"].to_list()
    assert sorted(kinds) == [
        ["impression"],
        ["impression", "click", "watch", "dislike"],
        ["impression", "click", "watch", "like"],
    ]
    assert found.dataset.viewers.filter(external_id="ann")["age_band"].to_list() == ["25-34"]
    broken = folder / "plays.csv"
    broken.write_text(broken.read_text() + "bob,,1700000070000,800,,1\n")
    with pytest.raises(TooManyBrokenRows) as error:
        registry.load("csv", folder, quarantine_dir=folder / "quarantine")
    shown = re.search(r"^upnext: (plays.csv: 25.*?)```", MANUAL, re.DOTALL | re.MULTILINE)[1].strip()
    assert str(error.value).replace(str(folder), "var/plays") == shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"viewer": "u"}, "unknown key 'viewer' in EventColumns; did you mean 'viewer_id'"),
        ({"always": ["clik"]}, "'clik' is no kind"),
        ({"always": []}, "yields nothing"),
        ({"always": ["watch"]}, "no column `watch`"),
        ({"kind": "action"}, "needs both"),
        ({"time_unit": "minutes"}, "time_unit = 'minutes' is unknown"),
        ({"when": {"like": "rating over 4"}}, "not of the form"),
        ({"when": {"like": "rating >= high"}}, "not a number"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        mapping.parse({"events": {**EVENTS, "always": ["click"], **change}})


def test_required_keys_and_files(tmp_path):
    with pytest.raises(ConfigError, match=r"\[events\] of the mapping lacks viewer_id, video_id, time"):
        mapping.parse({"events": {"path": "log.csv"}})
    with pytest.raises(BadInput, match="write a mapping file like this one"):
        mapping.load(tmp_path / "mapping.toml")
    (tmp_path / "mapping.toml").write_text("[events\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        mapping.load(tmp_path / "mapping.toml")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("x >= 4", [True, False, False, False, True]),
        ("x < 4", [False, True, False, False, False]),
        ("x = 4|3", [True, True, False, False, True]),
        ("x == play", [False, False, False, True, False]),
        ("x != play", [True, True, False, False, True]),
        ("x = play|4.0", [False, False, False, True, True]),
    ],
)
def test_conditions(condition, expected):
    frame = pl.DataFrame({"x": ["4", "3", "", "play", "4.0"]})
    assert frame.select(mapping.Condition.parse("like", condition).holds()).to_series().to_list() == expected
