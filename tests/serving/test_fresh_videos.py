import threading
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from core import columns as c
from core import events as ev
from core.errors import StoreUnavailable
from core.event_log import SqliteEventLog
from core.policy import Request
from experiments.config import ArmConfig, ExperimentConfig, ExperimentsConfig
from features.memory_store import MemoryStore
from retrieval.encoder import VideoEncoder
from serving import fakes
from serving.config import ExplorationConfig, ServingConfig
from serving.fresh_videos import GrowingRelease, uploaded
from serving.live import go_live
from serving.releases import open_files

GREEDY = ServingConfig(exploration=ExplorationConfig(epsilon=0.0))
AT = fakes.NOW + 1_000
CHESS = {c.TITLE: "Chess for all", c.CHANNEL_ID: 3, c.CATEGORY: "Chess", c.LANGUAGE: "en", c.DURATION_S: 300.0}


def upload(video_id, n=0, **attributes):
    return ev.Upload(
        event_id=f"u{video_id}-{n}", event_at=AT, received_at=AT, viewer_id=3, video_id=video_id, attributes=attributes
    )


def click(viewer_id, video_id):
    return ev.Click(event_id=f"k{viewer_id}-{video_id}", event_at=AT, received_at=AT, viewer_id=viewer_id, video_id=video_id)


def home(viewer_id, k=60):
    return [Request(f"r{viewer_id}", viewer_id, AT + 1_000, k=k)]


@pytest.fixture
def growing(release_files):
    return GrowingRelease(go_live(open_files(release_files[0]), MemoryStore(), config=GREEDY))


def test_an_upload_in_the_log_is_a_candidate_with_every_score_once_consumed(growing, tmp_path):
    log = SqliteEventLog(tmp_path / "events.sqlite")
    consumer = growing.consumer(log)
    consumer.start()
    try:
        assert 7_000 not in growing.recommend(home(1))[0].video_ids
        log.append(ev.to_table([upload(7_000, **CHESS)]))
        assert consumer.catch_up(5.0)
    finally:
        consumer.close()
        log.close()
    slate = growing.recommend(home(1, k=61))[0]
    assert not [reason for reason in slate.degraded if "right now" in reason]
    place = slate.video_ids.tolist().index(7_000)
    assert all(np.isfinite(values[place]) for values in slate.scores.values())
    assert slate.sources[place] == "two_tower"
    loaded = growing.live.loaded
    assert loaded.catalogue.frame[c.TITLE][-1] == "Chess for all"
    assert loaded.search.rows("chess for all", 5)[0] == 60


def test_its_vector_is_what_the_video_tower_says_and_its_neighbour_is_itself(growing):
    growing.apply(ev.to_table([upload(7_000, **CHESS), upload(40_000, **CHESS | {c.CATEGORY: "Music"})]))
    loaded = growing.live.loaded
    new = loaded.catalogue.rows([7_000, 40_000])
    assert new.tolist() == [60, 61]
    tower = VideoEncoder.load(loaded.path)
    said = tower.encode(loaded.catalogue.content[60:], loaded.catalogue.codes[60:], loaded.catalogue.uploaded_at[60:], AT)
    assert np.allclose(loaded.video_VD[60:], said, atol=1e-6)
    scores, rows = loaded.index.search(loaded.video_VD, 62)
    exact = loaded.video_VD @ loaded.video_VD.T
    assert np.allclose(scores, -np.sort(-exact, axis=1), atol=1e-5)
    assert np.allclose(np.take_along_axis(exact, rows, axis=1), scores, atol=1e-5)


def test_rows_so_far_stay_and_new_ones_follow_in_the_order_they_came(growing):
    before = growing.live.loaded.catalogue
    for video_id in (900, 70, 10_000):
        growing.apply(ev.to_table([upload(video_id)]))
    after = growing.live.loaded.catalogue
    assert after.rows(before.video_ids).tolist() == list(range(60))
    assert after.rows([70, 900, 10_000, 71, -1]).tolist() == [61, 60, 62, -1, -1]
    assert len(after) == len(after.frame) == len(growing.live.loaded.index) == 63


