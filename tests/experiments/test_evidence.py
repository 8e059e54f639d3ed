from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from core import columns as c
from core import events as ev
from core.errors import BadInput
from core.policy import Request, Slate
from experiments.config import ExperimentConfig, MetricConfig
from experiments.evidence import panel, preferences, rows
from experiments.interleaving import depth_credit
from serving.impressions import to_table
from serving.interleaved import merge

DUEL = ExperimentConfig("duel", interleaving="team_draft")


def log(pages):
    """Pages as (viewer, teams, clicked positions)."""
    events = []
    for n, (viewer, teams, clicked) in enumerate(pages):
        request = f"q{n}"
        for position, team in enumerate(teams):
            events.append(
                ev.Impression(
                    event_id=f"{request}:{position}",
                    event_at=1,
                    received_at=1,
                    viewer_id=viewer,
                    video_id=position + 1,
                    request_id=request,
                    position=position,
                    surface="home",
                    release_id="a+b",
                    arm="x:y+duel:interleaved",
                    team=team,
                    source="fresh",
                    propensity=0.5,
                    exploration=False,
                )
            )
        for position in clicked:
            events.append(
                ev.Click(
                    event_id=f"{request}c{position}",
                    event_at=2,
                    received_at=2,
                    viewer_id=viewer,
                    video_id=position + 1,
                    request_id=request,
                )
            )
    return pl.DataFrame(pl.from_arrow(ev.to_table(events)))


def test_sixty_wins_forty_losses_twenty_ties():
    pages = [
        *[(v, "ab", [0]) for v in range(60)],
        *[(v, "ba", [0]) for v in range(60, 100)],
        *[(v, "ab", []) for v in range(20)],
    ]
    found = preferences(log(pages), DUEL).outcome
    assert (found.wins, found.losses, found.ties) == (60, 40, 20)
    assert found.delta.mean == pytest.approx(0.0833333, abs=1e-6)
    assert found.sign_p == pytest.approx(0.0568879, abs=1e-6)


def test_clicks_on_other_pages_and_on_the_odd_last_slot_do_not_count():
    pages = [(1, "aba", [2]), (2, "bab", [2, 1]), (3, "ab", [])]
    stray = ev.Click(event_id="s", event_at=3, received_at=3, viewer_id=3, video_id=1, request_id="another page")
    frame = pl.concat([log(pages), pl.DataFrame(pl.from_arrow(ev.to_table([stray])))])
    found = preferences(frame, DUEL).outcome
    assert (found.wins, found.losses, found.ties) == (1, 0, 2)


def test_balanced_pages_are_read_by_depth_from_the_log_alone():
    experiment = ExperimentConfig("duel", interleaving="balanced")
    random = np.random.default_rng(3)
    tables, wanted = [], []
    for n in range(40):
        lists = [random.permutation(9)[:6] + 1 for _ in range(2)]
        slates = [
            Slate("", each.astype(np.int64), np.ones(6), np.zeros(6, bool), ("x",) * 6, {"utility": np.ones(6, np.float32)})
            for each in lists
        ]
        request = Request(f"q{n:02}", n, 1, k=6)
        page = merge(experiment, request, slates)
        tables.append(
            pl.DataFrame(pl.from_arrow(to_table([request], [page], 1))).with_columns(pl.lit("duel:interleaved").alias(c.ARM))
        )
        clicked = random.random(6) < 0.4
        clicks = [
            ev.Click(event_id=f"c{n}-{v}", event_at=2, received_at=2, viewer_id=n, video_id=int(v), request_id=f"q{n:02}")
            for v in page.video_ids[clicked]
        ]
        tables.append(pl.DataFrame(pl.from_arrow(ev.to_table(clicks))))
        first, second = (each[None, :].astype(np.int64) for each in lists)
        wanted.append(int(depth_credit(first, second, page.video_ids[None, :], clicked[None, :])[0]))
    found = preferences(pl.concat(tables), experiment).outcome
    assert (found.wins, found.losses, found.ties) == tuple(wanted.count(said) for said in (1, -1, 0))


def test_the_always_valid_interval_is_wider_and_waits_for_viewers():
    pages = [(v, "ab", [int(v % 5 == 0)]) for v in range(500)]
    found = preferences(log(pages), DUEL)
    assert found.viewers == 500
    assert found.outcome.delta.mean == pytest.approx(0.3)
    assert found.always.low < found.outcome.delta.low < 0.3 < found.outcome.delta.high < found.always.high
    assert found.always.low > 0
    assert not np.isfinite(preferences(log(pages[:50]), DUEL).always.low)


def test_no_merged_page_is_said():
    with pytest.raises(BadInput, match="interleaved for 'other'"):
        preferences(log([(1, "ab", [0])]), ExperimentConfig("other", interleaving="team_draft"))


def test_time_and_failures_of_pages_are_columns_of_the_day():
    split = ExperimentConfig("split")
    events = []
    for viewer, arm, ms, degraded in (
        (1, "control", 8.0, ()),
        (2, "treatment", 20.0, ("time ran out",)),
        (2, "treatment", 30.0, ()),
    ):
        slate = Slate("", np.arange(3), np.ones(3), np.zeros(3, dtype=bool), ("x",) * 3)
        slate = replace(slate, arm=f"split:{arm}", stage_ms={"ranker": ms}, degraded=degraded)
        events.append(pl.from_arrow(to_table([Request(f"q{ms}", viewer, 5)], [slate], 9)))
    found = rows(pl.concat(events), split).sort("viewer_id")
    assert found.select("pages", "page_ms", "faulty").rows() == [(1, 8.0, 0.0), (2, 50.0, 1.0)]
    slow = MetricConfig("page time", "page_ms", "pages", better="lower", margin=0.02)
    assert [values.tolist() for values in panel(found, split).values(slow)] == [[8.0], [25.0]]
