"""Is this dataset what it claims to be? Types, ranges, uniqueness and references of the three frames, checked with pandera.

A finding of severity *fail* makes the dataset unusable; *warn* is something a person should know. Rows that cannot enter a
dataset at all are caught earlier, while loading (`data.quarantine`). Reads; never repairs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pandera.polars as pa
import polars as pl

from core import columns as c
from core import events as ev
from core.errors import BadInput
from data.dataset import Dataset

FAIL, WARN = "fail", "warn"
_OUTCOMES = (ev.CLICK, ev.WATCH, ev.LIKE, ev.DISLIKE)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    severity: str
    table: str
    what: str
    num_rows: int
    example: str = ""

    def to_text(self) -> str:
        """One line."""
        example = f", e.g. {self.example}" if self.example else ""
        return f"{self.severity:<4}  {self.table:<8}{self.what}: {self.num_rows:,} rows{example}"


@dataclass(frozen=True)
class ValidationReport:
    """Everything found in one dataset, failures first."""

    dataset: str
    num_rows: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Findings that make the dataset unusable."""
        return tuple(finding for finding in self.findings if finding.severity == FAIL)

    @property
    def ok(self) -> bool:
        """No failures."""
        return not self.failures

    def summary(self) -> str:
        """A few words."""
        warnings = len(self.findings) - len(self.failures)
        return f"{len(self.failures)} failures, {warnings} warnings" if self.findings else "all checks passed"

    def to_text(self) -> str:
        """The findings, one per line."""
        sizes = ", ".join(f"{count:,} {table}" for table, count in self.num_rows.items())
        return "\n".join([f"{self.dataset}: {sizes}; {self.summary()}", *(finding.to_text() for finding in self.findings)])

    def require(self) -> "ValidationReport":
        """Itself, if there are no failures.

        Raises:
            BadInput: with the report.
        """
        if not self.ok:
            raise BadInput(f"the dataset is not usable:\n{self.to_text()}")
        return self


def check(dataset: Dataset, now: int | None = None) -> ValidationReport:
    """Check a dataset; with `now` (ms), also that nothing was received more than a day later."""
    frames = {"events": dataset.events, "viewers": dataset.viewers, "videos": dataset.videos}
    schemas = {"events": _events_schema(), "viewers": _viewers_schema(), "videos": _videos_schema()}
    findings = [finding for table, frame in frames.items() for finding in _violations(table, frame, schemas[table])]
    findings += [*_references(dataset), *_remarks(dataset, now)]
    ordered = sorted((f for f in findings if f.num_rows), key=lambda finding: finding.severity != FAIL)
    return ValidationReport(dataset.name, {table: len(frame) for table, frame in frames.items()}, tuple(ordered))


def _events_schema() -> pa.DataFrameSchema:
    least = pa.Check.ge
    return pa.DataFrameSchema(
        {
            c.EVENT_ID: pa.Column(pl.String, unique=True),
            c.KIND: pa.Column(pl.String, pa.Check.isin(list(ev.KINDS), error="is a known kind")),
            c.EVENT_AT: pa.Column(pl.Int64, least(0, error="is not before 1970")),
            c.RECEIVED_AT: pa.Column(pl.Int64, least(0, error="is not before 1970")),
            c.VIEWER_ID: pa.Column(pl.Int64, least(0, error="is not negative")),
            c.VIDEO_ID: pa.Column(pl.Int64, least(0, error="is not negative"), nullable=True),
            c.REQUEST_ID: pa.Column(pl.String, nullable=True),
            c.POSITION: pa.Column(pl.Int32, least(0, error="is not negative"), nullable=True),
            c.VALUE: pa.Column(pl.Float64, _each(lambda v: v.is_finite(), "is finite"), nullable=True),
            c.PROPENSITY: pa.Column(pl.Float64, _each(lambda v: (v > 0) & (v <= 1), "is in (0, 1]"), nullable=True),
        },
        checks=[
            _rows(pl.col(c.RECEIVED_AT) >= pl.col(c.EVENT_AT), "received_at ≥ event_at"),
            _rows((pl.col(c.KIND) != ev.WATCH) | (pl.col(c.VALUE) >= 0), "a watch has a length ≥ 0"),
            _rows(pl.col(c.VIDEO_ID).is_not_null() | ~pl.col(c.KIND).is_in([ev.IMPRESSION, *_OUTCOMES]), "names its video"),
            _rows((pl.col(c.KIND) != ev.IMPRESSION) | pl.col(c.REQUEST_ID).is_not_null(), "an impression names its request"),
        ],
    )


def _viewers_schema() -> pa.DataFrameSchema:
    columns = {c.VIEWER_ID: pa.Column(pl.Int64, pa.Check.ge(0, error="is not negative"), unique=True)}
    texts = {name: pa.Column(pl.String) for name in (c.EXTERNAL_ID, *c.VIEWER_ATTRIBUTES)}
    return pa.DataFrameSchema({**columns, **texts})


