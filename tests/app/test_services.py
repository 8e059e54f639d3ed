"""Names of requests and events."""

import time
import uuid

import pytest

from app import services


def test_names_are_uuids_of_version_7_and_never_the_same() -> None:
    made = [services.new_id() for _ in range(1_000)]
    assert len(set(made)) == len(made)
    assert {(uuid.UUID(name).version, uuid.UUID(name).variant) for name in made} == {(7, uuid.RFC_4122)}
    assert all(name == uuid.UUID(name).hex for name in made)


def test_names_sort_by_the_millisecond_they_were_made_in(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for milliseconds in (0, 1, 255, 256, 1_800_000_000_000, (1 << 48) - 1):
        monkeypatch.setattr(time, "time_ns", lambda now=milliseconds: now * 1_000_000)
        made.append(services.new_id())
    assert made == sorted(made)
