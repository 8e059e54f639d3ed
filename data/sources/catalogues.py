"""The videos and viewers files into catalogue frames.

A title shows its year, the first category is *the* category, ages become bands, and what the file does not say is "unknown".
Videos described by words alone get a content vector (`content.vectors`).
"""

import polars as pl

from core import columns as c
from data.quarantine import RawTable
from data.sources import content, convert, text
from data.sources.mapping import VideoColumns, ViewerColumns

_TOKEN, _ID, _YEAR, _TITLE, _CATEGORIES = "__token__", "__id__", "__year__", "__title__", "__categories__"
_NO_CATEGORY = ("unknown", "(no genres listed)")
_VIDEO_ROLES = ("video_id", "title", "year", "categories", "channel_id", "channel", "language", "duration", "uploaded")
_VIEWER_ROLES = ("viewer_id", "age", "gender", "country", "language", "device", "segment")


def _identified(table: RawTable, column: str, repeats: bool) -> RawTable:
    """With token and id; broken where missing, overlong, or (unless `repeats`) seen before."""
    table = table.with_columns(convert.token(column).alias(_TOKEN)).screen(convert.id_rules(column, _TOKEN))
    table = table.with_columns(convert.to_ids(table.frame[_TOKEN]).alias(_ID))
    again = ~pl.col(_ID).is_first_distinct()
    if repeats:
        return RawTable(table.file, table.frame.filter(~again), table.num_read, table.broken, table.warnings)
    return table.screen([(f"duplicate {column}", again)])


def videos_of(spec: VideoColumns, table: RawTable, *, repeats: bool) -> tuple[pl.DataFrame, RawTable]:
    """Videos with the columns of `columns.VIDEOS`; `repeats` takes the first row of each id."""
    named = ("video_id", "title", "year", "categories", "channel_id", "channel", "language", "duration", "uploaded")
    for role in named:
        if (column := getattr(spec, role)) is not None:
            text.require(table, column, f"videos.{role}")
    table = _identified(table, spec.video_id, repeats)
    if spec.duration and not repeats:
        table = table.screen([(f"{spec.duration} is not a finite number", convert.not_a_number(spec.duration))])
    frame = _described(spec, table.frame)
    long = frame.select((pl.col(_TITLE).str.len_chars() > convert.MAX_TITLE).sum()).item()
    if long:
        table = table.warn(f"{long:,} titles were cut to {convert.MAX_TITLE} characters")
    videos = frame.select(*_video_columns(spec), _uploaded(spec, frame))
    if spec.title or spec.categories:
        vectors = content.vectors(videos[c.TITLE], frame[_CATEGORIES], frame[_YEAR])
        videos = videos.with_columns(pl.Series(c.CONTENT, vectors).arr.to_list())
    return videos, table


def _described(spec: VideoColumns, frame: pl.DataFrame) -> pl.DataFrame:
    """With categories, title and year; the year stands in its own column or at the end of the title."""
    stated = convert.year(spec.year) if spec.year else pl.lit(None, dtype=pl.Int32)
    categories = (
        text.lists(spec.categories, spec.category_separator) if spec.categories else pl.lit([], dtype=pl.List(pl.String))
    )
    named = pl.element().filter(~pl.element().str.to_lowercase().is_in(_NO_CATEGORY))
    frame = frame.with_columns(stated.alias(_YEAR), categories.list.eval(named).alias(_CATEGORIES))
    frame = frame.with_columns(_title(spec).alias(_TITLE))
    shown = pl.col(_TITLE).str.extract(r"\(((?:18|19|20)\d{2})\)$").cast(pl.Int32)
    return frame.with_columns(pl.coalesce(_YEAR, shown).alias(_YEAR))


def _title(spec: VideoColumns) -> pl.Expr:
    """The title, followed by the year where that is known and not yet there."""
    fallback = pl.format("Video {}", pl.col(_TOKEN))
    if spec.title is None:
        return fallback
    title = pl.col(spec.title).str.replace_all(r"\s+", " ").str.strip_chars()
    dated = pl.format("{} ({})", title, pl.col(_YEAR))
    shown = pl.when(pl.col(_YEAR).is_not_null() & ~title.str.contains(r"\(\d{4}\)$")).then(dated).otherwise(title)
    return pl.when(title.is_null() | (title == "")).then(fallback).otherwise(shown)


def _video_columns(spec: VideoColumns) -> list[pl.Expr]:
    seconds = 0.001 if spec.duration_unit == "ms" else 1.0
    duration = convert.number(spec.duration) * seconds if spec.duration else pl.lit(None, dtype=pl.Float64)
    return [
        pl.col(_ID).alias(c.VIDEO_ID),
        pl.col(_TOKEN).alias(c.EXTERNAL_ID),
        pl.col(_TITLE).str.slice(0, convert.MAX_TITLE).alias(c.TITLE),
        _channel_id(spec).alias(c.CHANNEL_ID),
        convert.value_or_unknown(spec.channel or spec.channel_id).alias(c.CHANNEL),
        pl.col(_CATEGORIES).list.first().fill_null(c.UNKNOWN).alias(c.CATEGORY),
        convert.value_or_unknown(spec.language).alias(c.LANGUAGE),
        pl.when(duration > 0).then(duration).cast(pl.Float32).alias(c.DURATION_S),
    ]


def _channel_id(spec: VideoColumns) -> pl.Expr:
    """0 is no channel."""
    column = spec.channel_id or spec.channel
    if column is None:
        return pl.lit(0, dtype=pl.Int64)
    return convert.token(column).fill_null("0").map_batches(convert.to_ids, return_dtype=pl.Int64)


def _uploaded(spec: VideoColumns, frame: pl.DataFrame) -> pl.Series:
    if spec.uploaded is None:
        return pl.Series(c.UPLOADED_AT, [None] * len(frame), dtype=pl.Int64)
    at = convert.instants(frame[spec.uploaded], spec.uploaded_unit)
    return at.set(((at < 0) | (at >= convert.YEAR_2100_AT)).fill_null(False), None).alias(c.UPLOADED_AT)


def viewers_of(spec: ViewerColumns, table: RawTable, *, repeats: bool) -> tuple[pl.DataFrame, RawTable]:
    """Viewers with the columns of `columns.VIEWERS`; `repeats` takes the first row of each id."""
    for role in ("viewer_id", "age", "gender", "country", "language", "device", "segment"):
        if (column := getattr(spec, role)) is not None:
            text.require(table, column, f"viewers.{role}")
    table = _identified(table, spec.viewer_id, repeats)
    viewers = table.frame.select(
        pl.col(_ID).alias(c.VIEWER_ID),
        pl.col(_TOKEN).alias(c.EXTERNAL_ID),
        convert.age_band(spec.age).alias(c.AGE_BAND),
        convert.gender(spec.gender).alias(c.GENDER),
        *(convert.value_or_unknown(getattr(spec, name)).alias(name) for name in (c.COUNTRY, c.LANGUAGE, c.DEVICE, c.SEGMENT)),
    )
    return viewers, table
