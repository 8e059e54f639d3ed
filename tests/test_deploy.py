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


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian package prometheus) is not on the path")
def test_prometheus_takes_the_rules():
    done = subprocess.run(["promtool", "check", "rules", DEPLOY / "prometheus-rules.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


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