def _videos_schema() -> pa.DataFrameSchema:
    return pa.DataFrameSchema(
        {
            c.VIDEO_ID: pa.Column(pl.Int64, pa.Check.ge(0, error="is not negative"), unique=True),
            c.EXTERNAL_ID: pa.Column(pl.String),
            c.TITLE: pa.Column(pl.String),
            c.CHANNEL_ID: pa.Column(pl.Int64, pa.Check.ge(0, error="is not negative")),
            c.CATEGORY: pa.Column(pl.String),
            c.LANGUAGE: pa.Column(pl.String),
            c.DURATION_S: pa.Column(pl.Float32, _each(lambda v: v.is_finite() & (v >= 0), "is finite and ≥ 0"), nullable=True),
            c.UPLOADED_AT: pa.Column(pl.Int64, pa.Check.ge(0, error="is not before 1970"), nullable=True),
            c.CONTENT: pa.Column(pl.List(pl.Float32), nullable=True),
        },
        checks=[_rows(pl.col(c.CONTENT).list.eval(pl.element().is_finite()).list.all().fill_null(True), "content is finite")],
    )


def _each(holds: Callable[[pl.Expr], pl.Expr], what: str) -> pa.Check:
    """A check of a column's values; empty ones pass."""
    return pa.Check(lambda data: data.lazyframe.select(holds(pl.col(data.key)).fill_null(True)), error=what)


def _rows(holds: pl.Expr, what: str) -> pa.Check:
    """A check of whole rows."""
    return pa.Check(lambda data: data.lazyframe.select(holds.fill_null(False)), error=what)


def _violations(table: str, frame: pl.DataFrame, schema: pa.DataFrameSchema) -> list[Finding]:
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        return [_as_finding(table, error) for error in errors.schema_errors]
    return []


def _as_finding(table: str, error: pa.errors.SchemaError) -> Finding:
    column = getattr(error.schema, "name", None)
    what = getattr(error.check, "error", None) or str(error.check)
    cases = error.failure_cases
    num_rows, example = 1, str(cases)[:80]
    if isinstance(cases, pl.DataFrame):
        num_rows, example = (
            len(cases),
            ", ".join(f"{k} {v}" for k, v in cases.row(0, named=True).items() if v is not None)[:160],
        )
    names = {"field_uniqueness": "is unique", "not_nullable": "is never empty"}
    return Finding(FAIL, table, f"{column} {names.get(what, what)}" if column else names.get(what, what), num_rows, example)


def _references(dataset: Dataset) -> list[Finding]:
    events = dataset.events
    about_videos = events.filter(pl.col(c.VIDEO_ID).is_not_null() & ~pl.col(c.KIND).is_in([ev.UPLOAD]))
    uploaded = events.filter(pl.col(c.KIND) == ev.UPLOAD).select(c.VIDEO_ID)
    known = pl.concat([dataset.videos.select(c.VIDEO_ID), uploaded]).unique()
    lost_videos = about_videos.join(known, on=c.VIDEO_ID, how="anti")
    viewing = events.filter(pl.col(c.KIND) != ev.UPLOAD)
    lost_viewers = viewing.join(dataset.viewers.select(c.VIEWER_ID), on=c.VIEWER_ID, how="anti")
    return [
        Finding(FAIL, "events", "video_id is in the catalogue", len(lost_videos), _first(lost_videos, c.VIDEO_ID)),
        Finding(WARN, "events", "viewer_id is among the viewers", len(lost_viewers), _first(lost_viewers, c.VIEWER_ID)),
    ]


def _first(frame: pl.DataFrame, column: str) -> str:
    return f"{column} {frame[column][0]}" if len(frame) else ""


def _remarks(dataset: Dataset, now: int | None) -> list[Finding]:
    events, kind = dataset.events, pl.col(c.KIND)
    impressions = events.filter(kind == ev.IMPRESSION)
    no_propensity = impressions[c.PROPENSITY].null_count()
    no_clicks = 0 if (events[c.KIND] == ev.CLICK).any() else len(events)
    unsorted = int((events[c.RECEIVED_AT].diff() < 0).sum())
    findings = [
        Finding(FAIL, "events", "sorted by received_at", unsorted),
        Finding(FAIL, "events", "the log has clicks", no_clicks),
        Finding(WARN, "events", "an impression has a propensity (needed for off-policy estimates)", no_propensity),
    ]
    if len(impressions):
        outcomes = events.filter(kind.is_in(_OUTCOMES))
        orphans = outcomes.join(
            impressions.select(c.REQUEST_ID, c.VIDEO_ID).unique(), on=[c.REQUEST_ID, c.VIDEO_ID], how="anti"
        )
        findings.append(Finding(WARN, "events", "an outcome has its impression", len(orphans), _first(orphans, c.EVENT_ID)))
    if now is not None:
        late = events.filter(pl.col(c.RECEIVED_AT) > now + 86_400_000)
        findings.append(Finding(FAIL, "events", "received before tomorrow", len(late), _first(late, c.EVENT_ID)))
    return findings
