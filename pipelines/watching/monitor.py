"""One day of a dataset's log against the training distribution: what is different, how bad that is, and what follows.

The reference is the last two weeks of the log that the live release learned from, or what came before the day where that is
earlier. Judged are the signals of `monitoring.signals` by segment (they decide severity), the declared features as the
models see them, point in time, on a sample of impressions, and the contents of the shown videos (what drifted is at least a
mild alarm). What the log says of a feedback loop is shown. Predictions are there when the log has scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from core import columns as c
from core import files, release, rng
from core.clock import DAY_MS, HOUR_MS, stamp
from core.errors import BadInput, ReleaseRefused
from core.inference import benjamini_hochberg
from core.metrics import ece
from data import dataset as datasets
from data import versioning
from data.catalogue import LABEL, Catalogue, ViewerTable, read_frame
from data.dataset import Dataset
from data.labels import definitions as labels
from features import offline
from monitoring import concept_drift, data_drift, exporter, feedback, watch
from monitoring import observations as o
from monitoring import signals as sg
from monitoring.alerts import Alert, FileSink, LogSink, Sink, WebhookSink, send
from monitoring.data_drift import DAY_H, FeatureDrift
from monitoring.feedback import Exposure
from monitoring.severity import Diagnosis, respond, shifted
from monitoring.watch import Look
from pipelines import ingest, promote
from pipelines.progress import Stages
from pipelines.releases import canary
from pipelines.releases.history import Signed
from pipelines.spaces import Space
from pipelines.watching import contents
from pipelines.watching.contents import Contents
from serving.releases import CATALOGUE

ALERTS = "alerts.jsonl"
_ROWS_PER_DAY = 1_500
_FEWEST_ROWS = 150
_LEVEL = 1e-3
_LEAST_PSI = 0.1
_CALIBRATION_BINS = 50
_CATEGORIES = (c.CATEGORY, c.SOURCE, *o.VIEWER_SEGMENTS)


@dataclass(frozen=True)
class Days:
    """Which hours are compared; hours since 1970."""

    end_hour: int
    reference: list[int]
    """Ends of the reference days, oldest first."""


@dataclass(frozen=True)
class DayReport:
    """Everything that `upnext monitor report` says."""

    space: str
    release_id: str
    days: Days
    look: Look
    features: Sequence[FeatureDrift]
    drifted: Sequence[FeatureDrift]
    """Those of `features` that differ more than days of the reference do, after correction for how many were tested."""
    standing: Sequence[FeatureDrift]
    """Those of `drifted` that are an alarm: what is missing or impossible at once, another distribution on its second day."""
    vectors: Contents | None
    exposures: Sequence[Exposure]
    """Of the reference days, then of the day."""
    performance: dict[str, Any] | None
    """Click rate estimated from predictions, and what it was; None where the log has no scores."""
    diagnosis: Diagnosis | None

    @property
    def alert(self) -> Alert | None:
        """What people are told; None on a day like others."""
        return None if self.diagnosis is None else Alert.of(self.look, self.diagnosis)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        now, alert = self.look.evidence.now, self.alert
        end_at = self.days.end_hour * HOUR_MS
        return {
            "space": self.space,
            "release_id": self.release_id,
            "from": stamp(end_at - DAY_MS),
            "until": stamp(end_at),
            "end_at": end_at,
            "reference": [stamp(end * HOUR_MS - DAY_MS)[:10] for end in self.days.reference],
            "num_tested": now.num_tested + len(self.features),
            "signals": [asdict(now.finding(0, at)) for at in range(len(sg.SIGNALS)) if np.isfinite(now.p_GS[0, at])],
            "findings": [asdict(finding) for finding in self.look.evidence.findings],
            "features": [asdict(feature) for feature in self.features],
            "drifted": [
                {"feature": one.feature, "segment": one.segment, "psi": one.psi, "standing": one in self.standing}
                for one in self.drifted
            ],
            "vectors": self.vectors and asdict(self.vectors),
            "feedback": [one.to_json() for one in self.exposures],
            "performance": self.performance,
            "severity": alert and alert.severity,
            "action": alert and alert.action,
            "alert": alert and alert.to_json(),
        }


def report(space: Space, day: str | None, stages: Stages) -> DayReport:
    """Judge one day: `day` is a date such as 2026-02-01; None means the last 24 hours whose outcomes are complete.

    Raises:
        BadInput: nothing is live, the day is not in the log, or there is not enough before it to compare with.
    """
    with stages("log") as stage:
        live, trained, dataset = open_log(space)
        days = choose_days(dataset, trained, day)
        stage.note = f"{len(dataset.events):,} events, {len(days.reference)} reference days"
    with stages("signals") as stage:
        rows = o.observe(dataset.events, dataset.viewers, dataset.videos)
        tallies = sg.tally(rows, min(days.reference) - DAY_H, days.end_hour)
        look = watch.against(tallies, days.end_hour, days.reference)
        stage.note = f"{look.evidence.now.num_tested} cells, {len(look.evidence.findings)} findings"
    parts = [_day(rows, end) for end in (*days.reference, days.end_hour)]
    with stages("features") as stage:
        sampled = [sampled_day(part, at) for at, part in enumerate(parts)]
        features = compare_features(dataset, sampled)
        drifted = remarkable(features)
        standing = lasting(drifted, remarkable(_day_before(dataset, rows, days)) if drifted else [])
        stage.note = f"{len(features)} comparisons, {len(drifted)} drifted"
        vectors = contents.compare(dataset.videos, sampled)
    diagnosis = look.diagnosis or _feature_shift(standing, days) or _content_shift(vectors, days)
    return DayReport(
        space=space.name,
        release_id=live,
        days=days,
        look=look,
        features=features,
        drifted=drifted,
        standing=standing,
        vectors=vectors,
        exposures=[feedback.exposure(part) for part in parts],
        performance=_performance(pl.concat(parts[:-1]), parts[-1]),
        diagnosis=diagnosis,
    )


def keep(space: Space, found: DayReport) -> None:
    """Leave a report where the service finds the newest one (`monitoring.exporter`)."""
    files.write_json(space.path / exporter.REPORT, found.to_json())


class SpaceResponder:
    """A Responder over the files of a space: rolling back moves the pointer `live`, which servers follow, or stops a canary.

    Everything else is a line in `alerts.jsonl`, which `upnext schedule add` can wait for.
    """

    def __init__(self, space: Space, alert: Alert, at: int, webhook: str | None = None) -> None:
        """Acts on `alert` at the instant `at`, milliseconds."""
        self._space, self._alert, self._at = space, alert, at
        self._sinks: list[Sink] = [LogSink(), FileSink(space.path / ALERTS), *([WebhookSink(webhook)] if webhook else [])]
        self.done: list[str] = []
        """In words."""

    def rollback(self) -> str:
        """See Responder.

        Raises:
            ReleaseRefused: there is no previous release.
            BadInput: a canary is to blame, and has ended.
        """
        signed = Signed("monitor", self._at)
        if o.in_canary(self._alert.feature):
            ended = canary.stop(self._space, signed, self._alert.headline)
            self.done.append(f"the canary of {ended.release_id} is stopped")
            return ended.live_id
        previous = promote.roll_back(self._space, signed, self._alert.headline)
        self.done.append(f"live → {previous}")
        return previous

    def schedule_retrain(self, diagnosis: Diagnosis) -> None:
        """The line asks for it."""
        self.report(diagnosis)

    def report(self, diagnosis: Diagnosis) -> None:
        """To every sink."""
        failed = send(self._alert, self._sinks)
        self.done += [f"wrote {self._space.path / ALERTS}", *failed]


def act(space: Space, report: DayReport, at: int, webhook: str | None = None) -> list[str]:
    """Do what the alarm of a report asks for, at the instant `at`; returns what was done, in words.

    Where there is no release to go back to, that is said and the report goes out all the same.
    """
    if report.alert is None or report.diagnosis is None:
        return []
    responder = SpaceResponder(space, report.alert, at, webhook)
    try:
        respond(report.diagnosis, responder)
    except (BadInput, ReleaseRefused) as error:
        responder.done.append(f"not rolled back: {error}")
        responder.report(report.diagnosis)
    return responder.done


def open_log(space: Space) -> tuple[str, int, Dataset]:
    """The live release, the end of what it learned from (ms), and that log with everything since.

    Raises:
        BadInput: nothing is live, or the log does not say what was shown.
    """
    live = release.resolve(space.releases, "live")
    if live is None:
        raise BadInput(f"nothing is live in '{space.name}'; run `upnext train` first")
    released = release.load(space.releases, live)
    dataset = versioning.open_snapshot(space.snapshots, released.manifest.snapshot)
    trained, (frames, _) = dataset.end_at, ingest.live_events(space)
    if not dataset.has_impressions:
        raise BadInput(f"the log of '{space.name}' says what was watched, not what was shown; there is nothing to compare")
    if frames:
        events = pl.concat([dataset.events, *frames], how="vertical_relaxed").unique(c.EVENT_ID, keep="first")
        dataset = datasets.make(dataset.name, events, dataset.viewers, dataset.videos)
    return live, trained, replace(dataset, videos=with_labels(dataset.videos, released.path))


def with_labels(videos: pl.DataFrame, released: Path) -> pl.DataFrame:
    """Videos with the labels that a release serves, p(clickbait) and p(kids), where it has any; null for newer videos."""
    known = read_frame(released / CATALOGUE).select(c.VIDEO_ID, cs.starts_with(LABEL))
    return videos.join(known, on=c.VIDEO_ID, how="left", maintain_order="left")


def choose_days(dataset: Dataset, trained_until: int, day: str | None) -> Days:
    """The day, and up to 14 complete days of the training log before it.

    Raises:
        BadInput: see `report`.
    """
    first, last = int(dataset.events[c.RECEIVED_AT].min() or 0) // HOUR_MS, dataset.end_at // HOUR_MS  # type: ignore[arg-type]
    end = last - o.SETTLED_H + 1 if day is None else _midnight(day) + DAY_H
    if not first + DAY_H <= end <= last + 1:
        raise BadInput(
            f"{day or 'the last day'} is not in the log, which goes from {stamp(first * HOUR_MS)} to {stamp(last * HOUR_MS)}"
        )
    until = min(end - DAY_H, (trained_until // HOUR_MS) - o.SETTLED_H)
    newest = until - (until - end) % DAY_H
    reference = list(range(newest, first + DAY_H - 1, -DAY_H))[: watch.REFERENCE_DAYS][::-1]
    if len(reference) < watch.FEWEST_REFERENCE_DAYS:
        raise BadInput(f"only {len(reference)} days to compare with; a report needs {watch.FEWEST_REFERENCE_DAYS}")
    return Days(end, reference)


def _midnight(day: str) -> int:
    try:
        return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1_000) // HOUR_MS
    except ValueError as error:
        raise BadInput(f"a day is a date such as 2026-02-01, got '{day}'") from error


def _day(rows: pl.DataFrame, end_hour: int) -> pl.DataFrame:
    return rows.filter(pl.col(o.HOUR).is_between(end_hour - DAY_H, end_hour, closed="left"))


def sampled_day(rows: pl.DataFrame, number: int) -> pl.DataFrame:
    """The rows of a day, its number `number`, that features are compared on."""
    chosen = rng.stream(0, "monitored rows", number).permutation(len(rows))[:_ROWS_PER_DAY]
    return rows[np.sort(chosen)]


def compare_features(dataset: Dataset, days: Sequence[pl.DataFrame]) -> list[FeatureDrift]:
    """Every feature, for everyone and by segment; `days` are observations, the last one is today's."""
    return compare_values(feature_values(dataset, pl.concat(days)), days)


