"""Evidence for gates, made up so that every verdict is known."""

import numpy as np

from core import rng
from core.inference import Interval
from core.ragged import Ragged
from data.validation_report import ValidationReport
from experiments.fairness import Disparity, GroupRate
from experiments.shadow import Comparison
from pipelines.evaluation import slices
from pipelines.evaluation.cases import Cases, HeldOut
from pipelines.evaluation.leaderboard import METRICS, About, Entry, Leaderboard
from pipelines.gates.judge import Choice, Evidence, Head, Measured

NUM = 800
VIEWERS = np.arange(NUM) // 2


def entry(model, mean, noise=0.02):
    """One model whose nDCG@10 has this mean on every case, up to noise."""
    values = mean + noise * rng.stream(0, "evidence", model).standard_normal(NUM)
    return Entry(model, dict.fromkeys(METRICS, values), 1.0)


def held_out():
    none = Ragged(np.zeros(NUM + 1, dtype=np.int64), np.empty(0, dtype=np.int32))
    cases = Cases(VIEWERS, np.full(NUM, 10), none, np.ones(NUM, dtype=bool), np.zeros(5, dtype=np.int64))
    return HeldOut(cases, Ragged(np.arange(NUM + 1), np.zeros(NUM, dtype=np.int32)))


def head(factor=1.0, rows=2_000):
    """A head that predicts `factor` times what happens."""
    rate = np.where(np.arange(rows) % 2 == 0, 0.1, 0.3)
    return Head(rate * factor, (rng.stream(0, "evidence head").random(rows) < rate).astype(float), np.arange(rows) // 4)


def measured(name, mean=0.1, factor=1.0, page_ms=5.0, num_bytes=1 << 20, resident=1 << 28, seconds=20.0):
    """One release; `seconds` is what its first choice on pages of chance is worth, None in a log without any."""
    choice = None if seconds is None else Choice(seconds + rng.stream(0, "evidence choice", name).standard_normal(NUM), VIEWERS)
    heads, times = {"click": head(factor)}, np.full(100, page_ms)
    return Measured(name, entry("two_stage", mean), heads, times, num_bytes, resident, choice)


def disparity(measure="opportunity", gap=0.02, half=0.02, attribute="gender"):
    rates = (GroupRate("female", 500, 200, 0.2 + gap), GroupRate("male", 500, 200, 0.2))
    return Disparity(measure, attribute, "", rates, (), Interval(gap, max(gap - half, 0), gap + half), 0.9)


def evidence(candidate=None, live=None, baselines=None, disparities=(), overlap=0.6, report=None, loss=0.0):
    candidate = candidate or measured("c")
    labels = {"age": np.where(np.arange(NUM) % 4 < 2, "old", "young")}
    theirs = (live or measured("l")).entry.values["ndcg@10"] + loss * (labels["age"] == "old")
    found = slices.compare({"two_stage": candidate.entry.values["ndcg@10"], "live": theirs}, VIEWERS, labels, metric="ndcg@10")
    entries = (*(baselines or (entry("popularity", 0.05),)), candidate.entry)
    board = Leaderboard("made up", held_out(), entries, about=About(labels=labels))
    shadow = Comparison("all", 100, overlap, overlap, 0.1, 0.0, 1.0, 5.0, 6.0, 5.0, 6.0, 0.0, 0.0)
    report = report or ValidationReport("made up", {"events": 1}, ())
    return Evidence(candidate, live, board, report, disparities, shadow if live else None, found)
