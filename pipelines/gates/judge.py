"""The verdict on every gate, from what was measured. Read `judge` from top to bottom.

Two kinds of question are asked differently. "Is it good enough?" (quality, budgets, calibration) must be shown: doubt fails.
"Is somebody harmed?" (slices, fairness) fails where harm is certain, and is not measurable where it is possible but the data
are too few to tell. Pure functions of `Evidence`; knows nothing of files or of how it was measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core import inference, metrics, rng
from core.inference import Interval
from data.splits import Leak
from data.validation_report import ValidationReport
from experiments.fairness import Disparity
from experiments.shadow import Comparison
from pipelines.evaluation.leaderboard import BASELINES, MAIN, Entry, Leaderboard
from pipelines.evaluation.slices import Slices
from pipelines.gates.gates import Gate, GatesConfig, Verdict

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Head:
    """What one head said about R logged impressions beside what came of them."""

    predicted: Floats
    observed: Floats
    viewer_ids: NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """What one release would have put first on P pages that chance filled."""

    satisfied_P: Floats
    """Seconds watched with pleasure of what it chose."""
    viewer_P: NDArray[np.int64]


@dataclass(frozen=True)
class Measured:
    """What was measured of one release."""

    release_id: str
    entry: Entry
    """Metrics per case, on the same cases for both releases."""
    heads: Mapping[str, Head]
    """On the same impressions for both releases; empty where the log does not say what was shown."""
    page_ms: Floats
    """[requests] time per page."""
    num_bytes: int
    resident_bytes: int | None = None
    """See `pipelines.gates.footprint`."""
    choice: Choice | None = None
    """On the same pages of chance for both releases; None where the log has few."""


@dataclass(frozen=True)
class Evidence:
    """Everything that is judged."""

    candidate: Measured
    live: Measured | None
    leaderboard: Leaderboard
    """The candidate, its towers alone, and the baselines."""
    validation: ValidationReport
    disparities: Sequence[Disparity] = ()
    shadow: Comparison | None = None
    """Candidate against live, asked the same requests."""
    slices: Slices | None = None
    """Candidate against live, or against the best baseline where nothing is live."""


def judge(evidence: Evidence, config: GatesConfig) -> list[Gate]:
    """The verdict on every point."""
    ours, live = evidence.candidate, evidence.live
    return [
        data(evidence.validation, evidence.leaderboard.about.leaks),
        *_quality(evidence, config),
        _choice(evidence, config),
        _slices(evidence, config),
        prediction(ours.heads, live.heads if live else {}, config),
        *calibration(ours.heads, live.heads if live else {}, config),
        *_fairness(evidence.disparities, config),
        *latency(ours.page_ms, live.page_ms if live else None, config),
        size(ours.num_bytes, live.num_bytes if live else None, config),
        memory(ours.resident_bytes, config),
        *_shadow(evidence.shadow, config),
    ]


def data(report: ValidationReport, leaks: Sequence[Leak] = ()) -> Gate:
    """May anything be learned from the snapshot? Leaks are told."""
    told = "; ".join([f"the snapshot's checks: {report.summary()}", *(leak.text for leak in leaks)])
    verdict = Verdict.PASS if report.ok else Verdict.FAIL
    return Gate("data", float(len(report.failures)), 0.0, verdict, f"{_capital(told)}.")


def _quality(evidence: Evidence, config: GatesConfig) -> list[Gate]:
    entries = {entry.model: entry for entry in evidence.leaderboard.entries if entry.model in BASELINES}
    against = [(f"quality:{name}", name, entry, config.baseline_margin) for name, entry in entries.items()]
    if evidence.live is not None:
        against.insert(0, ("quality:live", "the live release", evidence.live.entry, config.live_margin))
    viewers = evidence.leaderboard.held_out.cases.viewer_ids
    return [_better(*each, evidence.candidate.entry, viewers, config) for each in against]


def _better(
    name: str, told: str, other: Entry, margin: float, ours: Entry, viewers: NDArray[np.int64], config: GatesConfig
) -> Gate:
    found = inference.paired_bootstrap(ours.values[MAIN], other.values[MAIN], viewers, rng.stream(config.seed, "gates", name))
    level, least = other.mean(MAIN) or 0.0, -margin * (other.mean(MAIN) or 0.0)
    shown = f"nDCG@10 {ours.mean(MAIN) or 0.0:.4f} against {level:.4f} of {told}: {_signed(found)}"
    bounds = (found.low, found.high)
    if found.low >= least:
        return Gate(name, found.mean, least, Verdict.PASS, f"{shown}.", bounds)
    wanted = f"a loss of {-least:.4f} is allowed" if margin else "no loss is allowed"
    doubt = "and it is certainly more" if found.high < least else "and the interval does not exclude more"
    return Gate(name, found.mean, least, Verdict.FAIL, f"{shown}; {wanted}, {doubt}.", bounds)


def _choice(evidence: Evidence, config: GatesConfig) -> Gate:
    """The order that serves: how good it is, viewers say, and not whether it guesses what the log's policy liked to show."""
    ours, live = evidence.candidate.choice, evidence.live.choice if evidence.live else None
    if ours is None or live is None:
        why = "Nothing is live to compare orders with." if ours else "The log has too few pages that chance filled."
        return Gate("choice", None, None, Verdict.UNKNOWN, why)
    random = rng.stream(config.seed, "gates", "choice")
    found = inference.paired_bootstrap(ours.satisfied_P, live.satisfied_P, ours.viewer_P, random)
    level = float(live.satisfied_P.mean())
    least = -config.choice_margin * level
    told = (
        f"On {len(live.satisfied_P):,} pages of chance its first choice is watched with pleasure for "
        f"{level + found.mean:.1f} s, the live release's for {level:.1f} s: "
    )
    return _harm("choice", found, least, found.high < least, told, "certainly too much is lost")