def compare_values(numbers: Mapping[str, NDArray[np.float64]], days: Sequence[pl.DataFrame]) -> list[FeatureDrift]:
    """The same from `feature_values` of the days' rows, one after the other."""
    bounds = np.cumsum([0, *(len(day) for day in days)])
    spans = list(pairwise(bounds.tolist()))
    found = []
    for segment, masks in _segments(days):
        for name, values in numbers.items():
            split = [values[begin:end][mask] for (begin, end), mask in zip(spans, masks, strict=True)]
            if any(np.isfinite(part).any() for part in split):
                found.append(data_drift.numeric_drift(name, segment, split[:-1], split[-1]))
            valid = data_drift.validity_drift(name, segment, split[:-1], split[-1])
            found += [valid] if valid is not None else []
    whole = [day.with_columns(pl.col(c.SOURCE).fill_null(c.UNKNOWN)) for day in days]
    for name in _CATEGORIES:
        listed = [day[name].to_list() for day in whole]
        found.append(data_drift.category_drift(name, sg.EVERYONE, listed[:-1], listed[-1]))
    return found


def remarkable(features: Sequence[FeatureDrift]) -> list[FeatureDrift]:
    """Those with PSI ≥ .1 whose p value survives the correction for all that were tested."""
    q = benjamini_hochberg([feature.p for feature in features])
    return [f for f, adjusted in zip(features, q, strict=True) if adjusted <= _LEVEL and f.psi >= _LEAST_PSI]


