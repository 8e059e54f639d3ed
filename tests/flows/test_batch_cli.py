"""`upnext batch`, then several workers that show its pages, follow what happens, and leave nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from cli.main import app
from core.process import answers, free_port
from data import tombstones
from pipelines import spaces

TOKEN = {"authorization": "Bearer open sesame"}


@pytest.fixture
def batch(own_var, tmp_path, monkeypatch):
    """What `upnext batch` reported, in `own_var`."""
    monkeypatch.setenv("UPNEXT_VAR", str(own_var))
    monkeypatch.delenv("REDIS_URL", raising=False)
    result = CliRunner().invoke(app, ["batch", "--k", "12", "--json", str(tmp_path / "batch.json")])
    if result.exception is not None:
        raise result.exception
    return json.loads((tmp_path / "batch.json").read_text())


@contextmanager
def serving(*options):
    """The service with two workers: its process, and the base addresses of all and of each."""
    port = next(port for port in iter(free_port, None) if port < 60_000)
    environment = os.environ | {"UPNEXT_ADMIN_TOKEN": "open sesame"}
    command = [sys.executable, "-m", "cli.main", "serve", "--port", str(port), "--workers", "2", *options]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as server:
        urls = [f"http://127.0.0.1:{port + n}" for n in range(3)]
        try:
            assert all(answers(f"{url}/readyz", server) for url in urls)
            yield server, urls
        finally:
            server.terminate()
            server.wait(30)


def children(pid):
    return [int(found) for found in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ended(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def made_ahead(url, viewer):
    """What of a page was made ahead, and its videos."""
    answer = httpx.get(f"{url}/recommend", params={"viewer_id": viewer, "k": 10}, timeout=20)
    assert answer.status_code == 200
    assert not answer.json()["degraded"]
    known = [part for part in ("precomputed", "nearest") if part in answer.headers["server-timing"]]
    return known, [video["video_id"] for video in answer.json()["videos"]]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers end with their parent on Linux only")
def test_pages_ahead_of_time_in_several_workers(batch, own_var):
    assert (batch["pages"], batch["k"]) == (batch["viewers"], 12)
    assert batch["seconds"] * batch["pages_per_s"] == pytest.approx(batch["viewers"], rel=0.01)
    assert batch["limit"] >= batch["ratio"] > 0
    with serving("--hybrid", "--spare-search") as (server, (everybody, first, second)):
        whole = [made_ahead(url, "7") for url in (everybody, first, second)]
        assert whole == [(["precomputed"], whole[0][1])] * 3
        click = {"events": [{"kind": "click", "viewer_id": "7", "video_id": whole[0][1][0]}]}
        assert httpx.post(f"{first}/events?wait=true", json=click, timeout=20).json()["applied"]
        ahead, page = made_ahead(first, "7")
        assert ahead == ["nearest"]
        assert whole[0][1][0] not in page
        until(lambda: made_ahead(second, "7")[0] == ["nearest"])
        assert made_ahead(second, "8")[0] == ["precomputed"]

        held = httpx.get(f"{second}/viewers/8/data", headers=TOKEN, timeout=20).json()["features"]["ahead"]
        assert [len(kept["video_ids"]) for kept in held.values()] == [12]
        assert httpx.delete(f"{first}/viewers/8", headers=TOKEN, timeout=20).status_code == 200
        assert "ahead" not in httpx.get(f"{second}/viewers/8/data", headers=TOKEN, timeout=20).json()["features"]
        assert [made_ahead(url, "8")[0] for url in (first, second)] == [[], []]
        assert set(tombstones.read(spaces.current(own_var).path).forgotten_at) == {8}

        workers = children(server.pid)
        assert len(workers) == 3  # and the store
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: all(ended(pid) for pid in workers))
