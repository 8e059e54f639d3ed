"""Every target in `docs/chapter.md` exists: files, tests, commands with their options, headings, routes."""

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
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("|") and not re.match(r"\|(---|\s*topic)", line)]
CODE, LINK = re.compile(r"`([^`]+)`"), re.compile(r"\]\(([^)]+)\)")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_target_exists(row):
    targets = [*CODE.findall(row), *LINK.findall(row)]
    assert targets, "a row names at least one thing that can be looked at"
    missing = [target for target in targets if not _exists(target)]
    assert not missing


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
