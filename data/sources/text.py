"""Files into `RawTable`s: delimited text of any encoding, and Parquet.

A text file is UTF-8 unless told otherwise; bytes that are not UTF-8 are read as Latin-1, so one odd line costs a warning, not
the file. Fields may be quoted as in RFC 4180, also over several lines; blanks around a field are dropped. A row with another
number of fields than the header goes to the broken part. Knows nothing of what columns mean.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from core.errors import BadInput, SchemaMismatch
from data.quarantine import LINE, RAW, REASON, RawTable, broken_rows, nothing_broken

LIST_SEPARATOR = "|"
_DELIMITERS = ("\t", ",", ";", "|")
_MAX_LINES_PER_ROW = 1_000
_LATIN_1 = {0xDC00 + byte: byte for byte in range(0x80, 0x100)}


@dataclass(frozen=True)
class TextFormat:
    """How a text file is written."""

    delimiter: str = "auto"
    """"auto" takes the one of tab , ; | that the header holds most often."""
    encoding: str = "auto"
    """"auto" is UTF-8 with Latin-1 for bytes that are not; else a Python codec name."""
    columns: tuple[str, ...] = ()
    """Column names of a file without a header line."""
    quote: str = '"'
    """Empty for formats that never quote."""


def read(path: Path, spec: TextFormat | None = None) -> RawTable:
    """Read a text file, or Parquet by its suffix.

    Raises:
        BadInput: it is missing, empty, or unreadable.
    """
    if not path.is_file():
        raise BadInput(f"{path} does not exist")
    if path.suffix.lower() in (".parquet", ".pq"):
        return replace(_read_parquet(path), paths=(path,))
    spec = spec or TextFormat()
    text, warnings = _decode(path.read_bytes(), spec.encoding)
    if not text.strip():
        raise BadInput(f"{path} is empty")
    return replace(_table(path.name, text, spec).warn(*warnings), paths=(path,))


def read_all(root: Path, pattern: str, spec: TextFormat | None = None) -> RawTable:
    """One table from every file under `root` that matches `pattern` (a name or a glob)."""
    paths = sorted(root.glob(pattern)) if not (root / pattern).is_file() else [root / pattern]
    if not paths:
        raise BadInput(f"no file '{pattern}' in {root}; found: {_listing(root)}")
    tables = [read(path, spec) for path in paths]
    if len(tables) == 1:
        return tables[0]
    return RawTable(
        file=pattern,
        frame=pl.concat([table.frame for table in tables], how="diagonal"),
        num_read=sum(table.num_read for table in tables),
        broken=pl.concat([table.broken for table in tables]).with_columns(pl.lit(pattern).alias("file")),
        warnings=tuple(warning for table in tables for warning in table.warnings),
        paths=tuple(path for table in tables for path in table.paths),
    )


def require(table: RawTable, column: str, role: str) -> None:
    """Raise SchemaMismatch, naming the nearest match, unless `table` has `column`."""
    if column in table.columns:
        return
    near = difflib.get_close_matches(column.lower(), [name.lower() for name in table.columns], n=1, cutoff=0.5)
    match = next((name for name in table.columns if near and name.lower() == near[0]), None)
    hint = f"did you mean '{match}'? " if match else ""
    raise SchemaMismatch(f"{table.file} has no column '{column}' ({role}); {hint}columns: {', '.join(table.columns)}")


def _listing(root: Path) -> str:
    names = sorted(path.name for path in root.iterdir())[:20] if root.is_dir() else []
    return ", ".join(names) or "nothing"


def _decode(data: bytes, encoding: str) -> tuple[str, list[str]]:
    if encoding != "auto":
        try:
            text = data.decode(encoding, "replace")
        except LookupError as error:
            raise BadInput(f"unknown encoding '{encoding}'; use a Python codec name such as utf-8, latin-1, gbk") from error
        odd = text.count("\ufffd")
        return text.removeprefix("\ufeff"), [f"{odd:,} characters are not valid {encoding}"] if odd else []
    for mark, codec in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            encoding = codec
    try:
        return data.decode("utf-8" if encoding == "auto" else encoding), []
    except UnicodeDecodeError:
        lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
        latin = [i for i, line in enumerate(lines) if not _is_utf8(line)]
        for i in latin:
            lines[i] = lines[i].translate(_LATIN_1)
        return "\n".join(lines), [f"{len(latin):,} lines are not UTF-8 and were read as Latin-1 (first: line {latin[0] + 1})"]


def _is_utf8(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def _table(file: str, text: str, spec: TextFormat) -> RawTable:
    lines = pl.DataFrame({RAW: text.split("\n")}).with_columns(pl.col(RAW).str.strip_suffix("\r"))
    lines, blank = lines.with_row_index(LINE, offset=1), pl.col(RAW).str.strip_chars() == ""
    lines = lines[lines.select((~blank).arg_max()).item() :]
    delimiter = spec.delimiter if spec.delimiter != "auto" else _guess_delimiter(lines[RAW][0])
    names = list(spec.columns)
    if not names:
        header = lines[:1].select(_fields(delimiter, spec.quote).alias("f"))["f"][0].to_list()
        names, lines = [name.strip() for name in header], lines[1:]
    if len(set(names)) < len(names):
        raise SchemaMismatch(f"{file} has two columns of the same name: {', '.join(names)}")
    if spec.quote:
        lines = _join_quoted_lines(lines, delimiter, spec.quote)
    split = lines.filter(~blank).with_columns(_fields(delimiter, spec.quote).alias("f"))
    whole = pl.col("f").list.len() == len(names)
    wrong = split.filter(~whole).with_columns(
        pl.format("{} fields where {} belong", pl.col("f").list.len(), pl.lit(len(names))).alias(REASON)
    )
    columns = [pl.col("f").list.get(i).str.strip_chars().alias(name) for i, name in enumerate(names)]
    frame = split.filter(whole).select(LINE, RAW, *columns)
    return RawTable(file, frame, len(split), broken_rows(file, wrong) if len(wrong) else nothing_broken())


def _guess_delimiter(header: str) -> str:
    return max(_DELIMITERS, key=header.count)


def _fields(delimiter: str, quote: str) -> pl.Expr:
    """The fields of RAW as a list; rows without a quote take the fast way."""
    plain = pl.col(RAW).str.split(delimiter)
    if not quote:
        return plain
    q, d = re.escape(quote), re.escape(delimiter)
    pieces = (pl.col(RAW) + delimiter).str.extract_all(f"(?s)(?:{q}(?:[^{q}]|{q}{q})*{q}{d}|.*?{d})")
    field = pl.element().str.strip_suffix(delimiter)
    quoted = field.str.starts_with(quote) & field.str.ends_with(quote) & (field.str.len_chars() >= 2)
    inner = field.str.slice(1, field.str.len_chars() - 2).str.replace_all(quote * 2, quote, literal=True)
    unquoted = pieces.list.eval(pl.when(quoted).then(inner).otherwise(field))
    return pl.when(pl.col(RAW).str.contains(quote, literal=True)).then(unquoted).otherwise(plain)


def _join_quoted_lines(lines: pl.DataFrame, delimiter: str, quote: str) -> pl.DataFrame:
    """Rows whose quoted field spans lines, as one row each. A quote that never closes stays a row of its own line."""
    q, d = re.escape(quote), re.escape(delimiter)
    odd = pl.col(RAW).str.count_matches(quote, literal=True) % 2 == 1
    if not lines.select(odd.any()).item():
        return lines
    marks = lines.select(
        opens=odd & pl.col(RAW).str.contains(f"(?:^|{d}){q}(?:[^{q}]|{q}{q})*$"),
        closes=odd & pl.col(RAW).str.contains(f"^(?:[^{q}]|{q}{q})*{q}(?:{d}|$)"),
    )
    closing = marks["closes"].arg_true().to_list()
    raw, drop, done, at = lines[RAW].to_list(), [False] * len(lines), -1, 0
    for first in marks["opens"].arg_true().to_list():
        while at < len(closing) and closing[at] <= first:
            at += 1
        if first <= done or at == len(closing) or closing[at] - first > _MAX_LINES_PER_ROW:
            continue
        done = closing[at]
        raw[first] = "\n".join(raw[first : done + 1])
        drop[first + 1 : done + 1] = [True] * (done - first)
    return lines.with_columns(pl.Series(RAW, raw)).filter(~pl.Series(drop))


def _read_parquet(path: Path) -> RawTable:
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path} is not readable as Parquet: {error}") from error
    columns = [_as_text(name, dtype) for name, dtype in frame.schema.items()]
    raw = pl.concat_str(pl.all().cast(pl.String), separator=",", ignore_nulls=False) if columns else pl.lit("")
    texts = frame.select(columns)
    texts = texts.with_columns(raw.alias(RAW)).with_row_index(LINE, offset=1)
    return RawTable(path.name, texts, len(texts), nothing_broken())


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.List | pl.Array):
        return column.cast(pl.List(pl.String)).list.join(LIST_SEPARATOR)
    if dtype == pl.Boolean:
        return column.cast(pl.Int8).cast(pl.String)
    if dtype == pl.Binary:
        return column.cast(pl.String, strict=False)
    return column.cast(pl.String)


def lists(column: str, separator: str) -> pl.Expr:
    """A text column split into a list; empty text is an empty list."""
    parts = pl.col(column).fill_null("").str.split(separator)
    return parts.list.eval(pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != ""))


def first_present(table: RawTable, names: Sequence[str]) -> str | None:
    """The first of `names` that the table has, ignoring case."""
    have = {name.lower(): name for name in table.columns}
    return next((have[name.lower()] for name in names if name.lower() in have), None)
