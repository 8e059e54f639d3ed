"""The audit of served features: silent about a service that is right, and loud about each planted fault."""

import dataclasses
import json
import shutil
from functools import partial

import numpy as np
import polars as pl
import pytest

from app import reports
from core import columns as c
from core.errors import BadInput
from core.event_log import SqliteEventLog
from core.settings import Settings
from data import tombstones
from features import audit as audit_module
from features.memory_store import MemoryStore
from features.online import OnlineFeatures
from features.video_matrix import VideoMatrix
from pipelines import spaces
from pipelines.progress import Stages
from pipelines.watching import served, skew
from pipelines.watching.monitor import ALERTS
from serving.live import go_live
from serving.releases import load_release

PAGES = 40


@pytest.fixture
def space(trained, tmp_path):
    old = spaces.current(trained[0])
    shutil.copytree(old.path, tmp_path / old.name)
    return spaces.Space(tmp_path / old.name)


def audit(space, **changes):
    given = {"pages": PAGES, **changes}
    return skew.audit_space(space, Settings(space.path.parent, None, None, None), Stages(), **given)


@pytest.fixture
def short_joins(monkeypatch):
    """For tests about something else: a hundred joins instead of ten thousand."""
    monkeypatch.setattr(audit_module, "future_rows", partial(audit_module.future_rows, num_instants=4, rows_per_instant=25))


def log_of(space, events):
    log = SqliteEventLog(space.events)
    log.append(events.to_arrow().cast(c.EVENTS))
    log.close()


@pytest.fixture(scope="module")
def visits(trained, tmp_path_factory):
    """What the live release answered to made-up visitors, and the events of it."""
    space = spaces.current(trained[0])
    loaded = load_release(space.releases, trained[1].release_id)
    live = go_live(loaded, MemoryStore())
    return served.made_up(live, tmp_path_factory.mktemp("visits"), PAGES, np.random.default_rng(3))


def test_what_is_served_is_what_the_log_says(space):
    found = audit(space, pages=80).to_json()
    assert found["checked"] > 10_000
    assert (found["mismatches"], found["future_rows"], found["differences"], found["alert"]) == (0, 0, [], None)
    assert found["fingerprints"] == {"equal": 80, "unsettled": 0, "different": 0}
    assert found["joins"] >= 10_000
    assert found["traffic"] == "made up"
    assert not (space.path / ALERTS).exists()


def test_recorded_pages_are_asked_again(space, visits, short_joins):
    log_of(space, visits.events)
    found = audit(space).to_json()
    assert (found["traffic"], found["pages"], found["mismatches"]) == ("recorded", PAGES, 0)
    assert found["fingerprints"]["equal"] == PAGES


def test_a_page_that_was_served_with_other_features_is_found(space, visits, short_joins):
    """The service that logged it was wrong, not the one that is here: only the fingerprint can tell."""
    wrong = pl.col(c.REQUEST_ID) == "skew-7"
    log_of(
        space, visits.events.with_columns(pl.when(wrong).then(pl.lit("0" * 16)).otherwise(c.FEATURE_HASH).alias(c.FEATURE_HASH))
    )
    found = audit(space)
    fingerprints = found.found.fingerprints
    assert fingerprints.equal == PAGES - 1
    assert fingerprints.different + fingerprints.unsettled == 1


def freeze(monkeypatch):
    """Videos keep the features that they had when they were first asked for."""
    refresh, frozen = VideoMatrix.refresh, set()

    def once(self, rows, at):
        new = np.array([row for row in rows.tolist() if row not in frozen], dtype=np.int32)
        frozen.update(new.tolist())
        refresh(self, new, at)

    monkeypatch.setattr(VideoMatrix, "refresh", once)


def wrong_default(monkeypatch):
    """The service thinks that somebody without clicks has just clicked."""
    init = OnlineFeatures.__init__

    def other(self, definitions, *given):
        changed = tuple(
            dataclasses.replace(feature, default=0.0) if feature.name == "hours_since_click" else feature
            for feature in definitions.viewer
        )
        init(self, dataclasses.replace(definitions, viewer=changed), *given)

    monkeypatch.setattr(OnlineFeatures, "__init__", other)


def apply_twice(monkeypatch):
    """The first batch of events is counted again."""
    apply, first = OnlineFeatures.apply, []

    def doubled(self, events, **options):
        apply(self, events, **options)
        if not first:
            first.append(events)
            apply(self, events, **options)

    monkeypatch.setattr(OnlineFeatures, "apply", doubled)


@pytest.mark.parametrize(
    ("plant", "expected"),
    [(freeze, "video_impressions_1d"), (wrong_default, "hours_since_click"), (apply_twice, "viewer_impressions_1d")],
)
def test_a_planted_fault_is_found_and_told(space, monkeypatch, plant, expected, short_joins):
    plant(monkeypatch)
    found = audit(space)
    names = {one.feature for one in found.found.differences}
    assert expected in names
    if plant is wrong_default:
        assert names == {expected}
    first = next(one for one in found.found.differences if one.feature == expected)
    assert first.served != first.offline
    assert found.found.fingerprints.different > 0
    assert skew.tell(space, found, 9)[0].endswith(str(space.path / ALERTS))
    kept = reports.newest(space.path, found.release_id)["skew"]
    assert (kept["audited_at"], kept["mismatches"], kept["alert"]["cause"]) == (9, found.found.mismatches, "feature_skew")
    (line,) = (space.path / ALERTS).read_text().splitlines()
    told = json.loads(line)
    assert (told["cause"], told["severity"], told["action"], told["step"]) == ("feature_skew", "moderate", "report", "features")
    assert "served values differ" in told["text"]


def test_what_cannot_be_audited_is_refused_in_words(space):
    viewer = int(pl.read_parquet(space.snapshots / "*" / "viewers.parquet")[c.VIEWER_ID][0])
    tombstones.forget(space.path, [viewer], 1)
    with pytest.raises(BadInput, match="forgotten"):
        audit(space)
    with pytest.raises(BadInput, match="nothing is live"):
        audit(spaces.open_space(space.path.parent, "empty"))
