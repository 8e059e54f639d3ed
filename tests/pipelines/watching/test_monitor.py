import json
import re
import shutil
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from cli.monitor import app
from core import columns as c
from core import config as configs
from core import release
from core.clock import DAY_MS, stamp
from core.errors import BadInput
from data.catalogue import Catalogue
from data.versioning import open_snapshot
from experiments.canary import CanaryState, Phase
from experiments.served import CANARY, read_canary
from monitoring.observations import HOUR, observe
from monitoring.severity import Action, Cause, Diagnosis, Severity
from pipelines import spaces
from pipelines.progress import Stages
from pipelines.watching import monitor as monitoring
from pipelines.watching import report as monitor_report

SEVERE = Diagnosis(Cause.RELEASE, "release", "r", "all", Severity.SEVERE, Action.ROLLBACK, 490_000, "clicks fell")


@pytest.fixture(scope="module")
def space(trained, tmp_path_factory):
    """A copy of the trained space with a second release, the same but for a note."""
    old = spaces.current(trained[0])
    made = spaces.Space(tmp_path_factory.mktemp("monitored") / old.name)
    shutil.copytree(old.path, made.path)
    live = release.load(made.releases, str(release.resolve(made.releases, "live")))

    def write(path: Path) -> None:
        for name in live.manifest.files:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(live.path / name, path / name)
        (path / "note.txt").write_text("the second")

    facts = {name: value for name, value in asdict(live.manifest).items() if name not in ("release_id", "files")}
    release.point(made.releases, "live", release.publish(made.releases, write, **facts).release_id)
    spaces.make_current(made.path.parent, made)
    return made


@pytest.fixture(scope="module")
def report(space):
    return monitoring.report(space, None, Stages())


def test_a_report_compares_the_last_settled_day_with_the_days_before(space, report):
    found = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert found["release_id"] == release.resolve(space.releases, "live")
    assert 7 <= len(found["reference"]) <= 14
    assert found["reference"][-1] < found["until"][:10]
    assert {"click_rate", "watch_log_s", "pages"} <= {one["signal"] for one in found["signals"]}
    assert {"video_age", "category_share", "viewer_ctr_7d", c.CATEGORY} <= {one["feature"] for one in found["features"]}
    assert len(found["feedback"]) == len(found["reference"]) + 1
    assert found["vectors"]["mmd"] < 1
    assert found["performance"] is None


def test_any_day_can_be_chosen_that_has_enough_behind_it(space, report):
    last = report.days.end_hour * 3_600_000
    earlier = monitoring.report(space, stamp(last - 2 * DAY_MS)[:10], Stages())
    assert earlier.days.end_hour % 24 == 0
    assert earlier.days.end_hour < report.days.end_hour
    with pytest.raises(BadInput, match="days to compare with"):
        monitoring.report(space, stamp(last - 12 * DAY_MS)[:10], Stages())
    with pytest.raises(BadInput, match="is not in the log"):
        monitoring.report(space, "2031-01-01", Stages())
    with pytest.raises(BadInput, match="a day is a date"):
        monitoring.report(space, "yesterday", Stages())


def test_features_that_moved_are_remarkable(space, report):
    live = release.load(space.releases, report.release_id)
    dataset = open_snapshot(space.snapshots, live.manifest.snapshot)
    rows = observe(dataset.events, dataset.viewers, dataset.videos)
    days = [rows.filter(pl.col(HOUR).is_between(end - 24, end - 1)) for end in report.days.reference]
    shifted = days[-1].with_columns(pl.lit("tablet").alias(c.DEVICE))
    found = monitoring.remarkable(monitoring.compare_features(dataset, [*days[:-1], shifted]))
    assert (c.DEVICE, "all") in {(one.feature, one.segment) for one in found}


def test_another_distribution_is_an_alarm_on_its_second_day_and_missing_values_at_once(report):
    moved, other, empty = (replace(report.features[0], feature=name) for name in ("age", "rate", "validity of age"))
    assert monitoring.lasting([moved, empty], []) == [empty]
    assert monitoring.lasting([moved, empty], [moved, other]) == [moved, empty]
    assert monitoring.lasting([moved], [replace(moved, segment="device=tv")]) == []
    told = replace(report, drifted=[moved, other], standing=[other]).to_json()["drifted"]
    assert [one["standing"] for one in told] == [False, True]


class Page(HTMLParser):
    tags: tuple[str, ...] = ()
    links: tuple[str, ...] = ()

    def handle_starttag(self, tag, attrs):
        self.tags += (tag,)
        self.links += tuple(str(value) for name, value in attrs if name in ("src", "href"))


