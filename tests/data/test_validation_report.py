import re
from dataclasses import replace

import pytest

from core.errors import BadInput
from data.expectations import Outcome
from data.validation_report import Finding, ValidationReport

VOLUME = Outcome("volume", "click events on 2026-02-02", 500_000, 1_000_000, 8e5, 1.2e6, "fail", 500_000)
SHIFT = Outcome("shift", "seconds <of> a watch", 0.02, 0.0, 0.0, 0.1, "ok", 900)


def report(*outcomes, findings=()):
    return ValidationReport.of("log", {"events": 10}, list(findings), outcomes)


def test_unmet_expectations_are_findings_and_failures_come_first():
    warning = Finding("warn", "events", "something", 3)
    found = report(VOLUME, SHIFT, findings=[warning])
    assert [finding.severity for finding in found.findings] == ["fail", "warn"]
    assert found.summary() == "1 failures, 1 warnings; 2 expectations compared"
    assert "click events on 2026-02-02: 500,000, usually 1,000,000" in found.to_text()
    with pytest.raises(BadInput, match="500,000, usually 1,000,000"):
        found.require()
    assert not found.to_json()["ok"]
    assert len(found.to_json()["outcomes"]) == 2


def test_the_page_says_everything_and_fetches_nothing(tmp_path):
    path = tmp_path / "deep" / "report.html"
    report(VOLUME, SHIFT, replace(SHIFT, group="empty", observed=0.25, what="b")).write_html(path)
    page = path.read_text()
    for text in ("click events on 2026-02-02", "seconds &lt;of&gt; a watch", "PSI 0.020", "25.0% are empty", 'class="fail"'):
        assert text in page
    assert re.findall(r"https?://|<script|<link|@import", page) == []
    assert page.count("<svg") == 3


def test_bars_stay_in_their_frame(tmp_path):
    outcomes = [
        replace(VOLUME, observed=o, low=lo, high=hi, expected=e)
        for o, lo, hi, e in [(0, 0, 0, 0), (9e9, 1, 2, 1.5), (-1, -2, 0, -1)]
    ]
    report(*outcomes).write_html(tmp_path / "r.html")
    places = [float(x) for x in re.findall(r'<rect x="([^"]+)"', (tmp_path / "r.html").read_text())]
    assert len(places) == 9
    assert all(0 <= x <= 100 for x in places)
