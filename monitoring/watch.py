"""The monitor: looks at a log hour by hour and says what it finds. Holds no state but what it was told to expect.

One look compares the last day with the same clock hours of two weeks before, reads the CUSUM charts, and diagnoses. `LEVEL`
is the chance that a look at a quiet day finds anything; looks of neighbouring hours see almost the same day, so a quiet
*day* alarms far less often than 24 times that. How often in fact is measured by `upnext lab drill`.
"""

from dataclasses import dataclass

from monitoring import concept_drift, data_drift, severity
from monitoring.severity import Diagnosis, Evidence
from monitoring.signals import EVERYONE, Tallies, place

LEVEL = 2e-4
REFERENCE_DAYS = 14
FEWEST_REFERENCE_DAYS = 7
GAP_DAYS = 1
WARM_UP_DAYS = REFERENCE_DAYS + GAP_DAYS + 1
"""Days of log that a look needs behind it."""


@dataclass(frozen=True)
class Look:
    """What one look found."""

    hour: int
    """First hour that was not looked at, hours since 1970."""
    evidence: Evidence
    diagnosis: Diagnosis | None
    """None on a quiet day."""


def look(tallies: Tallies, end_hour: int, level: float = LEVEL) -> Look:
    """Judge the day before `end_hour`. The log of that day must be settled (`observations.SETTLED_H`)."""
    return against(tallies, end_hour, data_drift.reference_ends(end_hour, REFERENCE_DAYS, GAP_DAYS), level)


def against(tallies: Tallies, end_hour: int, reference: list[int], level: float = LEVEL) -> Look:
    """The same against chosen days: windows that end at `reference`, oldest first."""
    now = data_drift.compare(tallies, end_hour, reference)
    found = {(finding.segment, finding.signal): finding for finding in now.findings(level)}
    for signal in concept_drift.charts(tallies, now, reference):
        found.setdefault((EVERYONE, signal), now.finding(0, place(signal)))
    evidence = Evidence(now, reference, list(found.values()))
    return Look(end_hour, evidence, severity.diagnose(evidence))
