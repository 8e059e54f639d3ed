"""The tiny release behind the real app: real store server, real event log, real clock."""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from app import live
from app.main import create_app, open_services
from app.services import Services
from core.settings import Settings
from features.cluster_store import open_store
from pipelines import spaces
from pipelines.spaces import Space

with warnings.catch_warnings():
    # Starlette prefers httpx2; httpx is what the rest of the tests use.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


@contextmanager
def services_of(space: Space) -> Iterator[Services]:
    """What `upnext serve` builds."""
    settings = Settings(var_dir=space.path.parent, redis_url=None, admin_token=None, data_dir=None)
    with open_services(settings, releases=space.releases, events=space.events) as services:
        yield services


@contextmanager
def opened(space: Space) -> Iterator[tuple[TestClient, Services]]:
    """What `upnext serve` runs, without the socket."""
    with services_of(space) as services, TestClient(create_app(services)) as client:
        yield client, services


@pytest.fixture
def patient_store(monkeypatch):
    """Time enough for the store of a busy machine."""
    monkeypatch.setattr(live, "open_store", partial(open_store, timeout_s=5.0))


@pytest.fixture
def open_site(patient_store):
    """`opened`, for tests that open the same space more than once."""
    return opened


@pytest.fixture
def own_var(trained, tmp_path) -> Path:
    """A copy of the trained `var/` that a test may change."""
    shutil.copytree(trained[0], tmp_path / "var")
    return tmp_path / "var"


@pytest.fixture
def own_space(own_var) -> Space:
    """The trained space in it."""
    return spaces.current(own_var)