def _slices(evidence: Evidence, config: GatesConfig) -> Gate:
    found = evidence.slices
    if found is None or not found.slices:
        return Gate("slices", None, None, Verdict.UNKNOWN, f"No slice has {config.slice_cases} cases.")
    lost = {row: row.difference.mean / row.baseline.mean if row.baseline.mean > 0 else 0.0 for row in found.slices}
    worse = [row for row, share in lost.items() if share < -config.slice_margin and row.q <= config.slice_q]
    worst = min(worse or lost, key=lambda row: lost[row])
    sentence = f"{len(lost)} slices with enough cases; the worst changes by {lost[worst]:+.1%} ({worst.by} {worst.value})"
    if worse:
        sentence = "Certainly worse: " + ", ".join(f"{row.by} {row.value} ({lost[row]:+.0%})" for row in worse)
    elif lost[worst] < -config.slice_margin:
        sentence += f", which may be chance (q = {worst.q:.2f})"
    return Gate("slices", lost[worst], -config.slice_margin, Verdict.FAIL if worse else Verdict.PASS, f"{sentence}.")


def prediction(ours: Mapping[str, Head], theirs: Mapping[str, Head], config: GatesConfig) -> Gate:
    """Does it foresee clicks on what was shown as well as the live release? Both are asked about the same impressions.

    Fair in a closed loop, where test clicks are not: those are of videos that the live release put on its own pages, so that it
    finds them first whatever it learned.
    """
    if not {"click"} <= ours.keys() & theirs.keys() or len(ours["click"].observed) < config.min_rows:
        return Gate("prediction", None, None, Verdict.UNKNOWN, "No two releases have predicted enough clicks.")
    mine, live = ours["click"], theirs["click"]
    loss, theirs_loss = (metrics.log_losses(head.observed, head.predicted) for head in (mine, live))
    random = rng.stream(config.seed, "gates", "prediction")
    found = inference.paired_bootstrap(loss, theirs_loss, mine.viewer_ids, random)
    level = float(theirs_loss.mean())
    most = config.prediction_margin * level
    told = f"Log loss of clicks {level + found.mean:.4f}, {level:.4f} of the live release, on {len(loss):,} impressions: "
    return _harm("prediction", found, most, found.low > most, told, "certainly worse")


def _harm(name: str, found: Interval, bound: float, certain: bool, told: str, harm: str) -> Gate:
    """Fails where harm is certain."""
    verdict, remark = (Verdict.FAIL, f"; {harm}") if certain else (Verdict.PASS, "")
    return Gate(name, found.mean, bound, verdict, f"{told}{_signed(found)}{remark}.", (found.low, found.high))


def calibration(ours: Mapping[str, Head], theirs: Mapping[str, Head], config: GatesConfig) -> list[Gate]:
    """Do the probabilities of each head mean what they say?"""
    if not ours:
        return [
            Gate("calibration", None, None, Verdict.UNKNOWN, "The log does not say what was shown, or has no test impressions.")
        ]
    return [_calibrated(name, head, theirs.get(name), config) for name, head in ours.items()]


def _calibrated(name: str, ours: Head, theirs: Head | None, config: GatesConfig) -> Gate:
    gate, rows = f"calibration:{name}", len(ours.observed)
    if rows < config.min_rows or not ours.observed.any():
        return Gate(gate, None, None, Verdict.UNKNOWN, f"{rows:,} impressions with a known outcome are too few.")
    predicted, observed = float(ours.predicted.mean()), float(ours.observed.mean())
    if name == "watch":
        bias = predicted / observed - 1
        told = f"{predicted:.1f} s predicted and {observed:.1f} s watched per impression, {bias:+.1%}."
        return Gate(gate, abs(bias), config.watch_bias, _at_most(abs(bias), config.watch_bias), told)
    value, bound = metrics.ece(ours.observed, ours.predicted), config.max_ece
    told = f"Calibration error {value:.4f} ({predicted:.4f} predicted, {observed:.4f} observed, {rows:,} impressions)"
    if theirs is not None:
        live = metrics.ece(theirs.observed, theirs.predicted)
        bound, told = min(bound, live + config.ece_margin), f"{told}; the live release has {live:.4f}"
    return Gate(gate, value, bound, _at_most(value, bound), f"{told}.")


