"""What is written for Prometheus, Grafana and Kubernetes speaks of things that this service has."""

import json
import re
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest
import yaml

from app import fakes
from app.main import create_app
from core.clock import ManualClock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus-rules.yaml").read_text())["groups"][0]["rules"]
PANELS = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [target["expr"] for panel in PANELS for target in panel["targets"]]


@pytest.fixture(scope="module")
def client():
    with TestClient(create_app(fakes.services(ManualClock(1_780_000_000_000)))) as client:
        yield client


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_series_and_label_exists(client, expression):
    known = set(re.findall(r"^# TYPE (\w+)", client.get("/metrics").text, re.M))
    wanted = {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"upnext_\w+", expression)}
    assert wanted
    assert wanted <= known
    source = "".join((DEPLOY.parent / name).read_text() for name in ("app/telemetry.py", "monitoring/exporter.py"))
    declared = {label for labels in re.findall(r'\[("\w+"(?:, "\w+")*)\]', source) for label in re.findall(r"\w+", labels)}
    by = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")}
    matched = {label for labels in re.findall(r"{([^}]*)}", expression) for label in re.findall(r"(\w+)[!=]", labels)}
    assert (by | matched) - {"le"} <= declared


needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian package prometheus) is not on the path"
)


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_prometheus_takes_the_rules_and_the_dashboard_asks_in_its_language(tmp_path):
    assert f"{len(RULES)} rules found" in promtool("check", "rules", DEPLOY / "prometheus-rules.yaml")
    for name, there in (("prometheus.yaml", "prometheus.yaml"), ("prometheus-rules.yaml", "rules.yaml")):
        shutil.copy(DEPLOY / name, tmp_path / there)
    promtool("check", "config", tmp_path / "prometheus.yaml")
    asked = [target["expr"].replace("$__rate_interval", "1m") for panel in PANELS for target in panel["targets"]]
    rules = [{"record": f"panel_{n}", "expr": expr} for n, expr in enumerate(asked)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "panels.yaml")


REQUESTS = 'upnext_request_seconds_count{{route="/recommend",status="{}"}}'
BUCKET = 'upnext_request_seconds_bucket{{route="/recommend",status="200",le="{}"}}'
STAGE = 'upnext_stage_seconds_bucket{{stage="ranker",le="{}"}}'
QUIET = {
    BUCKET.format("0.1"): "0+60x90", BUCKET.format("1.0"): "0+60x90", BUCKET.format("+Inf"): "0+60x90",
    REQUESTS.format(200): "0+60x90",
    STAGE.format("0.002"): "0+60x90", STAGE.format("0.005"): "0+60x90", STAGE.format("+Inf"): "0+60x90",
    'upnext_stage_budget_seconds{stage="ranker"}': "0.0035x90",
    'upnext_degraded_total{surface="home"}': "0+1x90", 'upnext_breaker_open{dependency="store"}': "0x90",
    'upnext_refused_total{reason="busy"}': "0+1x90", "upnext_impressions_dropped": "3x90",
    'upnext_events_accepted_total{kind="click"}': "0+6x90", 'upnext_feature_age_seconds{group="stream"}': "2x90",
    'upnext_feature_budget_seconds{group="stream"}': "10x90", "upnext_drifted_features": "0x90",
    "upnext_monitor_looked_at_seconds": "0+60x90",
}  # fmt: skip
LOUD = {
    "PagesAreSlow": ({BUCKET.format("0.1"): "0x90"}, {}),
    "StageIsOverBudget": ({STAGE.format("0.002"): "0x90"}, {"stage": "ranker"}),
    "PagesFail": ({REQUESTS.format(500): "0+6x90"}, {}),
    "PagesAreDegraded": ({'upnext_degraded_total{surface="home"}': "0+6x90"}, {}),
    "PartIsDown": ({'upnext_breaker_open{dependency="store"}': "1x90"}, {"dependency": "store"}),
    "RequestsAreRefused": ({'upnext_refused_total{reason="busy"}': "0+90x90"}, {"reason": "busy"}),
    "ImpressionsAreLost": ({"upnext_impressions_dropped": "3+1x90"}, {}),
    "NoEventsArrive": ({'upnext_events_accepted_total{kind="click"}': "6x90"}, {}),
    "FeaturesAreLate": ({'upnext_feature_age_seconds{group="stream"}': "NaN " * 91}, {"group": "stream"}),
    "TheMonitorRaisedAnAlarm": ({'upnext_alarm{severity="severe",cause="bad_release"}': "1x90"}, {"cause": "bad_release"}),
    "FeaturesDrifted": ({"upnext_drifted_features": "2x90"}, {}),
    "NobodyLooks": ({"upnext_monitor_looked_at_seconds": "1x3000"}, {}),
}


def told(rule, labels):
    """What Prometheus says of a rule that fires; `severity` of the series stands in texts, that of the rule in labels."""
    values = {"severity": "severe"} | labels
    said = {
        name: re.sub(r"{{ \$labels\.(\w+) }}", lambda found: values[found[1]], text)
        for name, text in rule["annotations"].items()
    }
    return {"exp_labels": labels | rule["labels"], "exp_annotations": said}


@needs_promtool
def test_every_alert_is_raised_by_its_cause_and_by_nothing_else(tmp_path):
    assert [*LOUD] == [rule["alert"] for rule in RULES]
    tests = []
    for name, (changed, labels) in {"nothing": ({}, {}), **LOUD}.items():
        at, there = ("50h", changed) if name == "NobodyLooks" else ("70m", QUIET | changed)
        series = [{"series": each, "values": values} for each, values in there.items()]
        expected = {r["alert"]: [told(r, labels)] if r["alert"] == name else [] for r in RULES}
        cases = [{"eval_time": at, "alertname": each, "exp_alerts": alerts} for each, alerts in expected.items()]
        tests.append({"interval": "1m", "input_series": series, "alert_rule_test": cases, "name": name})
    shutil.copy(DEPLOY / "prometheus-rules.yaml", tmp_path)
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["prometheus-rules.yaml"], "tests": tests}))
    promtool("test", "rules", tmp_path / "tests.yaml")


def test_every_alert_says_what_to_do():
    assert all(rule["annotations"]["action"] and rule["labels"]["severity"] for rule in RULES)


def test_probes_ask_routes_that_answer(client):
    (deployment, *_) = yaml.safe_load_all((DEPLOY / "kubernetes" / "service.yaml").read_text())
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert client.get(container[probe]["httpGet"]["path"]).status_code == 200


def test_everything_in_the_folder_can_be_read():
    for path in DEPLOY.rglob("*.yaml"):
        assert all(isinstance(document, dict) for document in yaml.safe_load_all(path.read_text())), path
