import json

import polars as pl
import pytest
from typer.testing import CliRunner

from cli.monitor import app
from core import columns as c
from core.clock import HOUR_MS
from core.errors import BadInput
from data.labels import definitions as labels
from monitoring import observations as o
from pipelines import spaces
from pipelines.watching import confirm
from pipelines.watching.confirm import Told
from tests.monitoring.made import DAYS, FIRST, rows, since

CHANGE = FIRST + 24 * 16
NOW = FIRST + 24 * DAYS


def alarm(*, hours: int = 24, segment: str = "all") -> Told:
    return Told((CHANGE + hours) * HOUR_MS, CHANGE * HOUR_MS, "moderate", "taste_flip", segment)


def test_regrets_confirm_an_alarm_of_clicks_and_only_where_they_are():
    on_tv = rows().with_columns(since(CHANGE, regretted=pl.col(labels.CLICKED) & (pl.col(c.DEVICE) == "tv")))
    everyone, tv, phone = confirm.answers([alarm(), alarm(segment="device=tv"), alarm(segment="device=phone")], on_tv)
    assert everyone.found.worse
    assert tv.found.worse
    assert not phone.found.worse
    assert tv.found.satisfied.mean < everyone.found.satisfied.mean < 0
    assert "satisfaction fell, -" in tv.sentence
    assert "no certain fall" in phone.sentence


def test_pages_after_the_look_do_not_count():
    later = rows().with_columns(since(CHANGE + 24, regretted=pl.col(labels.CLICKED)))
    (answer,) = confirm.answers([alarm(hours=24)], later)
    assert not answer.found.worse
    assert answer.found.rows == 24 * 60


def test_an_alarm_waits_for_its_labels():
    early = rows().filter(pl.col(o.HOUR) < CHANGE + o.REGRETS_SETTLED_H - 1)
    (answer,) = confirm.answers([alarm()], early)
    assert answer.found is None
    assert answer.to_json()["found"] is None
    assert json.dumps(confirm.answers([alarm()], rows())[0].to_json(), allow_nan=False)


def test_a_file_that_holds_no_alarms(tmp_path):
    space = spaces.Space(tmp_path / "made")
    assert confirm.confirm(space) == []
    space.path.mkdir()
    (space.path / "alerts.jsonl").write_text('{"at": 1}\n')
    with pytest.raises(BadInput, match="no alarm: 'since_at'"):
        confirm.told(space)


def test_the_command(trained, tmp_path, monkeypatch):
    space = spaces.current(trained[0])
    monkeypatch.setenv("UPNEXT_VAR", str(space.path.parent))
    done = CliRunner().invoke(app, ["confirm", "--json", str(tmp_path / "found.json")], catch_exceptions=False)
    assert done.exit_code == 0
    assert json.loads((tmp_path / "found.json").read_text()) == {"space": space.name, "alarms": []}
