"""MovieLens as its publisher distributes it; which of the layouts it is follows from the file names.

    100K            u.data, u.item, u.user      tab and |, Latin-1, genres as flags, occupations in words
    1M, 10M         ratings.dat, movies.dat, users.dat (1M only)    "::", occupations as numbers
    20M and later   ratings.csv, movies.csv     CSV, no viewers

Every rating is a click, plus a like from 4 stars and a dislike up to 2: the log says what was rated, not what was shown.
"""

from pathlib import Path

import polars as pl

from core.errors import BadInput
from data.quarantine import RawTable
from data.sources import tabular, text
from data.sources.mapping import EventColumns, LogMapping, VideoColumns, ViewerColumns

_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_OCCUPATIONS_1M = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service", "doctor/health care",
    "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer", "retired", "sales/marketing",
    "scientist", "self-employed", "technician/engineer", "tradesman/craftsman", "unemployed", "writer",
)  # fmt: skip
_RATINGS = ("userId", "movieId", "rating", "timestamp")
_MOVIES = ("movieId", "title", "genres")
_VIEWERS_100K = ("userId", "age", "gender", "occupation", "zip")
_VIEWERS_1M = ("userId", "gender", "age", "occupation", "zip")
_ITEM_100K = ("movieId", "title", "released", "video_released", "url", *_GENRES_100K)


def load(path: Path, limits: tabular.Limits) -> tabular.LoadResult:
    """Load the folder of a MovieLens data set (or any file in it).

    Raises:
        BadInput: no known layout there, or an empty file.
        TooManyBrokenRows: see `tabular.Limits`.
    """
    folder = path if path.is_dir() else path.parent
    for marker, read in (("u.data", _read_100k), ("ratings.dat", _read_dat), ("ratings.csv", _read_csv)):
        found = next((at for at in (folder / marker, *sorted(folder.glob(f"*/{marker}"))) if at.is_file()), None)
        if found is not None:
            raw = read(found.parent)
            return tabular.assemble(_mapping(raw), raw, limits)
    raise BadInput(f"{path} is no MovieLens folder: none of u.data, ratings.dat and ratings.csv is there")


def _mapping(raw: tabular.RawLog) -> LogMapping:
    events = EventColumns(
        path=raw.events.file,
        viewer_id="userId",
        video_id="movieId",
        time="timestamp",
        time_unit="s",
        always=("click",),
        when={"like": "rating >= 4", "dislike": "rating <= 2"},
        required=("rating",),
    )
    videos, viewers = None, None
    if raw.videos:
        year = "released" if "released" in raw.videos.columns else None
        videos = VideoColumns(raw.videos.file, "movieId", title="title", year=year, categories="genres")
    if raw.viewers:
        viewers = ViewerColumns(raw.viewers.file, "userId", age="age", gender="gender", segment="occupation")
    return LogMapping(events, videos, viewers, name="movielens")


def _read_100k(folder: Path) -> tabular.RawLog:
    movies = _read_optional(folder / "u.item", _headless("|", _ITEM_100K, "latin-1"))
    if movies:
        flags = [pl.when(pl.col(name) == "1").then(pl.lit(name)) for name in _GENRES_100K]
        movies = movies.with_columns(pl.concat_str(flags, separator="|", ignore_nulls=True).alias("genres"))
    return tabular.RawLog(
        events=text.read(folder / "u.data", _headless("\t", _RATINGS)),
        videos=movies,
        viewers=_read_optional(folder / "u.user", _headless("|", _VIEWERS_100K)),
    )


def _read_dat(folder: Path) -> tabular.RawLog:
    viewers = _read_optional(folder / "users.dat", _headless("::", _VIEWERS_1M))
    if viewers:
        numbers = {str(code): name for code, name in enumerate(_OCCUPATIONS_1M)}
        viewers = viewers.with_columns(pl.col("occupation").replace(numbers))
    return tabular.RawLog(
        events=text.read(folder / "ratings.dat", _headless("::", _RATINGS)),
        videos=_read_optional(folder / "movies.dat", _headless("::", _MOVIES)),
        viewers=viewers,
    )


def _read_csv(folder: Path) -> tabular.RawLog:
    return tabular.RawLog(
        events=text.read(folder / "ratings.csv", text.TextFormat(delimiter=",")),
        videos=_read_optional(folder / "movies.csv", text.TextFormat(delimiter=",")),
    )


def _headless(delimiter: str, columns: tuple[str, ...], encoding: str = "auto") -> text.TextFormat:
    return text.TextFormat(delimiter=delimiter, columns=columns, encoding=encoding, quote="")


def _read_optional(path: Path, spec: text.TextFormat) -> RawTable | None:
    return text.read(path, spec) if path.is_file() else None
