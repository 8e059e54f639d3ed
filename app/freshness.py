"""How old the features are that a release in service reads: what it lacks of the event log, and how old its own parts are."""

from app.trials import Opened
from core import columns as c
from core.errors import LogUnavailable
from core.event_log import EventLog
from features import freshness
from features.freshness import Age


def ages(opened: Opened, log: EventLog, now: int) -> list[Age]:
    """The age of every group of features at the instant `now`, in the log's time."""
    loaded, lacking_since, answers = opened.release.loaded, None, True
    try:
        waiting, _ = log.read(after=opened.consumer.offset, limit=1)
        lacking_since = int(waiting[c.RECEIVED_AT][0].as_py()) if len(waiting) else None
    except LogUnavailable:
        answers = False
    return freshness.ages(loaded.definitions, now, lacking_since=lacking_since, end_at=loaded.end_at, log_answers=answers)
