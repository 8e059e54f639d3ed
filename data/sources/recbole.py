"""RecBole's atomic files: NAME.inter, and NAME.item and NAME.user where there are any.

Tab separated; the header types each column (`name:token`, `:token_seq`, `:float`, `:float_seq`; sequences hold spaces). Roles
are found by the usual column names. A file with a rating gives a click per row, a like from 4 and a dislike up to 2; one with a
0/1 label gives a click where it is 1.
"""

from pathlib import Path

from core.errors import BadInput, SchemaMismatch
from data.quarantine import RawTable
from data.sources import tabular, text
from data.sources.mapping import EventColumns, LogMapping, VideoColumns, ViewerColumns

_FORMAT = text.TextFormat(delimiter="\t", quote="")
_VIEWER = ("user_id", "viewer_id", "userid", "user", "session_id")
_VIDEO = ("item_id", "video_id", "movie_id", "movieid", "itemid", "business_id", "photo_id", "item")
_TIME = ("timestamp", "time", "time_ms", "date", "unixreviewtime")
_TITLE = ("movie_title", "title", "name", "item_name", "video_title")
_CATEGORIES = ("class", "genre", "genres", "categories", "category", "tags")


def load(path: Path, limits: tabular.Limits) -> tabular.LoadResult:
    """Load a folder that holds one NAME.inter, or that file itself.

    Raises:
        BadInput, SchemaMismatch, TooManyBrokenRows: see `tabular.load`.
    """
    log = find(path)
    if log is None:
        raise BadInput(f"{path} holds no NAME.inter file; RecBole's atomic files are NAME.inter, NAME.item and NAME.user")
    events = _read(log)
    videos, viewers = _read_optional(log.with_suffix(".item")), _read_optional(log.with_suffix(".user"))
    mapping = LogMapping(
        events=_event_columns(events),
        videos=_video_columns(videos) if videos else None,
        viewers=_viewer_columns(viewers) if viewers else None,
        name=log.stem,
    )
    return tabular.assemble(mapping, tabular.RawLog(events, videos, viewers), limits)


def find(path: Path) -> Path | None:
    """The .inter file at or in `path`; None without one.

    Raises:
        BadInput: several.
    """
    if path.suffix == ".inter" and path.is_file():
        return path
    found = sorted(path.glob("*.inter")) if path.is_dir() else []
    if len(found) > 1:
        raise BadInput(f"{path} holds several logs: {', '.join(p.name for p in found)}; name one of them")
    return found[0] if found else None


def _read_optional(path: Path) -> RawTable | None:
    return _read(path) if path.is_file() else None


def _read(path: Path) -> RawTable:
    table = text.read(path, _FORMAT)
    names = {typed: typed.partition(":")[0] for typed in table.columns}
    untyped = [typed for typed in names if ":" not in typed]
    if untyped:
        raise SchemaMismatch(f"{path.name}: header '{untyped[0]}' has no type; RecBole writes name:token, name:float, …")
    return table.rename(names)


def _event_columns(table: RawTable) -> EventColumns:
    rating, label = text.first_present(table, ("rating", "stars")), text.first_present(table, ("label", "is_click", "click"))
    when = {"like": f"{rating} >= 4", "dislike": f"{rating} <= 2"} if rating else {}
    only_clicked = label is not None and rating is None
    return EventColumns(
        path=table.file,
        viewer_id=_role(table, _VIEWER, "viewer"),
        video_id=_role(table, _VIDEO, "video"),
        time=_role(table, _TIME, "time"),
        always=() if only_clicked else ("click",),
        when={"click": f"{label} = 1"} if only_clicked else when,
        required=(rating,) if rating else (),
    )


def _video_columns(table: RawTable) -> VideoColumns:
    return VideoColumns(
        path=table.file,
        video_id=_role(table, _VIDEO, "video"),
        title=text.first_present(table, _TITLE),
        year=text.first_present(table, ("release_year", "year", "release_date")),
        categories=text.first_present(table, _CATEGORIES),
        category_separator=" ",
        channel=text.first_present(table, ("channel", "artist", "artists", "author", "brand", "publisher")),
        language=text.first_present(table, ("language", "language_code")),
        duration=text.first_present(table, ("duration_s", "duration")),
    )


def _viewer_columns(table: RawTable) -> ViewerColumns:
    return ViewerColumns(
        path=table.file,
        viewer_id=_role(table, _VIEWER, "viewer"),
        age=text.first_present(table, ("age", "age_band", "age_group")),
        gender=text.first_present(table, ("gender", "sex")),
        country=text.first_present(table, ("country",)),
        segment=text.first_present(table, ("occupation", "job")),
    )


def _role(table: RawTable, names: tuple[str, ...], role: str) -> str:
    found = text.first_present(table, names)
    if found is None:
        raise SchemaMismatch(
            f"{table.file} has no {role} column under a usual name ({', '.join(names)}); columns: {', '.join(table.columns)}. "
            "Rename one, or load it as csv with a mapping"
        )
    return found
