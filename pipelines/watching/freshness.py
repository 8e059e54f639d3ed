"""The age of features (`features.freshness`) as a running service tells it over HTTP, and the alarm that follows."""

import json
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.clock import SECOND_MS
from core.errors import BadInput
from monitoring.alerts import Alert
from monitoring.severity import Action, Severity

_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Ages:
    """What the service said."""

    at: int
    """Instant, in the time of its log."""
    groups: Sequence[dict[str, Any]]
    """See `features.freshness.Age`."""

    @property
    def alert(self) -> Alert | None:
        """What people are told; None while every group is within its budget."""
        late = [group for group in self.groups if group["late"]]
        if not late:
            return None
        ages = [0 if group["age_s"] is None else round(group["age_s"] * SECOND_MS) for group in late]
        said = (f"{one['group']} is {_age(one['age_s'])} old, {one['budget_s']:,.0f} s are allowed" for one in late)
        return Alert(
            at=self.at, severity=str(Severity.MODERATE), cause="features_late", step="features",
            feature=", ".join(group["group"] for group in late), segment="all", action=str(Action.REPORT),
            since_at=self.at - max(ages), because="; ".join(said), evidence=tuple(late),
        )  # fmt: skip


def ask(url: str) -> Ages:
    """The ages of all groups.

    Raises:
        BadInput: nothing answers there, or something else than this service does.
    """
    address = f"{url.rstrip('/')}/ops/summary"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as response:
            said = json.loads(response.read())
            return Ages(int(said["at"]), said["freshness"])
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{address} does not say how fresh features are ({error}); start `upnext serve`, or name it with --url"
        ) from error


def _age(seconds: float | None) -> str:
    return "nobody knows how" if seconds is None else f"{seconds:,.0f} s"
