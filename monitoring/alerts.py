"""An alarm with its evidence, and where it goes: the log, a file of JSON lines, a webhook.

A sink that fails must not stop the others, nor the action that the alarm asks for: `send` returns what failed and raises
nothing.
"""

import json
import logging
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from core.clock import HOUR_MS, stamp
from core.errors import BadInput
from monitoring.severity import Diagnosis, Severity
from monitoring.watch import Look

_LOGGER = logging.getLogger(__name__)
_SHOWN = 10


@dataclass(frozen=True)
class Alert:
    """What people and programs are told."""

    at: int
    """Instant of the look, milliseconds."""
    severity: str
    cause: str
    step: str
    feature: str
    segment: str
    action: str
    since_at: int
    because: str
    evidence: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    """The surest findings: signal, segment, value, expected, effect, p, q."""

    @staticmethod
    def of(look: Look, diagnosis: Diagnosis) -> "Alert":
        """From a look that found something."""
        fields = diagnosis.to_json()
        since_at = fields.pop("since_hour") * HOUR_MS
        findings = tuple(asdict(finding) for finding in look.evidence.findings[:_SHOWN])
        return Alert(at=look.hour * HOUR_MS, since_at=since_at, evidence=findings, **{k: str(v) for k, v in fields.items()})

    @property
    def headline(self) -> str:
        """One line."""
        where = "" if self.segment == "all" else f" in {self.segment}"
        return (
            f"{self.severity}: {self.cause} at {self.step}{where} since {stamp(self.since_at)}: {self.because} → {self.action}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; `text` is the headline."""
        return {**asdict(self), "text": self.headline}


def post(url: str, body: Mapping[str, Any], timeout_s: float) -> None:
    """Send JSON to a webhook. Raises OSError when nobody takes it."""
    text = json.dumps(body, allow_nan=False).encode()
    request = urllib.request.Request(url, text, {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=timeout_s):
        pass


class Sink(Protocol):
    """Takes alarms somewhere."""

    def send(self, alert: Alert) -> None:
        """May raise OSError."""
        ...


class LogSink:
    """The process's log."""

    def send(self, alert: Alert) -> None:
        """Mild ones as information, others as warnings."""
        _LOGGER.log(logging.INFO if alert.severity == Severity.MILD else logging.WARNING, alert.headline)


class FileSink:
    """A file, one JSON object per line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, alert: Alert) -> None:
        """Append one line."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(alert.to_json(), allow_nan=False) + "\n")


class WebhookSink:
    """An HTTP address that gets the alarm as JSON by POST."""

    def __init__(self, url: str, timeout_s: float = 3.0) -> None:
        """Raises BadInput when `url` is not http or https."""
        if urlsplit(url).scheme not in ("http", "https"):
            raise BadInput(f"a webhook needs an http or https address, got '{url}'")
        self._url, self._timeout_s = url, timeout_s

    def send(self, alert: Alert) -> None:
        """Once, no retry."""
        post(self._url, alert.to_json(), self._timeout_s)


def send(alert: Alert, sinks: Sequence[Sink]) -> list[str]:
    """Give the alarm to every sink; returns what went wrong, in words."""
    failed = []
    for sink in sinks:
        try:
            sink.send(alert)
        except OSError as error:  # urllib's URLError and timeouts among them
            failed.append(f"{type(sink).__name__}: {error}")
            _LOGGER.warning("an alarm could not be sent: %s", failed[-1])
    return failed
