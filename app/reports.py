"""What the reports page shows: the newest of what commands leave in a space, cut to what fits on a page.

    lineage/<release>.json             upnext pipeline run, upnext pipeline lineage     where the live release comes from
    gates/<release>-against-….json     upnext release gates, promote                    of the live release, else the newest
    validation.json                    upnext data validate, upnext pipeline run        the checks of a snapshot
    monitoring.json                    upnext monitor report                            a day against the training distribution
    skew.json                          upnext features skew                             served values against the log

Reading is open and changes nothing; a file that is not there, or was written by another version, is a report that is missing.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.answers import Json
from app.permits import GATES
from app.services import Services
from data import lineage, validation_report
from features import audit
from monitoring.exporter import REPORT

_FEATURES = 15
"""Features that are listed, those nearest their limit first."""


class Reports:
    """The page's data over HTTP."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def router(self) -> APIRouter:
        """Its route."""
        router = APIRouter(default_response_class=Json, tags=["operations"])
        router.add_api_route("/ops/reports/summary", self.summary)
        return router

    async def summary(self) -> Response:
        """The newest lineage, gates, validation, drift and audit; null where a command has not been run yet."""
        return Json(await run_in_threadpool(self._services.reports))


def newest(space: Path, release_id: str) -> dict[str, Any]:
    """The newest report of each kind in a space; None where there is none."""
    gates = sorted((space / GATES).glob("*.json"), key=lambda path: (path.name.startswith(release_id), path.stat().st_mtime_ns))
    return {
        "lineage": _read(space / lineage.FOLDER / f"{release_id}.json", lambda said: said),
        "gates": _read(gates[-1], _verdicts) if gates else None,
        "validation": _read(space / validation_report.FILE, _checks),
        "drift": _read(space / REPORT, _drift),
        "skew": _read(space / audit.FILE, _skew),
    }


def _read(path: Path, cut: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Mapping[str, Any] | None:
    try:
        return cut(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _verdicts(said: Mapping[str, Any]) -> dict[str, Any]:
    """Without the evidence, which is the report's own page."""
    return {name: said[name] for name in ("release_id", "live_id", "created_at", "gates", "blocking")}


def _checks(said: Mapping[str, Any]) -> dict[str, Any]:
    """Findings, and how many expectations were compared."""
    names = ("dataset", "snapshot_id", "at", "ok", "summary", "num_rows", "findings")
    return {name: said[name] for name in names} | {"compared": len(said["outcomes"])}


def _drift(said: Mapping[str, Any]) -> dict[str, Any]:
    """Everyone's signals, and the features nearest to their limit with their histograms."""
    names = ("release_id", "from", "until", "reference", "num_tested", "alert", "drifted", "performance", "signals")
    by_limit = sorted(said["features"], key=lambda one: -one["psi"] / max(one["limit"], 1e-9))
    shown = ("feature", "segment", "psi", "limit", "missing", "missing_before", "labels", "expected", "actual")
    return {name: said[name] for name in names} | {"features": [{n: one[n] for n in shown} for one in by_limit[:_FEATURES]]}


def _skew(said: Mapping[str, Any]) -> dict[str, Any]:
    """What was compared, and what differs."""
    names = ("release_id", "audited_at", "traffic", "pages", "checked", "mismatches", "fingerprints", "joins", "future_rows")
    return {name: said[name] for name in (*names, "differences", "alert")}
