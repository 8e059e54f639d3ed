"""What gates are measured on; that they measure everything on real files: tests/pipelines/test_promote.py."""

from types import SimpleNamespace

import numpy as np
import polars as pl

from core import columns as c
from core import events as ev
from core.ragged import Ragged
from pipelines.evaluation.cases import Cases, HeldOut
from pipelines.gates import footprint, measure

AT = 1_780_000_000_000


def questions(*events):
    """Viewers 1 to 3 have each chosen one of the videos 11 to 13."""
    facts = [{"event_at": AT, "received_at": AT, "viewer_id": v, "video_id": 10 + v} for v in (1, 2, 3)]
    clicks = [ev.Click(event_id=f"c{one['viewer_id']}", **one) for one in facts]
    told = [kind(event_id=f"e{n}", **facts[v - 1], **more) for n, (kind, v, more) in enumerate(events)]
    none = Ragged(np.zeros(4, dtype=np.int64), np.empty(0, dtype=np.int32))
    cases = Cases(np.array([1, 2, 3]), np.full(3, AT), none, np.ones(3, dtype=bool), np.zeros(3, dtype=np.int64))
    return SimpleNamespace(
        dataset=SimpleNamespace(
            events=pl.DataFrame(ev.to_table([*clicks, *told])),
            videos=pl.DataFrame({c.VIDEO_ID: [11, 12, 13], c.DURATION_S: [100.0, 100.0, 100.0]}),
            has_impressions=False,
        ),
        held_out=HeldOut(cases, Ragged(np.arange(4), np.arange(3, dtype=np.int32))),
        catalogue=SimpleNamespace(video_ids=np.array([11, 12, 13])),
    )


def test_what_was_watched_for_long_enough_without_complaint_was_liked():
    long, short = {"watch_s": 60.0}, {"watch_s": 5.0}
    asked = questions((ev.Watch, 1, long), (ev.Watch, 2, long), (ev.Dislike, 2, {}), (ev.Watch, 3, short))
    assert measure.liked_cases(asked).tolist() == [True, False, False]


def test_where_nobody_says_everything_that_was_chosen_counts():
    assert measure.liked_cases(questions()).tolist() == [True, True, True]


def test_nobody_says_what_a_process_holds_on_other_systems(tmp_path, monkeypatch):
    monkeypatch.setattr(footprint, "_STATUS", tmp_path / "status")
    assert footprint.resident_bytes(tmp_path, "a") is None