def _fairness(disparities: Sequence[Disparity], config: GatesConfig) -> list[Gate]:
    bounds = {"exposure": config.exposure_gap, "opportunity": config.opportunity_gap, "calibration": config.group_bias}
    asked = list(dict.fromkeys((found.measure, found.attribute) for found in disparities))
    if not asked:
        return [Gate("fairness", None, None, Verdict.UNKNOWN, "The log does not say what group any viewer belongs to.")]
    return [
        _fair(
            f"fairness:{measure}:{of}", [d for d in disparities if (d.measure, d.attribute) == (measure, of)], bounds[measure]
        )
        for measure, of in asked
    ]


def _fair(name: str, found: Sequence[Disparity], bound: float) -> Gate:
    known = [each for each in found if each.measurable]
    if not known:
        return Gate(name, None, bound, Verdict.UNKNOWN, f"Fewer than two groups of {found[0].attribute} have enough viewers.")
    worst = max(known, key=lambda each: (each.gap.low > bound, each.gap.mean))
    gap, rates = worst.gap, sorted(worst.rates, key=lambda rate: rate.rate)
    about = f" ({worst.about})" if worst.about else ""
    ends = f"{rates[0].group} {rates[0].rate:+.3f}, {rates[-1].group} {rates[-1].rate:+.3f}"
    told = f"Largest gap {gap.mean:.3f} [{gap.low:.3f}, {gap.high:.3f}]{about}: {ends}"
    left_out = f"; too few viewers: {', '.join(worst.too_small)}" if worst.too_small else ""
    verdict, remark = Verdict.PASS, ""
    if gap.mean > bound:
        certain = gap.low > bound
        verdict, remark = (
            (Verdict.FAIL, "; certainly too much") if certain else (Verdict.UNKNOWN, "; too few viewers to be sure")
        )
    return Gate(name, gap.mean, bound, verdict, f"{told}{remark}{left_out}.", (gap.low, gap.high))


def latency(ours: Floats, live: Floats | None, config: GatesConfig) -> list[Gate]:
    """Milliseconds per page, [requests], of the candidate and of what is live."""
    p50, p99 = (float(value) for value in np.percentile(ours, [50, 99]))
    told = f"of processor time, over {len(ours)} logged requests"
    gates = [
        Gate("latency:p50", p50, config.p50_ms, _at_most(p50, config.p50_ms), f"Half of the pages within {p50:.1f} ms {told}."),
        Gate("latency:p99", p99, config.p99_ms, _at_most(p99, config.p99_ms), f"99 % of the pages within {p99:.1f} ms {told}."),
    ]
    if live is not None:
        ratio = float(np.median(ours / live))
        sentence = f"A page costs {ratio:.2f} times what it costs with the live release (median, asked in turn)."
        gates.append(Gate("latency:live", ratio, config.slowdown, _at_most(ratio, config.slowdown), sentence))
    return gates


def size(ours: int, live: int | None, config: GatesConfig) -> Gate:
    """Bytes on disk, of the candidate and of what is live."""
    mib = ours / (1 << 20)
    beside = "" if live is None else f"; the live one has {live / (1 << 20):.1f} MiB"
    return Gate("size", mib, config.max_mib, _at_most(mib, config.max_mib), f"The release has {mib:.1f} MiB{beside}.")


def memory(resident_bytes: int | None, config: GatesConfig) -> Gate:
    """Resident bytes of a process that serves the candidate, None where nobody says."""
    if resident_bytes is None:
        return Gate("memory", None, config.max_memory_mib, Verdict.UNKNOWN, "This system does not say what a process holds.")
    mib = resident_bytes / (1 << 20)
    told = f"A process that has put it into service holds {mib:,.0f} MiB."
    return Gate("memory", mib, config.max_memory_mib, _at_most(mib, config.max_memory_mib), told)


def _shadow(found: Comparison | None, config: GatesConfig) -> list[Gate]:
    if found is None:
        return [Gate("shadow", None, None, Verdict.UNKNOWN, "Nothing is live to compare pages with.")]
    told = f"with the live release's first ten, mean over {found.requests} requests; {found.same:.0%} of the pages are the same"
    asked = (
        ("overlap", "of the videos in common", found.overlap, config.min_overlap),
        ("rbo", "rank-biased overlap", found.rbo, config.min_rbo),
    )
    return [
        Gate(f"shadow:{name}", value, bound, Verdict.PASS if value >= bound else Verdict.FAIL, f"{value:.2f} {what} {told}.")
        for name, what, value, bound in asked
    ]


def _at_most(value: float, bound: float) -> Verdict:
    return Verdict.PASS if value <= bound else Verdict.FAIL


def _signed(found: Interval) -> str:
    return f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
