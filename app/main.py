"""The composition root: builds every object once and hands it over by constructor. Nothing is built at import."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from app import problems
from app.api import Api
from app.feature_list import FeatureList
from app.ingest import Ingest
from app.labelling import Labelling
from app.limits import Doorkeeper
from app.live import LiveReleases, holder
from app.middleware import Guard
from app.ops import Ops
from app.pages import Pages
from app.privacy import PageRecords, Privacy
from app.reports import Reports, newest
from app.scoreboard import Experiments, Scoreboard
from app.services import Services
from app.tables import Tables, summary
from app.telemetry import Telemetry
from app.trials import Watcher
from app.uploads import Uploads
from core.clock import Clock, ContinuedClock, SystemClock
from core.event_log import SqliteEventLog
from core.settings import Settings
from data import tombstones
from data.labels.answers import FILE as ANSWERS
from data.labels.answers import Answers
from data.logs import OwnLog, SharedReads, open_log
from features import redis_server
from monitoring.exporter import REPORT
from serving.counterfactual import FOLDER, Recorder, Writer
from serving.impressions import ImpressionLogger
from serving.shadow import Shadow

_ABOUT = (
    "Recommendations for a video site: two-tower retrieval, ranking, exploration, and the feedback loop that keeps them honest."
)

MERGE_EVERY_S = 300.0
"""How long vectors of uploads wait beside the index; every search looks through them exactly."""
WARM_EVERY_S = 5.0
"""How long after a new period has begun pages may have to compute the features of their videos."""
COUNT_EVERY_S = 60.0
"""How old the count of viewers may be whose states are held."""


def create_app(services: Services) -> FastAPI:
    """The ASGI application over `services`; starts and closes them with its own life."""
    ingest, pages = Ingest(services, SystemClock()), Pages(services)
    telemetry = Telemetry(services, ingest)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        services.start()
        try:
            yield
        finally:
            ingest.close()
            services.close()

    app = FastAPI(title="upnext", version="0.1.0", description=_ABOUT, lifespan=life, docs_url=None, redoc_url=None)
    app.add_middleware(Doorkeeper, limits=services.limits, telemetry=telemetry)
    app.add_middleware(Guard, telemetry=telemetry)
    problems.install(app, pages.error)
    api, ops, labelling = Api(services, ingest, telemetry), Ops(services, telemetry), Labelling(services, SystemClock())
    uploads = Uploads(services, ingest)
    for part in (
        api,
        uploads,
        ops,
        Privacy(services),
        Experiments(services),
        Tables(services),
        Reports(services),
        FeatureList(services),
        labelling,
        pages,
    ):
        app.include_router(part.router())
    return app


@contextmanager
def open_services(settings: Settings, *, releases: Path, events: Path, pointer: str = "live") -> Iterator[Services]:
    """Everything real: a store server, the event log, and the release that `pointer` names, ready to answer.

    Call from the main thread: a store server started here ends with the thread that started it.

    Args:
        settings: the process's environment.
        releases: root of published releases.
        events: file of the event log, where the settings name no server for it.
        pointer: a pointer's name or a release id.

    Raises:
        ReleaseRefused: there is nothing to serve, or it failed its checks.
        StoreUnavailable: no store server could be reached or started.
        LogUnavailable: the event log's server does not answer.
    """
    with redis_server.running(settings) as store_url:
        log = SharedReads(open_log(events, settings.log_url))
        held = holder(releases, log, store_url, pointer)
        clock = ContinuedClock(max(int(held.live.live.facts["log_end_at"]), log.newest_at()), SystemClock())
        live = LiveReleases(held, releases, log, clock)
        try:
            yield _around(live, log, clock, releases.parent, settings)
        finally:
            live.close()
            log.close()


def _around(live: LiveReleases, log: OwnLog, clock: Clock, space: Path, settings: Settings) -> Services:
    """What goes with live releases: the threads that log, record, watch and merge."""
    writer = Writer(space / FOLDER)

    def keep(record: dict[str, Any]) -> None:
        writer.add(record)
        scoreboard.remember(record)

    shadow = Shadow(Recorder(lambda: live.trials.subjects(), keep), lambda: live.trials.config.record)
    scoreboard = Scoreboard(log, lambda: live.trials, shadow, lambda: writer.written)
    watchers = (
        Watcher(live.refresh),
        Watcher(live.merge, MERGE_EVERY_S, "merge of indexes"),
        Watcher(live.warm, WARM_EVERY_S, "video features"),
        Watcher(live.count_viewers, COUNT_EVERY_S, "count of viewers"),
    )
    impressions = ImpressionLogger(log, clock, also=shadow.put)

    def start() -> None:
        for thread in (impressions, shadow, *watchers):
            thread.start()

    def close() -> None:
        for watcher in watchers:
            watcher.close()
        impressions.close()
        if shadow.close():
            writer.close()
        live.close()

    return Services(
        live,
        log,
        impressions,
        live,
        settings,
        clock,
        Answers(SqliteEventLog(space / ANSWERS)),
        mark_forgotten=partial(_mark, space),
        viewers_held=lambda: live.viewers_held,
        monitored=space / REPORT,
        reports=lambda: newest(space, live.live.release_id),
        records=PageRecords(space, writer, scoreboard),
        scoreboard=scoreboard.summary,
        tables=partial(summary, live),
        start=start,
        close=close,
    )


def _mark(space: Path, viewer_id: int) -> int:
    """See Services.mark_forgotten."""
    return tombstones.forget(space, [viewer_id], SystemClock().now()).forgotten_at[viewer_id]
