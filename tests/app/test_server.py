import socket
import threading

import httpx
import pytest
import uvicorn

from app import fakes
from app.main import create_app
from app.server import Site, configure, run, serve
from core.errors import BadInput
from core.settings import Settings


def test_a_taken_port_is_said_in_plain_words(site):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"cannot listen on 127.0.0.1:{port}"):
            serve(create_app(site), port=port)


def test_other_machines_are_refused_before_anything_is_loaded(tmp_path):
    settings = Settings(tmp_path, None, None, None)
    with pytest.raises(BadInput, match="no admin token"):
        run(settings, Site(tmp_path, tmp_path / "events.db", host="0.0.0.0", port=0))
    assert list(tmp_path.iterdir()) == []


def test_it_serves_and_closes_its_services(site, clock):
    from dataclasses import replace

    life = []
    watched = replace(site, start=lambda: life.append("start"), close=lambda: life.append("close"))
    server = uvicorn.Server(configure(create_app(watched), "127.0.0.1", 0))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        answer = httpx.get(f"http://127.0.0.1:{listener.getsockname()[1]}/recommend", timeout=10)
        server.should_exit = True
        thread.join(10)
    assert answer.status_code == 200
    assert len(answer.json()["videos"]) == 10
    assert "server" not in answer.headers
    assert life == ["start", "close"]
    assert isinstance(watched.event_log, fakes.MemoryLog)
