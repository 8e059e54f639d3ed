import polars as pl
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from monitoring import watch
from monitoring.exporter import Exporter
from tests.monitoring.made import DAYS, FIRST, rows, since, tallied

END = FIRST + 24 * DAYS


def test_gauges_follow_the_latest_look():
    look = watch.look(tallied(rows().with_columns(since(END - 12, watch_s=pl.lit(None, dtype=pl.Float64)))), END)
    registry = CollectorRegistry()
    exporter = Exporter(registry)
    exporter.show(look)
    text = generate_latest(registry).decode()
    assert 'upnext_alarm{cause="null_feature",severity="moderate"} 1.0' in text
    assert registry.get_sample_value("upnext_signal_value", {"signal": "watch_missing"}) == pytest.approx(0.5, abs=0.1)
    exporter.show(watch.look(tallied(rows()), END))
    assert registry.get_sample_value("upnext_alarm", {"cause": "null_feature", "severity": "moderate"}) == 0.0
    assert registry.get_sample_value("upnext_drift_cells", {"role": "missing"}) == 0.0
