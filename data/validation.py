"""Is this dataset what it claims to be, and does it go on as it did? Declared rules, references, then what was accepted before.

    check(dataset)                    types, emptiness, ranges, uniqueness (`data.schemas`), references, order
    check(dataset, accepted=profile)  also volumes, distributions and empty fields of what is new (`data.expectations`)
    screen(dataset, …)                the dataset without the rows that break a rule, and these rows with their reasons

A finding of severity *fail* makes the dataset unusable; *warn* is something a person should know. Rows that cannot enter a
dataset at all are caught earlier, while loading. Polars evaluates all rules of a table in one pass; only a rule that is broken
is looked at twice, for an example.
"""

from collections.abc import Sequence
from pathlib import Path

import pandera.polars as pa
import polars as pl

from core import columns as c
from core import events as ev
from core.clock import DAY_MS
from data import expectations, schemas
from data.dataset import Dataset
from data.profile import Profile
from data.quarantine import LINE, RAW, REASON, Quarantine, RawTable, broken_rows, enforce
from data.schemas import KEYS, OUTCOMES, Rule
from data.severity import FAIL, WARN
from data.validation_report import Finding, ValidationReport

MAX_BROKEN = 0.05
_TABLES = ("events", "viewers", "videos")


def check(dataset: Dataset, now: int | None = None, accepted: Profile | None = None) -> ValidationReport:
    """Check a dataset.

    Args:
        dataset: the three tables.
        now: the present (ms): nothing may have been received more than a day later, and days that passed must have events.
        accepted: what data looked like that was accepted; None leaves these comparisons out.
    """
    findings = [finding for table in _TABLES for finding in _structure(table, _frame(dataset, table))]
    outcomes: tuple[expectations.Outcome, ...] = ()
    if not findings:
        findings = [finding for table in _TABLES for finding in _broken_rules(table, _frame(dataset, table))]
        findings += [*_references(dataset), *_remarks(dataset, now)]
        if accepted is not None:
            outcomes = tuple(expectations.compare(accepted, dataset, now))
    sizes = {table: len(_frame(dataset, table)) for table in _TABLES}
    return ValidationReport.of(dataset.name, sizes, [finding for finding in findings if finding.num_rows], outcomes)


def screen(dataset: Dataset, max_broken: float = MAX_BROKEN, directory: Path | None = None) -> tuple[Dataset, Quarantine]:
    """Take out the rows that break a rule, repeat a key, or are about a video that is not in the catalogue.

    Args:
        dataset: tables of the right structure.
        max_broken: highest share of such rows per table.
        directory: where they are written down, with row number and reason; None keeps them in the result only.

    Raises:
        TooManyBrokenRows: more than `max_broken` of a table.
    """
    kept = dataset
    broken: list[RawTable] = []
    for table in reversed(_TABLES):  # the catalogue first: events are held against what is left of it
        frame = _frame(kept, table)
        rules = schemas.rules(schemas.schema(table))
        if _num_repeated(frame[KEYS[table]]):
            rules.append(Rule(f"{KEYS[table]} is unique", ~pl.col(KEYS[table]).is_first_distinct()))
        if table == "events":
            rules.append(Rule("video_id is in the catalogue", _about_videos() & ~_in_catalogue(kept)))
        whole, raw = _screened(table, frame, rules)
        tables = {name: _frame(kept, name) for name in _TABLES} | {table: whole}
        kept, broken = Dataset(dataset.name, **tables), [raw, *broken]
    return kept, enforce(dataset.name, broken, max_broken, directory)


def _frame(dataset: Dataset, table: str) -> pl.DataFrame:
    frame: pl.DataFrame = getattr(dataset, table)
    return frame


def _structure(table: str, frame: pl.DataFrame) -> list[Finding]:
    """Absent columns and wrong types, which make every other check meaningless."""
    findings = []
    for name, column in schemas.schema(table).columns.items():
        if name not in frame.columns:
            findings.append(Finding(FAIL, table, f"{name} is present", max(len(frame), 1), f"columns: {frame.columns}"[:160]))
        elif frame.schema[name] != column.dtype.type:
            findings.append(
                Finding(FAIL, table, f"{name} is of type {column.dtype}", max(len(frame), 1), f"{frame.schema[name]}")
            )
    return findings


def _broken_rules(table: str, frame: pl.DataFrame) -> list[Finding]:
    declared = schemas.schema(table)
    rules = schemas.rules(declared)
    counts = frame.lazy().select(rule.broken.sum().alias(str(at)) for at, rule in enumerate(rules)).collect().row(0)
    findings = [
        Finding(FAIL, table, rule.what, count, _example(frame, rule, KEYS[table]))
        for rule, count in zip(rules, counts, strict=True)
        if count
    ]
    return findings + _repeats(table, frame, declared)


def _example(frame: pl.DataFrame, rule: Rule, key: str) -> str:
    shown = list(dict.fromkeys([key, *rule.columns]))
    row = frame.lazy().filter(rule.broken).select(shown).head(1).collect().row(0, named=True)
    return ", ".join(f"{name} {value}" for name, value in row.items() if value is not None)[:160]


