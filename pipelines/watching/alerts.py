"""Telling people that something failed: a line in a file, a line in the program's log, and a webhook where one is given.

    POST <webhook>   {"text": …, "at": …}   as JSON, answered within `TIMEOUT_S`

Whatever happens to the webhook is written down and never raised: the work matters more than the news of it.
"""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.clock import Clock
from monitoring import alerts
from pipelines.orchestration.retry import retrying

TIMEOUT_S = 5.0
Post = Callable[[str, dict[str, Any]], None]
_log = logging.getLogger(__name__)


def post(url: str, body: dict[str, Any]) -> None:
    """Send JSON to a webhook. Raises OSError when nobody takes it."""
    alerts.post(url, body, TIMEOUT_S)


@dataclass(frozen=True)
class Alerts:
    """Where failures are told."""

    path: Path
    """A file of JSON lines."""
    clock: Clock
    random: np.random.Generator
    post: Post = post
    sleep: Callable[[float], None] = time.sleep

    def tell(self, text: str, webhook: str | None) -> None:
        """Tell everybody."""
        _log.error(text)
        told = {"at": self.clock.now(), "text": text}
        delivered = None if webhook is None else self._send(webhook, told)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(told | {"webhook": delivered}) + "\n")

    def _send(self, webhook: str, told: dict[str, Any]) -> str:
        try:
            retrying(self.random, tries=3, sleep=self.sleep)(self.post)(webhook, told)
        except (OSError, ValueError) as error:  # ValueError: no URL at all
            _log.warning("the webhook was not told: %s", error)
            return f"not delivered: {error}"
        return "delivered"
