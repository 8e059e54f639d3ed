"""`upnext labels` as a person types it, on the tiny world."""

import json

import pytest
from typer.testing import CliRunner

from cli.labels import app
from core.errors import BadInput
from core.event_log import SqliteEventLog
from data.labels.answers import FILE, NO, YES, Answer, Answers


@pytest.fixture(autouse=True)
def _nothing_trained(tmp_path, monkeypatch):
    monkeypatch.setenv("UPNEXT_VAR", str(tmp_path / "var"))


def run(tmp_path, *arguments):
    path = tmp_path / "found.json"
    result = CliRunner().invoke(app, [*map(str, arguments), "--json", str(path)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(path.read_text())


def test_seen(tmp_path):
    found = {(one["label"], one["of"]): one for one in run(tmp_path, "seen")["labels"]}
    clicked, satisfied = found["clicked", "impressions"], found["satisfied", "clicks"]
    assert clicked["num_yes"] == satisfied["num_rows"] > 0
    assert clicked["share"] == clicked["num_yes"] / clicked["num_rows"]
    assert 0 < satisfied["share"] <= found["dwelled", "clicks"]["share"] + found["completed", "clicks"]["share"]
    assert (
        sum(found[name, "opinions"]["num_yes"] for name in ("liked", "neither", "disliked"))
        == found["liked", "opinions"]["num_rows"]
    )
    assert found["dwelled", "disliked clicks"]["share"] < found["dwelled", "liked clicks"]["share"]


def test_programmatic(tmp_path):
    found = run(tmp_path, "programmatic", "--clickbait", 0.16)
    assert found["clickbait"]["prior"] == 0.16
    assert len(found["clickbait"]["probability"]) == len(found["kids"]["probability"]) == 800
    rates = {one["name"]: one["yes_if_so"] - one["yes_if_not"] for one in found["clickbait"]["functions"]}
    assert rates["title shouts"] > 0.5
    alone = run(tmp_path, "programmatic", "--clickbait", 0.16, "--no-dependencies")
    assert found["clickbait"]["pairs"]
    assert not alone["clickbait"]["pairs"]


def test_active(tmp_path):
    found = run(tmp_path, "active", "--most", 80)
    assert [int(n) for n in found["margin"]] == list(range(10, 81, 10))
    assert found["margin"]["80"] > 0.6


def test_delay(tmp_path):
    found = {wait["kind"]: wait for wait in run(tmp_path, "delay")["waits"]}
    assert 18 < found["regret"]["half_ms"] / 3_600_000 < 30
    assert found["regret"]["naive_rate"] < 0.5 * found["regret"]["rate"]
    assert list(found)[-1] == "regret"


def test_what_people_answered(tmp_path):
    with pytest.raises(BadInput, match="open /label"):
        run(tmp_path, "human", "list")
    space = tmp_path / "var" / "site"
    answers = Answers(SqliteEventLog(space / FILE))
    for who, said in (("ada", YES), ("bob", NO)):
        answers.add(Answer(f"{who} 7", "kids", 7, who, said, 1_000))
    found = {one["question"]: one for one in run(tmp_path, "human", "list", "--space", "site")["questions"]}
    assert {name: found["kids"][name] for name in ("people", "videos", "yes", "no")} == {
        "people": 2,
        "videos": 1,
        "yes": 1,
        "no": 1,
    }
    assert found["kids"]["agreement"] == {"pairs": 1, "differ": 1, "error": None}
    assert run(tmp_path, "human", "export", tmp_path / "all.csv", "--space", "site")["answers"] == 2
    assert (tmp_path / "all.csv").read_text().splitlines()[1] == "ada 7,kids,7,ada,yes,1000"


def test_an_unknown_space_is_refused(tmp_path):
    (tmp_path / "var").mkdir()
    with pytest.raises(BadInput, match="there is no 'nowhere'"):
        run(tmp_path, "delay", "--space", "nowhere")
