"""What the experiments page shows: every experiment as the log tells it now, what chance fills, and the shadow's unseen pages.

The log is read on from where the last look ended, and only what an analysis needs of it stays in memory. A look happens at most
every few seconds, however many people ask. Nothing is decided here: `experiments.analysis` and its intervals, which stay valid
however often one looks, do that.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import polars as pl
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.answers import Json
from app.services import Services
from app.trials import Trials
from core import columns as c
from core import events as ev
from core.errors import BadInput, SchemaMismatch
from core.event_log import EventLog, batches
from experiments import evidence, exploration
from experiments.analysis import analyse
from experiments.config import ExperimentConfig
from serving import counterfactual, shadow
from serving.counterfactual import Stored
from serving.shadow import Shadow

_NEEDED = [
    c.EVENT_AT, c.KIND, c.ARM, c.VIEWER_ID, c.REQUEST_ID, c.VALUE, c.VIDEO_ID, c.TEAM, c.POSITION, c.DETAIL, c.PROPENSITY,
    c.EXPLORATION,
]  # fmt: skip
_EVERY_S = 3.0
_REMEMBERED = 2_000


class Scoreboard:
    """Reads on, and summarises. Safe for many threads."""

    def __init__(
        self,
        log: EventLog,
        trials: Callable[[], Trials],
        recorder: Shadow,
        stored: Callable[[], Stored] = lambda: Stored(0, 0),
    ) -> None:
        """Args:
        log: what happened.
        trials: what runs.
        recorder: writes the records down.
        stored: what they have taken so far.
        """
        self._log, self._trials, self._recorder, self._stored = log, trials, recorder, stored
        self._records: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)
        self._events = pl.DataFrame(pl.from_arrow(c.EVENTS.empty_table().select(_NEEDED)))
        self._offset, self._looked_s = 0, float("-inf")
        self._num_records, self._said = 0, dict[str, Any]()
        self._lock = threading.Lock()

    def remember(self, record: dict[str, Any]) -> None:
        """Take one record of a request; the latest ones are what the shadow is compared by."""
        self._num_records += 1
        if record.get("shadow_release_id"):
            self._records.append({name: value for name, value in record.items() if name not in counterfactual.CANDIDATES})

    def forget(self, viewer_id: int) -> None:
        """Leave out one viewer from now on."""
        with self._lock:
            kept = [record for record in self._records if record[c.VIEWER_ID] != viewer_id]
            self._records = deque(kept, maxlen=_REMEMBERED)
            self._events = self._events.filter(pl.col(c.VIEWER_ID) != viewer_id)
            self._looked_s = float("-inf")

    def summary(self) -> dict[str, Any]:
        """Everything on the page. Raises LogUnavailable."""
        with self._lock:
            if time.monotonic() - self._looked_s >= _EVERY_S:
                self._read_on()
                self._said, self._looked_s = self._look(), time.monotonic()
            return self._said

    def _look(self) -> dict[str, Any]:
        trials = self._trials()
        config, records = trials.config, pl.DataFrame(pl.from_arrow(counterfactual.to_table(list(self._records))))
        compared = shadow.compare(records)
        return {
            "problem": trials.problem,
            "holdout": config.holdout,
            "experiments": [self._experiment(each, trials.catalogue.frame) for each in config.experiments],
            "record": {
                "share": config.record, "done": self._num_records, "dropped": self._recorder.dropped,
                "queued": self._recorder.queued, "bytes": self._stored().bytes_each,
            },
            "exploration": [one.to_json() for one in exploration.by_arm(self._events, trials.catalogue.frame)],
            "shadow": [{"release": name, "slices": [one.to_json() for one in found]} for name, found in compared.items()],
        }  # fmt: skip

    def _experiment(self, experiment: ExperimentConfig, videos: pl.DataFrame) -> dict[str, Any]:
        shares = dict(zip(experiment.arm_names, experiment.shares, strict=True))
        told: dict[str, Any] = {"name": experiment.name, "interleaving": experiment.interleaving, "shares": shares}
        told |= {"surfaces": experiment.surfaces, "planned_days": experiment.analysis.days, "waits": None}
        try:
            if experiment.interleaving:
                return told | {"preference": evidence.preferences(self._events, experiment).to_json()}
            report = analyse(evidence.panel(evidence.rows(self._events, experiment, videos), experiment), experiment)
            return told | {"report": report.to_json(), "mismatch": report.sample_ratio.mismatch}
        except (BadInput, SchemaMismatch) as error:
            return told | {"waits": str(error)}

    def _read_on(self) -> None:
        fresh = []
        for events, following in batches(self._log, self._offset):
            # Scores are most of a log's bytes; of a page the first slot's detail is judged, of merged pages every one's.
            needed = pl.col(c.TEAM).is_not_null() | (pl.col(c.POSITION) == 0)
            detail = pl.when(needed).then(pl.col(c.DETAIL)).alias(c.DETAIL)
            kept = pl.DataFrame(pl.from_arrow(events.select(_NEEDED))).with_columns(detail)
            fresh.append(kept.filter(~pl.col(c.KIND).is_in([ev.UPLOAD, ev.REMOVE])))
            self._offset = following
        if fresh:
            self._events = pl.concat([self._events, *fresh])


class Experiments:
    """The page's data over HTTP."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def router(self) -> APIRouter:
        """Its route."""
        router = APIRouter(default_response_class=Json, tags=["operations"])
        router.add_api_route("/ops/experiments/summary", self.summary)
        return router

    async def summary(self) -> Response:
        """Experiments that run, what they show so far, and what the shadow would have shown."""
        return Json(await run_in_threadpool(self._services.scoreboard))
