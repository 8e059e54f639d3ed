import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from core import rng
from core.clock import ManualClock
from pipelines.watching.alerts import Alerts, post


def alerts(path, **more):
    return Alerts(path, ManualClock(5), rng.stream(1, "webhook"), sleep=lambda s: None, **more)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_failure_is_written_down(tmp_path):
    alerts(tmp_path / "failures.jsonl").tell("it broke", None)
    assert lines(tmp_path / "failures.jsonl") == [{"at": 5, "text": "it broke", "webhook": None}]


def test_a_webhook_that_comes_back_is_told(tmp_path):
    got = []

    def flaky(url, body):
        got.append((url, body["text"]))
        if len(got) < 3:
            raise ConnectionRefusedError("not yet")

    alerts(tmp_path / "failures.jsonl", post=flaky).tell("it broke", "http://there")
    assert got == [("http://there", "it broke")] * 3
    assert lines(tmp_path / "failures.jsonl")[0]["webhook"] == "delivered"


def test_a_webhook_that_is_gone_is_noted_and_nothing_more(tmp_path):
    def gone(url, body):
        raise TimeoutError("no answer")

    alerts(tmp_path / "failures.jsonl", post=gone).tell("it broke", "http://there")
    alerts(tmp_path / "failures.jsonl").tell("it broke", "no address")
    first, second = lines(tmp_path / "failures.jsonl")
    assert first["webhook"] == "not delivered: no answer"
    assert second["webhook"].startswith("not delivered")


def test_post_sends_json():
    received = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        post(f"http://127.0.0.1:{server.server_port}/hook", {"text": "it broke"})
        answering.join()
    assert received == [{"text": "it broke"}]
