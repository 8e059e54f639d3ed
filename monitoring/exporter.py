"""The latest look as Prometheus gauges. Labels are closed sets: declared signals, causes and severities, never ids.

upnext_signal_value{signal}, upnext_signal_expected{signal}    of everyone together
upnext_drift_cells{role}                                       cells that are not what they were
upnext_alarm{severity, cause}                                  1 while it stands
upnext_monitor_looked_at_seconds                               end of the day that was looked at, since 1970
"""

import numpy as np
from prometheus_client import CollectorRegistry, Gauge

from core.clock import HOUR_MS, SECOND_MS
from monitoring.severity import Cause, Severity
from monitoring.signals import SIGNALS
from monitoring.watch import Look


class Exporter:
    """Owns the gauges of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._value = Gauge("upnext_signal_value", "Ratio over the last day", ["signal"], registry=registry)
        self._expected = Gauge("upnext_signal_expected", "What that ratio should be", ["signal"], registry=registry)
        self._cells = Gauge("upnext_drift_cells", "Signals in segments that drifted", ["role"], registry=registry)
        self._alarm = Gauge("upnext_alarm", "1 while the alarm stands", ["severity", "cause"], registry=registry)
        self._looked_at = Gauge("upnext_monitor_looked_at_seconds", "End of the day looked at", registry=registry)
        for severity in Severity:
            for cause in Cause:
                self._alarm.labels(severity, cause).set(0)

    def show(self, look: Look) -> None:
        """Replace what was shown before."""
        now, roles = look.evidence.now, [finding.role for finding in look.evidence.findings]
        for at, signal in enumerate(SIGNALS):
            for gauge, cells in ((self._value, now.value_GS), (self._expected, now.expected_GS)):
                gauge.labels(signal.name).set(float(cells[0, at]) if np.isfinite(now.p_GS[0, at]) else float("nan"))
            self._cells.labels(signal.role).set(roles.count(signal.role))
        for severity in Severity:
            for cause in Cause:
                found = look.diagnosis is not None and (look.diagnosis.severity, look.diagnosis.cause) == (severity, cause)
                self._alarm.labels(severity, cause).set(int(found))
        self._looked_at.set(look.hour * HOUR_MS / SECOND_MS)
