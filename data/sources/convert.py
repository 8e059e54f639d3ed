"""Text cells into ids, numbers, instants and attribute values, a column at a time. Cells that do not parse become null."""

import polars as pl

from core import columns as c
from core import ids
from core.clock import DAY_MS
from core.errors import BadInput

YEAR_2100_AT = 4_102_444_800_000
MAX_TITLE = 500
MAX_TOKEN = 256
_MISSING = ("", "nan", "null", "none", "na", "n/a", "\\n")
_PLAIN_ID = r"^(?:0|[1-9][0-9]{0,17})$"
_BANDS = ((18, "under 18"), (25, "18-24"), (35, "25-34"), (45, "35-44"), (50, "45-49"), (56, "50-55"))
_GENDERS = {"m": "male", "male": "male", "f": "female", "female": "female"}
# Upper bounds of |value| for an instant of today in each unit, and the unit's length in ms.
_MAGNITUDES = ((1e11, 1_000.0), (1e14, 1.0), (1e17, 1e-3))
_UNIT_MS = {"s": 1_000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6, "order": 1.0}
_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d", "%Y/%m/%dT%H:%M:%S%.f", "%Y/%m/%d")


def token(column: str) -> pl.Expr:
    """An id as the outside writes it; null where missing. "12.0" is 12 (a float column that was an integer one)."""
    text = pl.col(column).str.strip_chars()
    text = text.str.replace(r"^(\d+)\.0$", "${1}")
    return pl.when(text.str.to_lowercase().is_in(_MISSING)).then(None).otherwise(text)


def to_ids(tokens: pl.Series) -> pl.Series:
    """`core.ids.to_id` of a column of tokens without nulls.

    Raises:
        BadInput: two tokens hash to one id.
    """
    if tokens.str.contains(_PLAIN_ID).all():
        return tokens.cast(pl.Int64)
    distinct = tokens.unique()
    table = pl.DataFrame({"token": distinct, "id": ids.to_ids(distinct.to_list())})
    if table["id"].n_unique() < len(table):
        raise BadInput("two ids of the log hash to the same number; rename one of them")
    return pl.DataFrame({"token": tokens}).join(table, on="token", how="left", maintain_order="left")["id"]


def number(column: str) -> pl.Expr:
    """A finite number; null otherwise."""
    value = pl.col(column).str.strip_chars().cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value)


def not_a_number(column: str) -> pl.Expr:
    """True where a cell holds something that is not a finite number; empty cells are fine."""
    empty = pl.col(column).str.strip_chars().str.to_lowercase().is_in(["", "null", "none", "na", "\\n"])
    return pl.col(column).is_not_null() & ~empty & number(column).is_null()


def instants(cells: pl.Series, unit: str) -> pl.Series:
    """Milliseconds since the epoch. `auto` reads numbers by their size and everything else as ISO 8601 (UTC unless stated)."""
    texts = pl.DataFrame({"t": cells.cast(pl.String).str.strip_chars()})
    values = texts["t"].cast(pl.Float64, strict=False)
    if unit == "iso" or (unit == "auto" and values.is_null().sum() * 2 > len(values)):
        return texts.select(_iso("t"))["t"]
    length_ms = _UNIT_MS[unit] if unit != "auto" else _guess_unit_ms(values)
    # 53 bits hold a nanosecond clock of this century to a quarter of a microsecond: enough for milliseconds.
    return (values.fill_nan(None) * length_ms).clip(-1, 2**62).round().cast(pl.Int64, strict=False)


def _guess_unit_ms(values: pl.Series) -> float:
    middle = abs(float(values.filter(values.is_finite()).median() or 0.0))  # type: ignore[arg-type]
    return next((length for bound, length in _MAGNITUDES if middle < bound), 1e-6)


def _iso(column: str) -> pl.Expr:
    text = pl.col(column).str.replace(r"^(\d{4}.\d{2}.\d{2}) ", "${1}T").str.replace(r"(?:Z|\s?UTC|[+-]00:?00)$", "")
    zoned = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", strict=False, time_unit="ms").dt.epoch("ms")
    naive = [text.str.to_datetime(form, strict=False, time_unit="ms").dt.epoch("ms") for form in _FORMATS[:2]]
    days = [text.str.to_date(form, strict=False).cast(pl.Int64) * DAY_MS for form in (_FORMATS[2], _FORMATS[4])]
    slashed = text.str.to_datetime(_FORMATS[3], strict=False, time_unit="ms").dt.epoch("ms")
    return pl.coalesce(*naive, slashed, *days, zoned).alias(column)


def value_or_unknown(column: str | None) -> pl.Expr:
    """An attribute as it stands, at most 100 characters; "unknown" where there is none."""
    if column is None:
        return pl.lit(c.UNKNOWN)
    text = pl.col(column).str.strip_chars().str.slice(0, 100)
    return (
        pl.when(text.str.to_lowercase().is_in([*_MISSING, c.UNKNOWN]))
        .then(pl.lit(c.UNKNOWN))
        .otherwise(text)
        .fill_null(c.UNKNOWN)
    )


def age_band(column: str | None) -> pl.Expr:
    """Years into MovieLens' bands; what is not a number stays as it is."""
    if column is None:
        return pl.lit(c.UNKNOWN)
    years, band = number(column), pl.lit("56+")
    for below, name in reversed(_BANDS):
        band = pl.when(years < below).then(pl.lit(name)).otherwise(band)
    return pl.when(years >= 0).then(band).otherwise(value_or_unknown(column))


def gender(column: str | None) -> pl.Expr:
    """male, female, or the value in lower case."""
    lower = value_or_unknown(column).str.to_lowercase()
    return lower.replace_strict(_GENDERS, default=lower)


def year(column: str) -> pl.Expr:
    """The first four-digit year 1800…2099 in a cell."""
    return pl.col(column).str.extract(r"\b((?:18|19|20)\d{2})\b").cast(pl.Int32, strict=False)


def id_rules(column: str, parsed: str) -> list[tuple[str, pl.Expr]]:
    """What makes a row broken for its id `column`, whose token is in `parsed`."""
    return [
        (f"{column} is missing", pl.col(parsed).is_null()),
        (f"{column} is longer than {MAX_TOKEN} bytes", pl.col(parsed).str.len_bytes() > MAX_TOKEN),
    ]
