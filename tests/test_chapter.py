"""The subject is on the map, and every target of the map exists: files, tests, commands with options, headings, routes."""

import ast
import re
import warnings
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import typer

from app import fakes
from app.main import create_app
from cli.main import app as commands
from core.clock import ManualClock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "chapter.md"
NOUNS = """
lifecycle, problem framing, click probability, constraint, business metric, baseline, two stages, latency,
explicit labels, implicit labels,
dwell time, skips, purchases, programmatic, snorkel, active learning, data validation, schema violations, distribution shift,
volume anomalies, great expectations, tfx, data versioning, dvc, feature store, offline features, online features, redis,
dynamodb, spark, warehouse, training–serving skew, freshness, counting features, embedding features, cross features,
temporal features, aggregations, data parallelism, model parallelism, mixed precision, scaling laws, experiment tracking,
hyperparameter, git commit, hardware, grid, random, bayesian, asha, airflow, kubeflow, metaflow, kubernetes, aws,
held-out, slice,
backtesting, a/b test, control, treatment, statistical significance, sample size, duration, guardrail, page load, retention,
shadow deployment, interleaving, batch inference, real-time inference, model registry, mlflow, weights & biases, sagemaker,
training date, memory usage, staging, production, archived, rollback, schedule, idempotence, retries, back-off, artefacts,
prometheus, grafana, alert, data drift, kolmogorov–smirnov, psi, centroid distance, mmd, concept drift, click-through rate,
conversion, satisfaction, degradation, upstream, mild, moderate, severe, root cause, positive feedback loop,
negative feedback loop, fraud, exploration, epsilon-greedy, thompson sampling, counterfactual logging, holdout, delayed labels,
embedding table, cpu memory, shard, hash embeddings, collisions, blue-green, staleness, cold start, default embedding,
non-personalised, demographic parity, equal opportunity, calibration, gender, ethnicity, age band, limitations, failure modes,
review, hiring, lending, criminal justice, healthcare
"""
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("|") and not re.match(r"\|(---|\s*topic)", line)]
CODE, LINK = re.compile(r"`([^`]+)`"), re.compile(r"\]\(([^)]+)\)")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_target_exists(row):
    targets = [*CODE.findall(row), *LINK.findall(row)]
    assert targets, "a row names at least one thing that can be looked at"
    missing = [target for target in targets if not _exists(target)]
    assert not missing


def test_every_noun_of_the_subject_is_on_the_map():
    page = PAGE.read_text().lower()
    assert [noun.strip() for noun in NOUNS.split(",") if noun.strip() not in page] == []


def test_what_does_not_exist_is_noticed():
    gone = (
        "core/nothing.py", "tests/core/test_rng.py::test_nothing", "upnext lab nothing", "upnext tune --nothing", "/nothing",
        "changing.md#nothing", "nothing.md", "no target at all",
    )  # fmt: skip
    assert not [target for target in gone if _exists(target)]


def test_what_is_missing_says_why():
    for row in ROWS:
        assert "not here" not in row or re.search(r"not here: \w+ \w+", row), row


def _exists(target: str) -> bool:
    if target.startswith("upnext "):
        return _command(target.split()[1:])
    if target.startswith("/"):
        return _site().get(target).status_code != HTTPStatus.NOT_FOUND
    path, _, inside = target.partition("::" if "::" in target else "#")
    file = ROOT / path if (ROOT / path).is_file() else PAGE.parent / path
    if not file.is_file():
        return False
    return not inside or inside in (_functions(file) if "::" in target else _headings(file))


@cache
def _functions(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


@cache
def _headings(file: Path) -> set[str]:
    """As GitHub names them."""
    titles = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@cache
def _site() -> TestClient:
    return TestClient(create_app(fakes.services(ManualClock(1_780_000_000_000))))


def _command(words: list[str]) -> bool:
    """Whether the words are a command, and options that it has."""
    found: Any = typer.main.get_command(commands)
    for word in words:
        inner = getattr(found, "commands", {})
        if word.startswith("-"):
            if word not in {name for parameter in found.params for name in parameter.opts}:
                return False
        elif word in inner:
            found = inner[word]
        else:
            return False
    return True
