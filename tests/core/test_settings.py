from pathlib import Path

import pytest

from core import settings

NAMES = ("UPNEXT_VAR", "REDIS_URL", "UPNEXT_ADMIN_TOKEN", "UPNEXT_DATA")


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    found = settings.load()
    assert (found.var_dir, found.redis_url, found.admin_token, found.data_dir) == (Path("var"), None, None, None)


def test_values_and_empty_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(NAMES, ("/v", "redis://r", "", "/d"), strict=True):
        monkeypatch.setenv(name, value)
    found = settings.load()
    assert (found.var_dir, found.redis_url, found.admin_token, found.data_dir) == (Path("/v"), "redis://r", None, Path("/d"))
