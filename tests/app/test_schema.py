"""What the API says of itself holds for whatever is sent: requests generated from its own description (Schemathesis)."""

import schemathesis
from hypothesis import HealthCheck, settings

from app import fakes
from app.main import create_app
from core.clock import ManualClock

APP = create_app(fakes.services(ManualClock(1_780_000_000_000), admin_token="open sesame"))
schema = schemathesis.openapi.from_asgi("/openapi.json", APP)


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_as_described(case):
    case.call_and_validate()
