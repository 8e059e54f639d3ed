import json
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry

from monitoring.exporter import REPORT, Exporter

SIGNAL = {"signal": "click_rate", "role": "outcome", "value": 0.12, "expected": 0.1}
QUIET = {"signals": [SIGNAL], "findings": [], "drifted": [], "alert": None, "end_at": 86_400_000}
LOUD = QUIET | {
    "findings": [SIGNAL, SIGNAL],
    "drifted": [{"standing": True}, {"standing": False}],
    "alert": {"severity": "moderate", "cause": "null_feature"},
    "end_at": 172_800_000,
}
ALARM = {"severity": "moderate", "cause": "null_feature"}


@pytest.fixture
def registry():
    return CollectorRegistry()


def test_gauges_follow_the_newest_report(registry, tmp_path):
    path = tmp_path / REPORT
    exporter = Exporter(registry, path)
    exporter.refresh()
    assert registry.get_sample_value("upnext_monitor_looked_at_seconds") == 0
    path.write_text(json.dumps(LOUD))
    exporter.refresh()
    assert registry.get_sample_value("upnext_alarm", ALARM) == 1
    assert registry.get_sample_value("upnext_signal_value", {"signal": "click_rate"}) == 0.12
    assert registry.get_sample_value("upnext_signal_expected", {"signal": "click_rate"}) == 0.1
    assert registry.get_sample_value("upnext_drift_cells", {"role": "outcome"}) == 2
    assert registry.get_sample_value("upnext_drifted_features") == 1
    assert registry.get_sample_value("upnext_monitor_looked_at_seconds") == 172_800
    exporter.show(QUIET)
    assert registry.get_sample_value("upnext_alarm", ALARM) is None
    assert registry.get_sample_value("upnext_drift_cells", {"role": "outcome"}) == 0


def test_a_file_that_cannot_be_read_changes_nothing(registry, tmp_path):
    path = tmp_path / REPORT
    path.write_text(json.dumps(LOUD))
    exporter = Exporter(registry, path)
    exporter.refresh()
    path.write_text("{")
    exporter.refresh()
    path.write_text("{}")
    exporter.refresh()
    path.unlink()
    exporter.refresh()
    assert registry.get_sample_value("upnext_alarm", ALARM) == 1


def test_a_service_that_shows_drift_imports_no_statistics():
    code = "import sys, monitoring.exporter; print([name for name in sys.modules if name.startswith(('scipy', 'polars'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