def test_the_page_holds_everything(report, tmp_path):
    monitor_report.write(report, tmp_path / "deep" / "day.html")
    text = (tmp_path / "deep" / "day.html").read_text()
    page = Page()
    page.feed(text)
    assert page.links == ()
    assert page.tags.count("figure") >= 20
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"https?://", text)
    told = replace(report, diagnosis=replace(SEVERE, because="clicks <b>fell</b>"))
    monitor_report.write(told, tmp_path / "alarm.html")
    assert "clicks &lt;b&gt;fell&lt;/b&gt;" in (tmp_path / "alarm.html").read_text()


def test_a_severe_alarm_moves_the_pointers_back(space, report):
    before = [release.resolve(space.releases, name) for name in ("live", "previous")]
    said = monitoring.act(space, replace(report, diagnosis=SEVERE), 1_000)
    assert [release.resolve(space.releases, name) for name in ("live", "previous")] == before[::-1]
    assert said[0] == f"live → {before[1]}"
    (line,) = (space.path / monitoring.ALERTS).read_text().splitlines()
    assert json.loads(line)["action"] == "rollback"
    (space.releases / "previous").unlink()
    again = monitoring.act(space, replace(report, diagnosis=SEVERE), 2_000)
    assert again[0].startswith("not rolled back")
    assert len((space.path / monitoring.ALERTS).read_text().splitlines()) == 2
    release.point(space.releases, "live", str(before[0]))
    assert monitoring.act(space, replace(report, diagnosis=None), 3_000) == []


def test_a_canary_that_is_to_blame_is_stopped_and_live_stays(space, report):
    (live_id, other) = (release.resolve(space.releases, name) for name in ("live", "previous"))
    state = CanaryState(str(other or "b" * 16), str(live_id))
    (space.path / CANARY).write_text(json.dumps(configs.to_dict(state)))
    blamed = replace(SEVERE, feature=f"{state.release_id} as {state.experiment.name}")
    said = monitoring.act(space, replace(report, diagnosis=blamed), 4_000)
    assert said[0] == f"the canary of {state.release_id} is stopped"
    assert read_canary(space.path).phase == Phase.STOPPED
    assert release.resolve(space.releases, "live") == live_id
    assert monitoring.act(space, replace(report, diagnosis=blamed), 5_000)[0].startswith("not rolled back: no canary")


def test_labels_of_the_release_are_compared_like_any_feature(space, tmp_path):
    snapshot = release.load(space.releases, str(release.resolve(space.releases, "live"))).manifest.snapshot
    dataset = open_snapshot(space.snapshots, snapshot)
    of = len(dataset.videos)
    kids = pl.Series("label_kids", [i * 7_919 % of / of for i in range(of)])  # not by age: new videos move every day
    released = dataset.videos.head(-1).with_columns(kids.head(-1), label_clickbait=pl.lit(0.5))
    Catalogue.of(released).save(tmp_path / "catalogue.arrow")
    labelled = replace(dataset, videos=monitoring.with_labels(dataset.videos, tmp_path))
    assert labelled.videos["label_kids"].to_list() == [*kids.head(-1), None]
    rows = observe(dataset.events, labelled.viewers, labelled.videos)
    days = [rows.filter(pl.col(HOUR) // 24 == day) for day in rows[HOUR].unique().sort().to_numpy()[::24] // 24][-16:-1]
    of_kids = pl.col(c.VIDEO_ID).is_in(labelled.videos.filter(pl.col("label_kids") > 0.8)[c.VIDEO_ID].implode())
    days[-1] = days[-1].filter(of_kids)
    drifted = {
        one.feature for one in monitoring.remarkable(monitoring.compare_features(labelled, days)) if one.segment == "all"
    }
    assert "video_kids" in drifted
    assert "video_clickbait" not in drifted
    assert monitoring.with_labels(dataset.videos, space.releases / str(release.resolve(space.releases, "live"))).equals(
        dataset.videos
    )


def test_the_command(space, tmp_path, monkeypatch):
    monkeypatch.setenv("UPNEXT_VAR", str(space.path.parent))
    files = ["--html", str(tmp_path / "day.html"), "--json", str(tmp_path / "day.json")]
    assert CliRunner().invoke(app, ["report", *files], catch_exceptions=False).exit_code == 0
    assert json.loads((tmp_path / "day.json").read_text())["space"] == "world-tiny"
    assert (tmp_path / "day.html").is_file()
