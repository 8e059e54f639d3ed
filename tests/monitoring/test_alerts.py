import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import polars as pl
import pytest

from core.clock import HOUR_MS
from core.errors import BadInput
from data.labels import definitions as labels
from monitoring import watch
from monitoring.alerts import Alert, FileSink, LogSink, WebhookSink, send
from tests.monitoring.made import DAYS, FIRST, rows, since, tallied

END = FIRST + 24 * DAYS


@pytest.fixture(scope="module")
def look() -> watch.Look:
    return watch.look(tallied(rows().with_columns(since(END - 12, watch_s=pl.lit(None, dtype=pl.Float64)))), END)


@pytest.fixture(scope="module")
def alert(look) -> Alert:
    assert look.diagnosis is not None
    return Alert.of(look, look.diagnosis)


def test_an_alarm_says_it_all_in_one_line(alert):
    assert alert.headline.startswith("moderate: null_feature at ingest since 2026-01-24 12:00")
    assert alert.headline.endswith("→ report")
    assert alert.since_at == pytest.approx((END - 12) * HOUR_MS, abs=HOUR_MS)
    assert alert.evidence[0]["signal"] == "watch_missing"


def test_a_file_gets_one_line_each(alert, tmp_path):
    path = tmp_path / "deep" / "alerts.jsonl"
    assert send(alert, [FileSink(path), FileSink(path)]) == []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["cause"] for line in lines] == ["null_feature"] * 2
    assert labels.WATCH_S in lines[0]["text"]


def test_a_webhook_gets_json_and_a_dead_one_stops_nobody(alert, tmp_path, caplog):
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert send(alert, [WebhookSink(url)]) == []
        thread.join()
    assert got[0]["severity"] == "moderate"
    with caplog.at_level(logging.WARNING):
        failed = send(alert, [WebhookSink(url, timeout_s=0.5), LogSink(), FileSink(tmp_path / "a")])
    assert len(failed) == 1
    assert alert.headline in caplog.text
    assert (tmp_path / "a").is_file()


def test_only_web_addresses():
    with pytest.raises(BadInput, match="http"):
        WebhookSink("file:///etc/passwd")