def lasting(today: Sequence[FeatureDrift], before: Sequence[FeatureDrift]) -> list[FeatureDrift]:
    """What of today's remarkable features is an alarm, given those of the day before.

    Days differ more than fourteen of them can tell: of 360 quiet days 15 had a remarkable feature, none of them a second day.
    """
    known = {(one.feature, one.segment) for one in before}
    return [one for one in today if one.feature.startswith(data_drift.VALIDITY) or (one.feature, one.segment) in known]


def _day_before(dataset: Dataset, rows: pl.DataFrame, days: Days) -> list[FeatureDrift]:
    """All features of the day before, against the same reference without it."""
    ends = [*(end for end in days.reference if end != days.end_hour - DAY_H), days.end_hour - DAY_H]
    return compare_features(dataset, [sampled_day(_day(rows, end), at) for at, end in enumerate(ends)])


def _segments(days: Sequence[pl.DataFrame]) -> list[tuple[str, list[NDArray[np.bool_]]]]:
    """Name and masks by day, of segments with enough rows today."""
    found = [(sg.EVERYONE, [np.ones(len(day), dtype=bool) for day in days])]
    for by in o.VIEWER_SEGMENTS:
        for value in sorted(days[-1][by].unique().to_list()):
            masks = [(day[by] == value).to_numpy() for day in days]
            if masks[-1].sum() >= _FEWEST_ROWS:
                found.append((f"{by}={value}", masks))
    return found


