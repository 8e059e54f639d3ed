"""What the service says about itself: Prometheus series, and the last few hundred pages for the operations page.

One registry per app, so two apps in one process never share a counter. Labels come from closed sets (routes, stages, surfaces,
kinds); free text such as a reason never becomes a label.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import nan
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client import Counter as Total

from app.ingest import Ingest
from app.services import Services
from core.policy import Slate
from monitoring.exporter import Exporter

_REMEMBERED = 500
_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
_STAGE_BUCKETS = (0.0001, 0.0002, 0.0005, *_BUCKETS[:-2])


@dataclass(frozen=True)
class Page:
    """One answered request for a slate."""

    at: int
    surface: str
    total_ms: float
    stage_ms: dict[str, float]
    sources: tuple[str, ...]
    reasons: tuple[str, ...]


class Telemetry:
    """Counts and remembers."""

    def __init__(self, services: Services, ingest: Ingest) -> None:
        self._services, self._ingest = services, ingest
        self._started_at = services.clock.now()
        self._pages: deque[Page] = deque(maxlen=_REMEMBERED)
        self._events: Counter[str] = Counter()
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "upnext_request_seconds", "Time to answer", ["route", "status"], registry=self._registry, buckets=_BUCKETS
        )
        self._stages = Histogram(
            "upnext_stage_seconds", "Time per stage of a page", ["stage"], registry=self._registry, buckets=_STAGE_BUCKETS
        )
        self._stage_budgets = Gauge(
            "upnext_stage_budget_seconds", "What 99 of 100 pages may spend in a stage", ["stage"], registry=self._registry
        )
        self._degraded = Total(
            "upnext_degraded_total", "Pages answered with something missing", ["surface"], registry=self._registry
        )
        self._accepted = Total("upnext_events_accepted_total", "Events committed", ["kind"], registry=self._registry)
        self._rejected = Total("upnext_events_rejected_total", "Events refused", registry=self._registry)
        self._refused = Total("upnext_refused_total", "Requests turned away at the door", ["reason"], registry=self._registry)
        self._breakers = Gauge(
            "upnext_breaker_open", "1 while a dependency is not asked", ["dependency"], registry=self._registry
        )
        self._ages = Gauge("upnext_feature_age_seconds", "How old served features are", ["group"], registry=self._registry)
        self._budgets = Gauge(
            "upnext_feature_budget_seconds", "How old served features may be", ["group"], registry=self._registry
        )
        self._stage = cache(self._stages.labels)
        self._turned_away: Counter[str] = Counter()
        self._gauges(services)
        self._monitor = Exporter(self._registry, services.monitored)

    def _gauges(self, services: Services) -> None:
        for name, text, read in (
            ("upnext_event_batches_waiting", "Batches that wait for the event log", lambda: self._ingest.waiting),
            ("upnext_impressions_queued", "Slates waiting to be logged", lambda: services.impressions.queued),
            ("upnext_impressions_dropped", "Slates lost to a full queue", lambda: services.impressions.dropped),
            ("upnext_viewers_held", "Viewers whose states are kept, as last counted", lambda: _or_nan(services.viewers_held())),
        ):
            Gauge(name, text, registry=self._registry).set_function(read)

    def request(self, route: str, status: int, seconds: float) -> None:
        """One HTTP answer."""
        self._requests.labels(route, str(status)).observe(seconds)

    def refused(self, reason: str) -> None:
        """One request turned away: for `client`, or for load by its priority."""
        self._refused.labels(reason).inc()
        self._turned_away[reason] += 1

    def page(self, slate: Slate, surface: str, at: int) -> None:
        """One slate."""
        for stage, ms in slate.stage_ms.items():
            self._stage(stage).observe(ms / 1_000)
        if slate.degraded:
            self._degraded.labels(surface).inc()
        total_ms = sum(slate.stage_ms.values())
        self._pages.append(Page(at, surface, total_ms, dict(slate.stage_ms), slate.sources, slate.degraded))

    def events(self, kinds: Counter[str], num_rejected: int) -> None:
        """One batch of events."""
        for kind, count in kinds.items():
            self._accepted.labels(kind).inc(count)
        self._events.update(kinds)
        self._rejected.inc(num_rejected)

    def exposition(self) -> bytes:
        """Prometheus text."""
        for name, state in self._states().items():
            self._breakers.labels(name).set(state == "open")
        live = self._services.releases.live
        for stage, budget_ms in live.budgets_ms.items():
            self._stage_budgets.labels(stage).set(budget_ms / 1_000)
        for age in live.ages(self._services.clock.now()):
            self._ages.labels(age.group).set(nan if age.age_s is None else age.age_s)
            self._budgets.labels(age.group).set(age.budget_s)
        self._monitor.refresh()
        return generate_latest(self._registry)

    def summary(self) -> dict[str, Any]:
        """The operations page's data: everything about the last pages."""
        pages, now = list(self._pages), self._services.clock.now()
        return {
            "at": now,
            "uptime_s": (now - self._started_at) / 1_000,
            "num_pages": len(pages),
            "pages_per_minute": sum(now - page.at <= 60_000 for page in pages),
            "total_ms": _quantiles([page.total_ms for page in pages]),
            "latest_ms": [round(page.total_ms, 2) for page in pages[-120:]],
            "stages": _stages(pages, self._services.releases.live.budgets_ms),
            "sources": Counter(source for page in pages for source in page.sources).most_common(),
            "reasons": Counter(reason for page in pages for reason in page.reasons).most_common(10),
            "degraded_share": sum(bool(page.reasons) for page in pages) / max(len(pages), 1),
            "events": self._events.most_common(),
            "breakers": self._states(),
            "freshness": [age.to_json() for age in self._services.releases.live.ages(now)],
            "refused": dict(self._turned_away),
            "event_batches_waiting": self._ingest.waiting,
            "impressions": {"queued": self._services.impressions.queued, "dropped": self._services.impressions.dropped},
        }

    def _states(self) -> dict[str, str]:
        breakers = {**self._services.releases.live.breakers(), "event_log": self._ingest.breaker}
        return {name: "open" if breaker.is_open else "closed" for name, breaker in breakers.items()}


def _or_nan(value: float | None) -> float:
    return nan if value is None else value


def _quantiles(values: list[float]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "p95": None, "p99": None}
    p50, p95, p99 = np.quantile(values, [0.5, 0.95, 0.99])
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2), "p99": round(float(p99), 2)}


def _stages(pages: list[Page], budgets_ms: Mapping[str, float]) -> list[dict[str, Any]]:
    """In running order: quantiles over the pages that came by, the budget where there is one, the share of all pages' time."""
    took: dict[str, list[float]] = {}
    for page in pages:
        for name, ms in page.stage_ms.items():
            took.setdefault(name, []).append(ms)
    total = sum(map(sum, took.values())) or 1.0
    return [
        {"name": name, **_quantiles(ms), "budget_ms": budgets_ms.get(name), "share": round(sum(ms) / total, 4)}
        for name, ms in took.items()
    ]
