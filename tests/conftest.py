"""Shared fixtures: one tiny trained release for every test that needs the whole system."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A tiny world, trained and published once per worker: (var_dir, RunResult)."""
    from pipelines import presets
    from pipelines.progress import Stages
    from pipelines.run import run

    var_dir = tmp_path_factory.mktemp("var")
    return var_dir, run("world", None, None, presets.tiny(), var_dir, Stages())


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real logs, or a skip that says how to get one."""
    for path in (os.environ.get("UPNEXT_DATA"), Path(__file__).parent.parent / ".." / "shared" / "data"):
        if path and Path(path).is_dir():
            return Path(path)
    pytest.skip("no real logs here: set UPNEXT_DATA to a folder with ml-100k/ in it")