def _repeats(table: str, frame: pl.DataFrame, declared: pa.DataFrameSchema) -> list[Finding]:
    findings = []
    for name in (name for name, column in declared.columns.items() if column.unique):
        repeated = _num_repeated(frame[name])
        if repeated:
            example = frame.filter(pl.col(name).is_duplicated())[name][0]
            findings.append(Finding(FAIL, table, f"{name} is unique", repeated, f"{name} {example}"))
    return findings


def _num_repeated(keys: pl.Series) -> int:
    """Rows whose key occurred before. Different hashes prove that keys differ, and are much faster to tell apart than texts."""
    if keys.hash().n_unique() == len(keys):
        return 0
    return len(keys) - keys.n_unique()


def _references(dataset: Dataset) -> list[Finding]:
    viewers = pl.col(c.VIEWER_ID).is_in(dataset.viewers[c.VIEWER_ID].implode())
    checks = (
        (FAIL, Rule("video_id is in the catalogue", _about_videos() & ~_in_catalogue(dataset))),
        (WARN, Rule("viewer_id is among the viewers", (pl.col(c.KIND) != ev.UPLOAD) & ~viewers)),
    )
    counts = dataset.events.lazy().select(rule.broken.sum().alias(rule.what) for _, rule in checks).collect().row(0)
    return [
        Finding(severity, "events", rule.what, count, _example(dataset.events, rule, c.EVENT_ID))
        for (severity, rule), count in zip(checks, counts, strict=True)
        if count
    ]


def _about_videos() -> pl.Expr:
    return pl.col(c.VIDEO_ID).is_not_null() & (pl.col(c.KIND) != ev.UPLOAD)


def _in_catalogue(dataset: Dataset) -> pl.Expr:
    """Whether the event's video is listed, or its upload is in the log."""
    uploaded = dataset.events.filter(pl.col(c.KIND) == ev.UPLOAD)[c.VIDEO_ID]
    return pl.col(c.VIDEO_ID).is_in(pl.concat([dataset.videos[c.VIDEO_ID], uploaded]).unique().implode())


def _remarks(dataset: Dataset, now: int | None) -> list[Finding]:
    events, kind = dataset.events, pl.col(c.KIND)
    no_propensity, clicks, unsorted = (
        events.lazy()
        .select(
            ((kind == ev.IMPRESSION) & pl.col(c.PROPENSITY).is_null()).sum().alias("no propensity"),
            (kind == ev.CLICK).sum().alias("clicks"),
            (pl.col(c.RECEIVED_AT).diff() < 0).sum().alias("unsorted"),
        )
        .collect()
        .row(0)
    )
    findings = [
        Finding(FAIL, "events", "sorted by received_at", unsorted),
        Finding(FAIL, "events", "the log has clicks", 0 if clicks else len(events)),
        Finding(WARN, "events", "an impression has a propensity (needed for off-policy estimates)", no_propensity),
        *_orphans(events),
    ]
    if now is not None:
        late = events.filter(pl.col(c.RECEIVED_AT) > now + DAY_MS)
        findings.append(Finding(FAIL, "events", "received before tomorrow", len(late), _first(late)))
    return findings


def _orphans(events: pl.DataFrame) -> list[Finding]:
    """Outcomes without their impression. Sets of 64-bit hashes say in a fraction of a join's time that there are none."""
    kind, key = pl.col(c.KIND), pl.col(c.REQUEST_ID).hash() ^ pl.col(c.VIDEO_ID).hash(1)
    either = events.lazy().filter(kind.is_in([ev.IMPRESSION, *OUTCOMES]))
    keys = either.select((kind == ev.IMPRESSION).alias("shown"), key.alias("key")).collect()
    shown, wanted = keys.filter("shown")["key"], keys.filter(~pl.col("shown"))["key"].unique()
    if not len(shown) or shown.filter(shown.is_in(wanted.implode())).n_unique() == len(wanted):
        return []
    pair = [c.REQUEST_ID, c.VIDEO_ID]
    orphans = events.filter(kind.is_in(OUTCOMES)).join(events.filter(kind == ev.IMPRESSION), on=pair, how="anti")
    return [Finding(WARN, "events", "an outcome has its impression", len(orphans), _first(orphans))]


def _first(events: pl.DataFrame) -> str:
    return f"{c.EVENT_ID} {events[c.EVENT_ID][0]}" if len(events) else ""


def _screened(table: str, frame: pl.DataFrame, rules: Sequence[Rule]) -> tuple[pl.DataFrame, RawTable]:
    """What is left of a table, and the rest with row numbers (from 1), reasons, and the rows as JSON."""
    # Uniqueness is about the whole table, so reasons are decided before it is cut.
    reason = pl.coalesce(pl.when(rule.broken).then(pl.lit(rule.what)) for rule in rules)
    marked = frame.with_columns(reason.alias(REASON), pl.int_range(1, pl.len() + 1).alias(LINE))
    caught = marked.filter(pl.col(REASON).is_not_null()).with_columns(pl.struct(frame.columns).struct.json_encode().alias(RAW))
    whole = frame.filter(marked[REASON].is_null()) if len(caught) else frame
    return whole, RawTable(table, whole, len(frame), broken_rows(table, caught))
