"""Rows on their way from a file into a dataset, and those that fall out: kept with their line and reason, never silently lost.

A `RawTable` is a file as text columns. `screen` moves the rows that break a rule into its `broken` part; `enforce` refuses a
file with too many of them and writes them all down. Knows nothing of what the columns mean.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from core.errors import TooManyBrokenRows

LINE, RAW = "__line__", "__raw__"
REASON = "reason"
RAW_LIMIT = 2_000
_BROKEN = {"file": pl.String, "line": pl.Int64, REASON: pl.String, "raw": pl.String}


def nothing_broken() -> pl.DataFrame:
    """An empty frame of broken rows: file, line, reason, raw."""
    return pl.DataFrame(schema=_BROKEN)


@dataclass(frozen=True)
class RawTable:
    """A file as columns of text, plus `LINE` (1 = first line of the file) and `RAW` (the row as it stood there)."""

    file: str
    frame: pl.DataFrame
    num_read: int
    """Rows read, broken ones included."""
    broken: pl.DataFrame
    warnings: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    """The files it was read from."""

    @property
    def columns(self) -> list[str]:
        """Names of the file's own columns."""
        return [name for name in self.frame.columns if name not in (LINE, RAW)]

    def screen(self, rules: Sequence[tuple[str, pl.Expr]]) -> "RawTable":
        """Without the rows that any rule (reason, "is broken" expression) catches; the first reason counts."""
        if not rules or not len(self.frame):
            return self
        reason = pl.coalesce([pl.when(bad.fill_null(False)).then(pl.lit(text)) for text, bad in rules])
        marked = self.frame.with_columns(reason.alias(REASON))
        caught = marked.filter(pl.col(REASON).is_not_null())
        if not len(caught):
            return self
        kept = marked.filter(pl.col(REASON).is_null()).drop(REASON)
        return replace(self, frame=kept, broken=pl.concat([self.broken, broken_rows(self.file, caught)]))

    def with_columns(self, *columns: pl.Expr | pl.Series) -> "RawTable":
        """With derived columns."""
        return replace(self, frame=self.frame.with_columns(*columns))

    def rename(self, names: Mapping[str, str]) -> "RawTable":
        """With other column names."""
        return replace(self, frame=self.frame.rename(dict(names)))

    def warn(self, *texts: str) -> "RawTable":
        """With more warnings, each prefixed by the file's name."""
        return replace(self, warnings=(*self.warnings, *(f"{self.file}: {text}" for text in texts)))


def broken_rows(file: str, frame: pl.DataFrame) -> pl.DataFrame:
    """A frame with LINE, RAW and REASON in the form of the quarantine file."""
    return frame.select(
        pl.lit(file).alias("file"),
        pl.col(LINE).cast(pl.Int64).alias("line"),
        pl.col(REASON),
        pl.col(RAW).cast(pl.String).str.slice(0, RAW_LIMIT).alias("raw"),
    )


@dataclass(frozen=True)
class Quarantine:
    """The broken rows of one load."""

    rows: pl.DataFrame
    """file, line, reason, raw (the first 2,000 characters)."""
    num_read: Mapping[str, int]
    """File → rows read."""
    path: Path | None = None
    """The CSV that holds `rows`; None when nothing is broken or no folder was given."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def counts(self) -> dict[str, int]:
        """Reason → number of rows, most frequent first."""
        found = self.rows.group_by(REASON).len().sort(["len", REASON], descending=[True, False])
        return {str(reason): int(count) for reason, count in found.iter_rows()}

    def share(self, file: str) -> float:
        """Broken rows of `file` over its rows."""
        return len(self.rows.filter(pl.col("file") == file)) / max(self.num_read.get(file, 0), 1)

    def to_text(self) -> str:
        """Per file and reason: count and an example."""
        lines = []
        for file, num_read in self.num_read.items():
            found = self.rows.filter(pl.col("file") == file)
            lines.append(f"{file}: {len(found):,} of {num_read:,} rows are broken ({self.share(file):.1%})")
            by_reason = (
                found.group_by(REASON).agg(pl.len(), pl.first("line", "raw")).sort(["len", REASON], descending=[True, False])
            )
            for reason, count, line, raw in by_reason.iter_rows():
                lines.append(f"  {count:>9,}  {reason}; e.g. line {line}: {str(raw)[:80]!r}")
        if self.path is not None:
            lines.append(f"all of them, with line and reason: {self.path}")
        return "\n".join(lines)


def enforce(name: str, tables: Sequence[RawTable], max_broken: float, directory: Path | None) -> Quarantine:
    """Write the broken rows of all `tables` to `directory` and let pass at most a share `max_broken` per file.

    Raises:
        TooManyBrokenRows: with the report per reason and the path of the quarantine file.
    """
    rows = pl.concat([nothing_broken(), *(table.broken for table in tables)]).sort("file", "line")
    num_read: dict[str, int] = {}
    for table in tables:
        num_read[table.file] = max(num_read.get(table.file, 0), table.num_read)
    path = _write(name, rows, directory) if directory is not None and len(rows) else None
    quarantine = Quarantine(rows, num_read, path)
    worst = max(num_read, key=quarantine.share, default="")
    if quarantine.share(worst) > max_broken:
        where = "" if path else "\n(give a quarantine folder to have every broken row written down)"
        raise TooManyBrokenRows(
            f"{worst}: {quarantine.share(worst):.1%} of the rows are broken, allowed are {max_broken:.1%}.\n"
            f"{quarantine.to_text()}{where}\nCheck the column names and units, repair the file, or allow more broken rows."
        )
    return quarantine


def _write(name: str, rows: pl.DataFrame, directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    text = rows.write_csv(include_bom=True)
    path = directory / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.csv"
    path.write_text(text, encoding="utf-8")
    return path
