"""The newest report of the monitor as Prometheus gauges; the service reads the file that `upnext monitor report` leaves.

upnext_signal_value{signal}, upnext_signal_expected{signal}    of everyone together, over the day that was looked at
upnext_drift_cells{role}                                       signals in segments that are not what they were
upnext_drifted_features                                        features that differ more than days do, and did the day before
upnext_alarm{severity, cause}                                  1 for the alarm that stands; no sample on a quiet day
upnext_monitor_looked_at_seconds                               end of that day, since 1970

Labels are closed sets: declared signals, roles, causes and severities, never ids. Imports neither signals nor rules, which
would bring half of scipy into a service that only passes numbers on.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from core.clock import SECOND_MS

REPORT = "monitoring.json"
"""File beside the releases of a space."""


class Exporter:
    """Owns the gauges of one registry."""

    def __init__(self, registry: CollectorRegistry, path: Path | None = None) -> None:
        """Gauges in `registry`; `path` is the file that `refresh` reads."""
        self._path, self._read_at = path, 0
        self._value = Gauge("upnext_signal_value", "Ratio over the last day", ["signal"], registry=registry)
        self._expected = Gauge("upnext_signal_expected", "What that ratio should be", ["signal"], registry=registry)
        self._cells = Gauge("upnext_drift_cells", "Signals in segments that drifted", ["role"], registry=registry)
        self._features = Gauge("upnext_drifted_features", "Features that drifted", registry=registry)
        self._alarm = Gauge("upnext_alarm", "1 while the alarm stands", ["severity", "cause"], registry=registry)
        self._looked_at = Gauge("upnext_monitor_looked_at_seconds", "End of the day looked at", registry=registry)

    def refresh(self) -> None:
        """Show the file's report when there is a newer one; one that cannot be read leaves everything as it is."""
        try:
            changed_at = 0 if self._path is None else self._path.stat().st_mtime_ns
            if changed_at == self._read_at or self._path is None:
                return
            self.show(json.loads(self._path.read_text()))
            self._read_at = changed_at
        except (OSError, ValueError, KeyError, TypeError):
            return

    def show(self, report: Mapping[str, Any]) -> None:
        """Replace what was shown before by a report (`pipelines.watching.monitor.DayReport.to_json`)."""
        signals, alert = report["signals"], report["alert"]
        roles = Counter(finding["role"] for finding in report["findings"])
        for gauge in (self._value, self._expected, self._cells, self._alarm):
            gauge.clear()
        for signal in signals:
            self._value.labels(signal["signal"]).set(signal["value"])
            self._expected.labels(signal["signal"]).set(signal["expected"])
            self._cells.labels(signal["role"]).set(roles[signal["role"]])
        self._features.set(sum(one.get("standing", True) for one in report["drifted"]))
        if alert is not None:
            self._alarm.labels(alert["severity"], alert["cause"]).set(1)
        self._looked_at.set(report["end_at"] / SECOND_MS)
