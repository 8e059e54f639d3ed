"""What the API says of itself holds for whatever is sent: requests generated from its own description (Schemathesis)."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi import checks

from app import fakes
from app.main import create_app
from core.clock import ManualClock
from tests.app.conftest import TestClient

TOKEN = "open sesame"


def app():
    return create_app(fakes.services(ManualClock(1_780_000_000_000), admin_token=TOKEN))


SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", app())
TOLERANT = (checks.negative_data_rejection, checks.positive_data_acceptance, checks.allow_header_conformance)
"""Not asked: unknown headers and parameters are ignored on purpose, a broken event in a good batch is named, not refused, and
the router answers a wrong method with the methods of one of a path's routes."""
QUICK = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.fixture(scope="module")
def client():
    with TestClient(app()) as client:  # starts the app once, and ends it after the last test
        yield client


def check(case, client, headers=None, excluded=()):
    """Send one generated request, and compare the answer with the description."""
    kwargs = case.as_transport_kwargs(headers=headers)
    sent = {name: value for name, value in kwargs.items() if name in ("method", "params", "headers", "json")}
    if isinstance(kwargs.get("data"), bytes | str):
        sent["content"] = kwargs["data"]
    case.validate_response(client.request(url=kwargs["url"], **sent), excluded_checks=[*TOLERANT, *excluded])


@SCHEMA.parametrize()
@QUICK
def test_answers_are_as_described(case, client):
    check(case, client)


@SCHEMA.exclude(method="GET").parametrize()
@QUICK
def test_with_the_token_too(case, client):
    check(case, client, {"authorization": f"Bearer {TOKEN}"}, excluded=[checks.ignored_auth])
