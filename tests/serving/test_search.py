import dataclasses

import polars as pl
import pytest

from core import columns as c
from core.errors import ReleaseRefused
from data.catalogue import Catalogue
from serving import fakes, search

TITLES = ("Straße nach Zürich", "星の一生を語る", "ROCK 'n' Roll — live!", "C++ in 10 minutes", "AND OR NOT NEAR", "")


@pytest.fixture(scope="module")
def titles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    frame = fakes.catalogue(len(TITLES)).frame.with_columns(pl.Series(c.TITLE, TITLES))
    search.build(Catalogue.of(frame), folder)
    return search.TitleSearch(folder)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("zur", [0]),
        ("ZÜRICH straß", [0]),
        ("一生", [1]),
        ("roll rock", [2]),
        ("live", [2]),
        ("c 10", [3]),
        ("and or", [4]),
        ("zurich rock", []),
        ("nothing like it", []),
    ],
)
def test_every_word_must_begin_a_word_of_the_title(titles, text, rows):
    assert titles.rows(text, 10).tolist() == rows


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        '"',
        '"" OR *',
        "title:chess",
        "a' OR 1=1 --",
        "NEAR(a b)",
        "(((",
        "\x00",
        "\ud800",
        "* * *",
        "^-+",
        "😀",
        "x" * 10_000,
        "a " * 5_000,
    ],
)
def test_hostile_text_is_only_text(titles, text):
    assert len(titles.rows(text, 10)) <= 10


def test_channels_are_found_too_after_titles(tmp_path):
    videos = fakes.catalogue(20)
    search.build(videos, tmp_path)
    rows = search.TitleSearch(tmp_path).rows("channel 3", 100)
    assert {videos.frame[c.CHANNEL][int(row)] for row in rows if "3" not in videos.frame[c.TITLE][int(row)]} == {"channel 3"}


def test_k_is_respected_and_absurd_ones_are_harmless(tmp_path):
    search.build(fakes.catalogue(40), tmp_path)
    found = search.TitleSearch(tmp_path)
    assert len(found.rows("chess", 3)) == 3
    assert len(found.rows("chess", 0)) == len(found.rows("chess", -1)) == 0
    assert len(found.rows("chess", 10**30)) == 10


def test_building_twice_gives_the_same_bytes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder in ("a", "b"):
        search.build(fakes.catalogue(30), tmp_path / folder)
    assert (tmp_path / "a" / search.FILE).read_bytes() == (tmp_path / "b" / search.FILE).read_bytes()


def test_a_missing_or_broken_file_is_refused(tmp_path):
    with pytest.raises(ReleaseRefused, match="cannot be searched"):
        search.TitleSearch(tmp_path)
    (tmp_path / search.FILE).write_text("not a database at all")
    with pytest.raises(ReleaseRefused, match="cannot be searched"):
        search.TitleSearch(tmp_path)


def test_unknown_channels_are_not_words(tmp_path):
    frame = fakes.catalogue(3).frame.with_columns(pl.lit(c.UNKNOWN).alias(c.CHANNEL))
    search.build(dataclasses.replace(fakes.catalogue(3), frame=frame), tmp_path)
    assert search.TitleSearch(tmp_path).rows("unknown", 5).tolist() == []


@pytest.mark.parametrize(
    ("text", "rows"),
    [("zur", [7, 6, 0]), ("roll", [6, 2]), ("ROLL z", [6]), ("strasse", [7]), ("一生", [7, 1]), ("c 10", [3]), ("", [])],
)
def test_later_titles_are_found_by_the_same_rules_and_come_first(titles, text, rows):
    frame = fakes.catalogue(2).frame
    later = search.LongerSearch(titles, len(TITLES))
    for title in ("Rolling in ZÜRICH's zoo", "Zürcher Straße, 一生"):
        later = later.with_more(frame[:1].with_columns(pl.lit(title).alias(c.TITLE)))
    found = later.rows(text, 10).tolist()
    assert found == rows
    assert later.rows(text, 1).tolist() == found[:1]
