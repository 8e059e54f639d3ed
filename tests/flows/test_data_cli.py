"""`upnext data` as a person types it, on a tiny world whose release is a stand-in."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from cli.data import app
from core import release
from core.errors import BadInput
from core.event_log import SqliteEventLog
from data import lineage, profile, tombstones, versioning
from data.sources import registry
from data.stream_log import StreamLog
from data.world import config, simulate
from pipelines import ingest, spaces
from pipelines.releases import reproduce
from serving.releases import LINEAGE
from tests import clusters

DAY_S = 86_400


@pytest.fixture(scope="module")
def world():
    return simulate.generate(config.tiny())


@pytest.fixture
def space(world, tmp_path, monkeypatch):
    var_dir = tmp_path / "var"
    monkeypatch.setenv("UPNEXT_VAR", str(var_dir))
    found = spaces.open_space(var_dir, "world-tiny")
    spaces.make_current(var_dir, found)
    raw = tmp_path / "log.tsv"
    raw.write_text("the log as it came")
    snapshot = versioning.snapshot(world, found.snapshots, "abc", lineage.of_files("recbole", [raw]))
    facts = dict.fromkeys(("feature_schema", "config_fingerprint", "git_commit"), "") | {"created_at": 0}
    published = release.publish(
        found.releases, lambda path: path.joinpath("model").touch(), snapshot=snapshot.snapshot_id, **facts
    )
    release.point(found.releases, "live", published.release_id)
    return found


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def run_json(tmp_path, *arguments, code=0):
    path = tmp_path / "found.json"
    run(*arguments, "--json", path, code=code)
    return json.loads(path.read_text())


def test_list_validate_accept_gc(space, tmp_path):
    (found,) = run_json(tmp_path, "list")["snapshots"]
    assert (found["reproducible"], found["needed_by"][0]) == (True, "newest")
    assert found["needed_by"][1].endswith("(live)")
    report = run_json(tmp_path, "validate", "live", "--accept", "--html", tmp_path / "report.html")
    assert report["ok"]
    assert "17,530" in (tmp_path / "report.html").read_text()  # impressions without a propensity, a warning
    kept = json.loads((space.path / "validation.json").read_text())
    assert (kept["ok"], kept["snapshot_id"], kept["findings"]) == (True, found["snapshot_id"], report["findings"])
    assert run_json(tmp_path, "list")["snapshots"][0]["needed_by"][-1] == "accepted"
    (fate,) = run_json(tmp_path, "gc", "--apply")["snapshots"]
    assert not fate["removed"]
    run("verify", "accepted")
    assert run_json(tmp_path, "diff", "newest", "live")["rows"] == []


def test_new_data_is_compared_and_a_failure_is_an_exit_code(space, tmp_path):
    dataset = versioning.open_snapshot(space.snapshots, versioning.list_snapshots(space.snapshots)[-1].snapshot_id)
    before = versioning.snapshot(dataset.until(dataset.end_at - 86_400_000), space.snapshots, "")
    run("validate", before.snapshot_id, "--accept")
    events = dataset.events.with_columns(value=dataset.events["value"] * 1_000)
    wrong = versioning.snapshot(type(dataset)(dataset.name, events, dataset.viewers, dataset.videos), space.snapshots, "")
    report = run_json(tmp_path, "validate", wrong.snapshot_id, "--accept", code=1)
    assert any("seconds of a watch" in finding["what"] for finding in report["findings"])
    assert run_json(tmp_path, "show", "accepted")["snapshot_id"] == before.snapshot_id
    run("validate", wrong.snapshot_id, "--accept", "--despite-failures", code=1)
    assert run_json(tmp_path, "show", "accepted")["snapshot_id"] == wrong.snapshot_id


def test_a_check_that_compared_nothing_says_so(space):
    assert "nothing accepted to compare with" in run("validate", "--accept")
    assert "nothing is newer than what was accepted" in run("validate")


def test_ingest_forget_compact(space, tmp_path):
    dataset = versioning.open_snapshot(space.snapshots, run_json(tmp_path, "show", "live")["snapshot_id"])
    log = SqliteEventLog(space.events)
    log.append(dataset.events.tail(500).to_arrow())
    log.close()
    assert run_json(tmp_path, "ingest")["new"] == 500
    assert run_json(tmp_path, "ingest")["new"] == 0
    viewer = int(dataset.events["viewer_id"][-1])
    events = len(dataset.events.tail(500).filter(viewer_id=viewer))
    assert list(run_json(tmp_path, "forget", viewer)["touched"].values()) == [1]
    assert viewer in tombstones.read(space.path).forgotten_at
    assert run_json(tmp_path, "compact")["num_rows_removed"] == events
    assert not run_json(tmp_path, "show", "live")["reproducible"]
    run("verify", "live")


def test_trim_lets_a_shared_log_go_of_what_the_partitions_have(world, space, tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="UPNEXT_LOG_URL"):
        run("trim")
    live = release.resolve(space.releases, "live")
    (space.releases / live / LINEAGE).write_text('{"log_offset": 40}')
    with clusters.server(tmp_path / "server", appendonly="no") as port:
        monkeypatch.setenv("UPNEXT_LOG_URL", f"redis://127.0.0.1:{port}")
        log = StreamLog(f"redis://127.0.0.1:{port}", space.name)
        log.append(world.events.tail(60).to_arrow())
        assert run_json(tmp_path, "trim")["upto"] == 0
        run("ingest")
        assert run_json(tmp_path, "trim")["gone"] == 0
        assert run_json(tmp_path, "trim", "--apply")["gone"] == 40
        assert len(log.read()[0]) == 20
        log.close()


def test_lineage_and_plain_refusals(space, tmp_path):
    found = run_json(tmp_path, "lineage")
    assert len(found["releases"]) == 1
    assert [(file["size"], file["state"]) for file in found["files"]] == [(18, "unchanged")]
    with pytest.raises(BadInput, match="no snapshot 'nothing'"):
        run("show", "nothing")
    with pytest.raises(BadInput, match="only a snapshot can be accepted"):
        run("validate", "--source", "recbole", "--path", tmp_path, "--accept")


def test_a_log_is_checked_without_training(tmp_path):
    (tmp_path / "mine.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n1\t2\t900000000\n1\t3\t900000001\n")
    report = run_json(tmp_path, "validate", "--source", "recbole", "--path", tmp_path, "--quarantine", tmp_path / "q")
    assert report["num_rows"] == {"events": 2, "viewers": 1, "videos": 2}
    assert report["outcomes"] == []


def test_a_log_is_compared_with_what_was_accepted_of_it_before(tmp_path, monkeypatch):
    monkeypatch.setenv("UPNEXT_VAR", str(tmp_path / "var"))
    log = tmp_path / "mine"
    log.mkdir()

    def write(*clicks_of_days: int) -> None:
        at = [DAY_S * (10_000 + day) + 600 * n for day, clicks in enumerate(clicks_of_days) for n in range(clicks)]
        lines = [f"{n % 40}\t{n % 17}\t{second}" for n, second in enumerate(at)]
        (log / "mine.inter").write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *lines]) + "\n")

    write(*[140] * 28)
    loaded = registry.load("recbole", log)
    snapshots = ingest.space_of_log(log, tmp_path / "var").snapshots
    snapshots.mkdir(parents=True)
    profile.accept(snapshots, profile.build(loaded.dataset))
    write(*[140] * 29, 10, 140)
    report = run_json(tmp_path, "validate", "--source", "recbole", "--path", log, code=1)
    assert [finding["what"] for finding in report["findings"] if finding["severity"] == "fail"] == [
        "click events on 1997-06-17: 10, usually 140"
    ]


def test_reproduce_says_which_files_differ(space, tmp_path, monkeypatch):
    """Training itself is in test_training_flow."""
    found = release.load(space.releases, release.names(space.releases)[0])
    manifest = replace(found.manifest, release_id="other", files={"model": "0" * 64})
    (found.path / LINEAGE).write_text("{}")
    monkeypatch.setattr(reproduce, "_made", lambda *given: manifest)
    said = run_json(tmp_path, "reproduce", code=1)
    assert (said["different"], said["equal"], said["release_id"], said["again_id"]) == (
        ["model"],
        [],
        found.release_id,
        "other",
    )
    (found.path / LINEAGE).write_text(json.dumps({"refreshed": {"of": "e040"}}))
    with pytest.raises(BadInput, match="refresh of e040"):
        run("reproduce", found.release_id)
    with pytest.raises(BadInput, match=f"no release 'newest' in 'world-tiny'; there are: {found.release_id}"):
        run("reproduce", "newest")
