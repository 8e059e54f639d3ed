from datetime import date

import pytest

from core.errors import BadInput
from pipelines.gates import waivers

TODAY = date(2026, 11, 23)
GATES = ("quality:live", "slices")
GOOD = {
    "gate": '"slices"',
    "reason": '"a holiday in the test period"',
    "owner": '"ann"',
    "reviewer": '"ben"',
    "expires": "2026-12-01",
}


def written(tmp_path, **changes):
    lines = [f"{name} = {value}" for name, value in (GOOD | changes).items() if value is not None]
    path = tmp_path / "waivers.toml"
    path.write_text("\n".join(["[[waivers]]", *lines]))
    return path


def read(path):
    return waivers.read(path, GATES, TODAY, 30)


def test_a_reviewed_waiver_counts(tmp_path):
    found = read(written(tmp_path))
    assert found == [waivers.Waiver("slices", "a holiday in the test period", "ann", "ben", date(2026, 12, 1))]
    assert found[0].to_json()["expires"] == "2026-12-01"


def test_it_counts_on_its_last_day(tmp_path):
    assert read(written(tmp_path, expires="2026-11-23"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reviewer": None}, "incomplete: reviewer missing"),
        ({"reason": '""'}, "incomplete: reason missing"),
        ({"reason": '"  "'}, "gives no reason"),
        ({"reviewer": '"Ann "'}, "reviewed by its owner"),
        ({"expires": "2026-11-22"}, "expired on 2026-11-22"),
        ({"expires": "2027-11-22"}, "at most 30 days"),
        ({"expires": '"soon"'}, "wants date"),
        ({"gate": '"slice"'}, "did you mean 'slices'"),
        ({"sign": '"x"'}, "unknown key 'sign'"),
    ],
)
def test_anything_else_is_refused_in_plain_words(tmp_path, changes, said):
    with pytest.raises(BadInput, match=said):
        read(written(tmp_path, **changes))


@pytest.mark.parametrize("text", ["waivers = 3", "[[waiver]]\ngate = 'slices'", "not toml ["])
def test_a_file_that_is_something_else(tmp_path, text):
    path = tmp_path / "waivers.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match="waivers"):
        read(path)
