"""The app over an invented site, and its parts."""

import warnings
from dataclasses import replace

import pytest

from app import fakes
from app.main import create_app
from app.services import Services
from core.clock import ManualClock

with warnings.catch_warnings():
    # Starlette prefers httpx2; httpx is what the rest of the tests use.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

NOW = 1_780_000_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def site(clock) -> Services:
    return fakes.services(clock, admin_token="open sesame")


@pytest.fixture
def client(site):
    with TestClient(create_app(site), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def reader():
    """One client for all tests that only ask."""
    with TestClient(create_app(fakes.services(ManualClock(NOW)))) as client:
        yield client


@pytest.fixture
def make_client(site):
    """A client over the site, or over other services, with some of them replaced."""

    def make(services: Services | None = None, **changes) -> TestClient:
        return TestClient(create_app(replace(services or site, **changes)), raise_server_exceptions=False)

    return make
