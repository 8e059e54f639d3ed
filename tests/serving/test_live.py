import numpy as np
import pytest

from core import columns as c
from core import events as ev
from core.clock import HOUR_MS
from core.errors import ReleaseRefused, StoreUnavailable
from core.event_log import SqliteEventLog
from core.policy import Request
from features.memory_store import MemoryStore
from serving import fakes, trace
from serving.config import ExplorationConfig, ServingConfig
from serving.live import go_live
from serving.releases import open_files

GREEDY = ServingConfig(exploration=ExplorationConfig(epsilon=0.0))


def click(viewer_id, video_id, at, n=0):
    return ev.Click(
        event_id=f"k{viewer_id}-{video_id}-{n}", event_at=at, received_at=at, viewer_id=viewer_id, video_id=video_id
    )


def home(viewer_id, at=fakes.NOW + HOUR_MS, k=10):
    return [Request(f"r{viewer_id}-{at}", viewer_id, at, k=k)]


@pytest.fixture
def live(release_files):
    return go_live(open_files(release_files[0]), MemoryStore(), config=GREEDY)


def test_real_parts_give_a_page_without_reasons(live):
    slate = live.recommender.recommend(home(1), explain=True)[0]
    assert slate.degraded == ()
    assert len(slate.video_ids) == 10
    assert {"affinity", "relevance", "utility"} <= set(slate.scores)
    assert set(slate.explanation["slots"][0]["features"]) == {*live.loaded.schema.video_dense, *live.loaded.schema.cross_dense}


def test_what_a_viewer_has_seen_in_the_training_log_is_not_shown_again(live, clicks):
    seen = clicks.events.filter(viewer_id=3)[c.VIDEO_ID].to_list()
    assert seen
    assert not set(live.recommender.recommend(home(3, k=60))[0].video_ids.tolist()) & set(seen)


def test_a_click_in_the_log_changes_the_next_page_once_consumed(live, tmp_path):
    log = SqliteEventLog(tmp_path / "events.sqlite")
    consumer = live.consumer(log)
    consumer.start()
    try:
        before = live.recommender.recommend(home(555))[0]
        assert before.degraded == (trace.UNKNOWN_VIEWER,)
        target = int(before.video_ids[0])
        log.append(ev.to_table([click(555, target, fakes.NOW)]))
        assert consumer.catch_up(5.0)
        after = live.recommender.recommend(home(555))[0]
    finally:
        consumer.close()
    assert target not in after.video_ids
    assert after.degraded == ()
    assert not np.allclose(before.scores["affinity"][1:3], after.scores["affinity"][:2])


def test_a_restart_replays_to_the_same_pages(release_files, tmp_path):
    log = SqliteEventLog(tmp_path / "events.sqlite")
    random = np.random.default_rng(5)
    shown = [click(int(random.integers(1, 25)), int(random.integers(1, 61)), fakes.NOW + n * 1000, n) for n in range(100)]
    dismissed = ev.Dismiss(event_id="d", event_at=fakes.NOW, received_at=fakes.NOW, viewer_id=4, video_id=9)
    pages = []
    for batches in (1, 7):
        live = go_live(open_files(release_files[0]), MemoryStore(), config=GREEDY)
        consumer = live.consumer(log)
        for part in np.array_split(np.arange(100), batches) if batches > 1 else []:
            log.append(ev.to_table([shown[i] for i in part]))
            consumer.replay()
        if batches == 1:
            log.append(ev.to_table([*shown[:50], dismissed]))
            log.append(ev.to_table(shown[50:]))
            consumer.replay()
        else:
            consumer.replay()
        pages.append([live.recommender.recommend(home(viewer))[0] for viewer in range(1, 25)])
    for once, again in zip(*pages, strict=True):
        assert np.array_equal(once.video_ids, again.video_ids)
        assert once.feature_hash == again.feature_hash


def test_a_removal_takes_effect_for_everybody(live):
    first = int(live.recommender.recommend(home(1))[0].video_ids[0])
    live.apply(ev.to_table([ev.Remove(event_id="x", event_at=1, received_at=1, viewer_id=0, video_id=first)]))
    for viewer in (1, 2, 999):
        assert first not in live.recommender.recommend(home(viewer, k=60))[0].video_ids


def test_a_store_that_cannot_be_filled_is_said_at_once(release_files):
    with pytest.raises(StoreUnavailable):
        go_live(open_files(release_files[0]), fakes.Broken())


def test_a_part_that_does_not_work_is_found_before_going_live(release_files):
    from dataclasses import replace

    loaded = open_files(release_files[0])
    with pytest.raises(ReleaseRefused, match="ranker is unavailable"):
        go_live(replace(loaded, scorer=fakes.Broken(RuntimeError("onnx"))), MemoryStore())


def test_a_store_that_misses_its_deadline_once_does_not_stop_a_release(release_files):
    class Late(MemoryStore):
        missed = False

        def read(self, viewer_ids):
            if not self.missed:
                self.missed = True
                raise StoreUnavailable("no answer in 5 ms")
            return super().read(viewer_ids)

    go_live(open_files(release_files[0]), Late())