def test_old_videos_keep_their_scores(growing):
    before = growing.recommend(home(1))[0]
    growing.apply(ev.to_table([upload(7_000, **CHESS)]))
    after = growing.recommend(home(1))[0]
    old = after.video_ids != 7_000
    kept = dict(zip(before.video_ids, before.scores["affinity"], strict=True))
    same = [kept[v] for v in after.video_ids[old] if v in kept]
    mine = [s for v, s in zip(after.video_ids[old], after.scores["affinity"][old], strict=True) if v in kept]
    assert len(same) >= 40
    assert np.allclose(same, mine, atol=1e-6)


def test_events_on_a_new_video_count_even_in_the_batch_that_brings_it(growing):
    growing.apply(ev.to_table([upload(7_000, **CHESS), click(1, 7_000), click(2, 7_000)]))
    growing.apply(ev.to_table([upload(7_001, **CHESS), click(3, 7_000)]))
    loaded = growing.live.loaded
    assert (loaded.video_state.counts[:, 60] == 3).any()
    assert 7_000 not in growing.recommend(home(1))[0].video_ids
    assert 7_000 in growing.recommend(home(5))[0].video_ids


def test_what_was_removed_or_waved_away_stays_away_while_the_catalogue_grows(growing):
    dismissed = ev.Dismiss(event_id="d", event_at=AT, received_at=AT, viewer_id=5, video_id=9)
    growing.apply(ev.to_table([upload(7_000, **CHESS), dismissed]))
    gone = [ev.Remove(event_id=f"x{v}", event_at=AT, received_at=AT, viewer_id=0, video_id=v) for v in (7_000, 4)]
    growing.apply(ev.to_table(gone))
    growing.apply(ev.to_table([upload(7_001, **CHESS)]))
    shown = set(growing.recommend(home(5, k=62))[0].video_ids.tolist())
    assert not shown & {7_000, 4, 9}
    assert 7_001 in shown


def test_the_same_upload_again_changes_nothing(growing):
    growing.apply(ev.to_table([upload(7_000), upload(7_000, 1), upload(5)]))
    live = growing.live
    assert len(live.loaded.catalogue) == 61
    growing.apply(ev.to_table([upload(7_000, 2)]))
    assert growing.live is live


def test_an_upload_that_cannot_be_read_is_left_out_and_the_others_are_not(growing):
    table = ev.to_table(
        [upload(7_000), upload(7_001), upload(7_002), upload(7_003, **{c.DURATION_S: "long", c.CONTENT: [1.0]})]
    )
    details = ["no JSON", "[1]", '{"category": null, "channel_id": 5, "surprise": 1}', table[c.DETAIL][3].as_py()]
    table = table.set_column(table.schema.get_field_index(c.DETAIL), c.DETAIL, pa.array(details))
    found = uploaded(table, growing.live.loaded.catalogue)
    assert found[c.VIDEO_ID].to_list() == [7_002]
    assert found[c.CATEGORY].to_list() == [c.UNKNOWN]
    assert found.schema == growing.live.loaded.catalogue.frame.schema


def test_content_counts_only_in_the_width_of_the_release(growing):
    wide = replace(growing.live.loaded.catalogue, content=np.zeros((60, 2), dtype=np.float32))
    events = ev.to_table(
        [upload(1_000, content=[1.0, 2.0]), upload(1_001, content=[1.0]), upload(1_002, content=[1.0, np.inf])]
    )
    assert uploaded(events, wide)[c.CONTENT].to_list() == [[1.0, 2.0], None, None]