def feature_values(dataset: Dataset, rows: pl.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Declared features as they were at each page, and what the log says of it."""
    catalogue, viewers = Catalogue.of(dataset.videos), ViewerTable.of(dataset.viewers)
    videos = np.maximum(catalogue.rows(rows[c.VIDEO_ID].to_numpy()), 0)
    built = offline.build(
        dataset.events, catalogue, viewers,
        viewer_ids=rows[c.VIEWER_ID].to_numpy(), at=rows[labels.AT].to_numpy(), video_rows=videos,
    )  # fmt: skip
    batch = built.batch(np.arange(len(rows)))
    named = (
        (built.schema.viewer_dense, batch.viewer.dense_BF),
        (built.schema.video_dense, batch.video_dense_BKF[:, 0]),
        (built.schema.cross_dense, batch.cross_dense_BKF[:, 0]),
    )
    values = {name: matrix[:, at].astype(np.float64) for names, matrix in named for at, name in enumerate(names)}
    clicked = rows[labels.CLICKED].to_numpy()
    seconds = rows[labels.WATCH_S].cast(pl.Float64).fill_null(np.nan).to_numpy()
    logged = {"watch_s": np.where(clicked, seconds, np.nan), "predicted": rows[o.PREDICTED].fill_null(np.nan).to_numpy()}
    return {**values, **logged}


def _feature_shift(drifted: Sequence[FeatureDrift], days: Days) -> Diagnosis | None:
    if not drifted:
        return None
    first = max(drifted, key=lambda feature: feature.psi)
    because = f"PSI of {first.feature} is {first.psi:.2f}, days like these stay under {first.limit:.2f}"
    return shifted(first.feature, first.segment, days.end_hour - DAY_H, because)


def _content_shift(vectors: Contents | None, days: Days) -> Diagnosis | None:
    if vectors is None or not vectors.moved:
        return None
    because = (
        f"contents of the shown videos have moved by {vectors.centroid:.2f} of their spread, MMD² {vectors.mmd:.2g}; "
        f"at most {vectors.usual_mmd:.2g} on days before"
    )
    return shifted(c.CONTENT, sg.EVERYONE, days.end_hour - DAY_H, because)


def _performance(before: pl.DataFrame, today: pl.DataFrame) -> dict[str, Any] | None:
    before, today = (part.drop_nulls(o.PREDICTED) for part in (before, today))
    if min(len(before), len(today)) < _FEWEST_ROWS:
        return None
    calibrator = concept_drift.Calibrator.fit(before[o.PREDICTED].to_numpy(), before[labels.CLICKED].to_numpy())
    predicted, clicked = today[o.PREDICTED].to_numpy(), today[labels.CLICKED].to_numpy()
    return {
        "estimated_rate": concept_drift.estimated_rate(calibrator, predicted, today[c.VIEWER_ID].to_numpy()).to_json(),
        "click_rate": float(clicked.mean()),
        "calibration_error": ece(clicked, calibrator(predicted), _CALIBRATION_BINS),
    }


def tell_space(space: Space, alert: Alert) -> list[str]:
    """Send an alarm to the log and the space's file of alarms; what was done, in words."""
    path = space.path / ALERTS
    return [f"wrote {path}", *send(alert, [LogSink(), FileSink(path)])]
