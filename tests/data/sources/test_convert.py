import polars as pl
import pytest

from core.ids import HASHED_FROM, to_id
from data.sources import convert

AT = 1_649_346_288_441


def column(expression, values):
    return pl.DataFrame({"x": pl.Series(values, dtype=pl.String)}).select(expression.alias("y"))["y"].to_list()


@pytest.mark.parametrize(
    ("cell", "unit", "expected"),
    [
        ("1649346288.441", "s", AT),
        ("1649346288441", "ms", AT),
        ("1649346288441000", "us", AT),
        ("1649346288441000000", "ns", AT),
        ("2022-04-07T15:44:48.441Z", "iso", AT),
        ("2022-04-07 15:44:48.441", "iso", AT),
        ("2022-04-07T17:44:48.441+02:00", "iso", AT),
        ("2022-04-07 15:44:48 UTC", "iso", AT - 441),
        ("2022-04-07", "iso", 1_649_289_600_000),
        ("2022/04/07", "iso", 1_649_289_600_000),
        ("7", "order", 7),
        ("1649346288", "auto", AT - 441),
        ("1649346288441", "auto", AT),
        ("1649346288441000", "auto", AT),
        ("1649346288441000000", "auto", AT),
        ("2022-04-07T15:44:48.441Z", "auto", AT),
        ("-5", "s", -1),
        ("1e300", "s", 2**62),
        ("soon", "s", None),
        ("", "auto", None),
        ("nan", "ms", None),
    ],
)
def test_instants(cell, unit, expected):
    assert convert.instants(pl.Series([cell]), unit).to_list() == [expected]


def test_tokens_and_ids():
    cells = ["7", " 8 ", "9.0", "", "NaN", "\\N", None, "abc"]
    assert column(convert.token("x"), cells) == ["7", "8", "9", None, None, None, None, "abc"]
    assert convert.to_ids(pl.Series(["7", "08", "abc", "7"])).to_list() == [7, to_id("08"), to_id("abc"), 7]
    assert to_id("abc") >= HASHED_FROM
    assert convert.to_ids(pl.Series(["7", "0"])).to_list() == [7, 0]
    assert convert.to_ids(pl.Series([], dtype=pl.String)).to_list() == []


def test_numbers():
    cells = ["1.5", "nan", "inf", "", None, "x", " 2 "]
    assert column(convert.number("x"), cells) == [1.5, None, None, None, None, None, 2.0]
    assert column(convert.not_a_number("x"), cells) == [False, True, True, False, False, True, False]


def test_attributes():
    ages = ["17", "1", "18", "24", "25", "35", "45", "50", "56", "99", "", "30-39", "-3"]
    expected = [
        "under 18",
        "under 18",
        "18-24",
        "18-24",
        "25-34",
        "35-44",
        "45-49",
        "50-55",
        "56+",
        "56+",
        "unknown",
        "30-39",
        "-3",
    ]
    assert column(convert.age_band("x"), ages) == expected
    assert column(convert.gender("x"), ["M", "f", "Female", "", "Other"]) == ["male", "female", "female", "unknown", "other"]
    assert column(convert.year("x"), ["01-Jan-1995", "1995", "12345", "", "(2001)"]) == [1995, 1995, None, None, 2001]