def test_experiments_go_on_over_the_grown_catalogue(release_files):
    arms = (ArmConfig("control"), ArmConfig("bold", set=("exploration.epsilon=1.0",)))
    experiments = ExperimentsConfig((ExperimentConfig("explore", arms),))
    live = go_live(open_files(release_files[0]), MemoryStore(), config=GREEDY, experiments=experiments)
    growing = GrowingRelease(live)
    before = [growing.recommend(home(viewer))[0].arm for viewer in range(30, 50)]
    growing.apply(ev.to_table([upload(7_000, **CHESS)]))
    slates = [growing.recommend(home(viewer, k=61))[0] for viewer in range(30, 50)]
    assert [slate.arm for slate in slates] == before
    assert set(before) == {"explore:control", "explore:bold"}
    assert all(7_000 in slate.video_ids for slate in slates)


def test_pages_asked_for_while_the_catalogue_grows_are_whole(growing):
    stop, faults = threading.Event(), []

    def ask():
        while not stop.is_set():
            live = growing.live
            slate = live.recommender.recommend(home(1))[0]
            if (
                any("right now" in reason for reason in slate.degraded)
                or (live.loaded.catalogue.rows(slate.video_ids) < 0).any()
            ):
                faults.append(slate.degraded)

    readers = [threading.Thread(target=ask) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(20):
        growing.apply(ev.to_table([upload(7_000 + n, **CHESS), click(2, 7_000 + n)]))
    stop.set()
    for reader in readers:
        reader.join()
    assert faults == []
    assert len(growing.live.loaded.catalogue) == 80
    assert isinstance(growing.live.loaded.catalogue.frame, pl.DataFrame)


def test_merging_finds_the_same_while_events_go_on(growing):
    heard = []
    growing.changed = lambda: heard.append(growing.live)
    assert not growing.merge()
    growing.apply(ev.to_table([upload(7_000 + n, **CHESS | {c.DURATION_S: 60.0 * n}) for n in range(5)]))
    before = growing.live.loaded
    assert len(before.index.newer) == 5
    assert growing.merge()
    after = growing.live.loaded
    assert (after.index.newer, len(after.index)) == (None, 65)
    scores, _ = before.index.search(before.video_VD, 20)
    assert np.allclose(after.index.search(after.video_VD, 20)[0], scores, atol=1e-5)
    growing.apply(ev.to_table([upload(8_000, **CHESS), click(3, 7_001)]))
    assert (growing.live.loaded.video_state.counts[:, 61] > 0).any()
    assert len(heard) == 3
    assert heard[-1] is growing.live


def test_what_was_taken_down_never_comes_in_again(growing):
    growing.apply(ev.to_table([ev.Remove(event_id="x", event_at=AT, received_at=AT, viewer_id=0, video_id=7_000)]))
    growing.apply(ev.to_table([upload(7_000, **CHESS), upload(7_001, **CHESS)]))
    assert growing.live.loaded.catalogue.rows([7_000, 7_001]).tolist() == [-1, 60]


def test_growth_is_told_of_once_the_store_has_taken_the_events_in(growing, monkeypatch):
    heard, store = [], growing.live.store
    growing.changed = lambda: heard.append(len(growing.live.loaded.catalogue))
    batch = ev.to_table([upload(7_000, **CHESS), click(1, 7_000)])
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "apply", lambda *_: (_ for _ in ()).throw(StoreUnavailable("gone")))
        with pytest.raises(StoreUnavailable):
            growing.apply(batch)
    assert heard == []
    growing.apply(batch)
    assert heard == [61]


def test_removals_before_the_release_still_hold(release_files):
    loaded = replace(open_files(release_files[0]), removed_ids=np.array([4, 7_000]))
    growing = GrowingRelease(go_live(loaded, MemoryStore(), config=GREEDY))
    growing.apply(ev.to_table([upload(7_000, **CHESS)]))
    shown = growing.recommend(home(5))[0].video_ids
    assert len(shown) > 40
    assert not {4, 7_000} & set(shown.tolist())
