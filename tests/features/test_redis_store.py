import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import redis

from core.errors import BadInput, StoreUnavailable
from core.settings import Settings
from features import redis_server
from features.breaker import Breaker
from features.definitions import default_definitions
from features.redis_store import RedisStore
from features.states import of_events
from features.tiles import EventArrays
from tests.features import logs

SETTINGS = Settings(Path("var"), None, None, None)


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def test_the_server_ends_with_the_block():
    with redis_server.running(SETTINGS) as url:
        with redis.Redis.from_url(url) as client:
            assert client.ping()
        path = Path(url.removeprefix("unix://"))
        assert path.is_socket()
    assert not path.parent.exists()


def test_folders_of_killed_processes_are_removed(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    stale, mine, other = (tmp_path / f"upnext-{owner}-x" for owner in (ended.pid, os.getpid(), "demo"))
    for folder in (stale, mine, other):
        folder.mkdir()
    with redis_server.running(SETTINGS):
        assert [folder.exists() for folder in (stale, mine, other)] == [False, True, True]


def test_one_namespace_is_cleared_and_others_stay():
    with redis_server.running(SETTINGS) as url:
        old, new = (RedisStore(url, namespace, timeout_s=5.0) for namespace in ("old", "new"))
        log = logs.random_log(1, 200)
        fresh = of_events(EventArrays.of(log, logs.catalogue()), default_definitions(), logs.START_AT)
        for store in (old, new):
            store.load(fresh)
        old.clear()
        assert (old.size(), new.size()) == (0, len(fresh))


def test_an_existing_server_is_used():
    with redis_server.running(Settings(Path("var"), "redis://elsewhere:1/0", None, None)) as url:
        assert url == "redis://elsewhere:1/0"


def test_only_the_main_thread_may_start_one():
    caught = []

    def start():
        try:
            with redis_server.running(SETTINGS):
                pass
        except BadInput as error:
            caught.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in caught[0]


def test_a_server_that_does_not_start_says_why(monkeypatch):
    monkeypatch.setattr(redis_server, "find_binary", lambda: "/bin/false")
    with pytest.raises(StoreUnavailable, match="did not start"), redis_server.running(SETTINGS):
        pass


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is Linux")
def test_the_server_dies_with_its_killed_parent():
    program = (
        "import time, pathlib\n"
        "from core.settings import Settings\n"
        "from features.redis_server import running\n"
        "with running(Settings(pathlib.Path('var'), None, None, None)) as url:\n"
        "    print(url, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as parent:
        path = Path(parent.stdout.readline().strip().removeprefix("unix://"))
        with redis.Redis(unix_socket_path=str(path)) as client:
            server = client.info("server")["process_id"]
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not path.exists())
    wait_until(lambda: not _is_running(server))
    shutil.rmtree(path.parent)


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process_id}/stat").read_text().split(")")[-1].split()[0]


def test_breaker_opens_when_the_server_is_gone_and_recovers():
    now = [0.0]
    with redis_server.running(SETTINGS) as url, redis.Redis.from_url(url) as admin:
        store = RedisStore(url, "gone", timeout_s=5.0, breaker=Breaker(failures=2, pause_s=10.0, monotonic=lambda: now[0]))
        assert len(store.read([1])) == 1
        path = Path(url.removeprefix("unix://"))
        admin.client_kill_filter(_type="normal", skipme=True)
        hidden = path.rename(path.with_suffix(".hidden"))
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="did not answer"):
                store.read([1])
        assert store.breaker.is_open
        hidden.rename(path)
        with pytest.raises(StoreUnavailable, match="waiting"):
            store.read([1])
        now[0] = 11.0
        assert len(store.read([1])) == 1
        assert not store.breaker.is_open
        store.close()


def test_a_slow_server_is_given_up_on():
    with redis_server.running(SETTINGS) as url, redis.Redis.from_url(url) as admin:
        store = RedisStore(url, "slow", timeout_s=0.02)
        admin.client_pause(500)
        with pytest.raises(StoreUnavailable):
            store.read([1])
        admin.client_unpause()
        store.close()


def test_every_key_expires():
    catalogue, definitions = logs.catalogue(), default_definitions()
    arrays = EventArrays.of(logs.random_log(5, 500), catalogue)
    with redis_server.running(SETTINGS) as url, redis.Redis.from_url(url) as admin:
        store = RedisStore(url, "ttl", ttl_s=1_000)
        store.apply(of_events(arrays, definitions, int(arrays.received_at.max())))
        applied = {key: admin.ttl(key) for key in admin.scan_iter()}
        admin.flushall()
        store.load(of_events(arrays, definitions, int(arrays.received_at.max())))
        loaded = {key: admin.ttl(key) for key in admin.scan_iter()}
        assert set(applied) == set(loaded)
        assert len(applied) == 3 * len(logs.VIEWER_IDS)
        assert all(0 < ttl <= 1_000 for ttl in [*applied.values(), *loaded.values()])
        store.close()


def test_counters_do_not_pile_up():
    """However long a viewer is active, only tiles inside some window are kept."""
    catalogue, definitions = logs.catalogue(), default_definitions()
    most = sum(spec.tiles for spec in definitions.viewer_sums)
    arrays = EventArrays.of(logs.random_log(6, 3_000), catalogue)
    with redis_server.running(SETTINGS) as url:
        store = RedisStore(url, "pile")
        for block in np.array_split(np.arange(len(arrays)), 30):
            batch = arrays.take(block)
            store.apply(of_events(batch, definitions, int(batch.received_at.max())))
        sizes = [len(state.counts) for state in store.read(logs.VIEWER_IDS.tolist())]
        assert 0 < max(sizes) <= most
        store.close()


def test_breaker_lets_one_trial_through():
    now = [0.0]
    breaker = Breaker(failures=1, pause_s=5.0, monotonic=lambda: now[0])
    with pytest.raises(StoreUnavailable, match="first"), breaker.guard():
        raise StoreUnavailable("first")
    now[0] = 6.0
    with breaker.guard(), pytest.raises(StoreUnavailable, match="waiting"), breaker.guard():
        pass
    assert not breaker.is_open
