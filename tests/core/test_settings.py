import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import settings

NAMES = ("UPNEXT_VAR", "REDIS_URL", "UPNEXT_ADMIN_TOKEN", "UPNEXT_DATA", "UPNEXT_LOG_URL")


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    found = settings.load()
    assert (found.var_dir, found.redis_url, found.admin_token, found.data_dir) == (Path("var"), None, None, None)
    assert found.log_url is None


def test_values_and_empty_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(NAMES, ("/v", "redis://r", "", "/d", "redis://l"), strict=True):
        monkeypatch.setenv(name, value)
    found = settings.load()
    assert (found.var_dir, found.redis_url, found.admin_token, found.data_dir) == (Path("/v"), "redis://r", None, Path("/d"))
    assert found.log_url == "redis://l"


def test_the_service_keeps_numpy_on_one_thread() -> None:
    """In a process of its own: the number of threads is fixed when numpy is imported."""
    program = (
        "from core import settings; settings.one_thread_per_library()\n"
        "import numpy, threadpoolctl\n"
        "print([pool['num_threads'] for pool in threadpoolctl.threadpool_info()])"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[1]"
