"""KuaiRand (Gao et al., CIKM 2022): a short-video log in which every row is a shown video with what came of it.

Reads the publisher's log_*.csv with user_features_*.csv, and extracts of it (log.tsv, users.csv). Likes and dislikes come from
`is_like` and `is_hate`, or from the single `label` of extracts that keep rated rows only. Times and lengths are in ms.
The video length stands in the log itself; titles are not published.
"""

from pathlib import Path

from core.errors import BadInput
from data.sources import tabular, text
from data.sources.mapping import EventColumns, LogMapping, VideoColumns, ViewerColumns

_LOGS = ("log_standard*.csv", "log*.csv", "log*.tsv")
_VIEWERS = ("user_features*.csv", "users.csv")


def load(path: Path, limits: tabular.Limits) -> tabular.LoadResult:
    """Load a folder (all its standard logs), or one log file.

    Raises:
        BadInput, SchemaMismatch, TooManyBrokenRows: see `tabular.load`.
    """
    folder = path if path.is_dir() else path.parent
    pattern = path.name if path.is_file() else _first(folder, _LOGS)
    if pattern is None:
        raise BadInput(f"{path} holds no KuaiRand log (log_standard_*.csv or log.tsv)")
    events = text.read_all(folder, pattern)
    rated = {"like": "is_like = 1", "dislike": "is_hate = 1"} if "is_like" in events.columns else {}
    if "label" in events.columns:
        rated = {"like": "label = 1", "dislike": "label = 0"}
    users = _first(folder, _VIEWERS)
    viewers = text.read_all(folder, users) if users else None
    mapping = LogMapping(
        events=EventColumns(
            path=pattern,
            viewer_id="user_id",
            video_id="video_id",
            time="time_ms",
            time_unit="ms",
            always=("impression",),
            when={"click": "is_click = 1", **rated},
            watch="play_time_ms",
            watch_unit="ms",
        ),
        videos=VideoColumns(pattern, "video_id", duration="duration_ms", duration_unit="ms"),
        viewers=ViewerColumns(users, "user_id", segment="user_active_degree") if users else None,
        name="kuairand",
    )
    return tabular.assemble(mapping, tabular.RawLog(events, events, viewers), limits)


def _first(folder: Path, patterns: tuple[str, ...]) -> str | None:
    return next((pattern for pattern in patterns if any(folder.glob(pattern))), None)
