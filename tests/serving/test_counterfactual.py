from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core import columns as c
from core.clock import DAY_MS, HOUR_MS
from core.policy import Request
from data import tombstones
from features.memory_store import MemoryStore
from ranking.config import RerankConfig
from serving import fakes
from serving.config import ExplorationConfig, ServingConfig
from serving.counterfactual import FOLDER, Recorder, Subjects, Writer, gives_page, read, replay, stored
from serving.live import go_live
from serving.recommender import Recommender
from serving.releases import open_files
from serving.witness import Notebook


def recorded(tmp_path, requests, live, challenger=None, **options):
    writer, notes = Writer(tmp_path / FOLDER, **options), Notebook()
    recorder = Recorder(lambda: Subjects(lambda request: live, fakes.viewers(), challenger, notes), writer.add)
    slates = notes.over(live).recommend(requests)
    for request, slate in zip(requests, slates, strict=True):
        recorder(request, slate)
    writer.close()
    return slates


def requests(n=3, at=fakes.NOW, **fields):
    return [Request(f"r{i}", i + 1, at + i, k=5, **fields) for i in range(n)]


def test_everything_that_was_chosen_from_is_there_with_its_utility(tmp_path):
    live = Recommender(fakes.parts())
    slates = recorded(tmp_path, requests(), live, Recommender(replace(fakes.parts(histories={}), release_id="other")))
    found = read(tmp_path, candidates=True)
    assert found[c.REQUEST_ID].to_list() == ["r0", "r1", "r2"]
    for i, (row, slate) in enumerate(zip(found.iter_rows(named=True), slates, strict=True)):
        wanted = live.retrieve(requests()[i : i + 1]).rows_BK[0]
        assert sorted(row["rows"]) == sorted(wanted[wanted >= 0].tolist())
        assert row["utility"] == sorted(row["utility"], reverse=True)
        assert row["shown"] == slate.video_ids.tolist()
        assert row["propensities"] == pytest.approx(slate.propensities.tolist())
        places = [row["rows"].index(int(r)) for r in live.parts.catalogue.rows(slate.video_ids)]
        assert np.array_equal(np.float32(row["utility"])[places], slate.scores["utility"])
        assert (row["replayed"], row["failed"], row["warm"]) == (True, False, i == 0)
        assert (row[c.FEATURE_HASH], row["shadow_release_id"]) == (slate.feature_hash, "other")
        assert len(row["shadow_rows"]) == len(row["shadow_utility"]) > 100
    assert found["policy"].n_unique() == 1
    assert (found["shown"] != found["shadow_shown"]).to_list() == [True, False, False]
    assert "rows" not in read(tmp_path).columns


def test_the_policys_version_is_its_config(tmp_path):
    bold = ServingConfig(exploration=ExplorationConfig(epsilon=1.0))
    for config in (bold, ServingConfig()):
        recorded(tmp_path, requests(1), Recommender(fakes.parts(config=config)))
    assert read(tmp_path)["policy"].n_unique() == 2


@pytest.mark.parametrize(
    "exploration",
    [
        ExplorationConfig(epsilon=0.5),
        ExplorationConfig("plackett_luce", epsilon=0.9, slots=(1, 3), fresh_boost=5.0, temperature=0.2),
        ExplorationConfig(epsilon=1.0, daily_cap=1),
    ],
)
def test_a_record_gives_its_page_again_whatever_happened_since(tmp_path, exploration):
    """The state has moved on: asking again would give another page. The record says all that is needed, after a restart too."""
    config = ServingConfig(exploration=exploration, rerank=RerankConfig(diversity=0.4, channel_cap=2, freshness=0.5))
    live, notes, writer = Recommender(fakes.parts(config=config)), Notebook(), Writer(tmp_path / FOLDER)
    asked = [replace(r, viewer_id=r.viewer_id % 3 + 1) for r in requests(40)]
    slates = notes.over(live).recommend(asked)
    live.parts.features.histories = {viewer: [4, 8, 15] for viewer in range(1, 4)}
    recorder = Recorder(lambda: Subjects(lambda request: live, fakes.viewers(), None, notes), writer.add)
    for request, slate in zip(asked, slates, strict=True):
        recorder(request, slate)
    writer.close()
    found, fresh = read(tmp_path, candidates=True), Recommender(fakes.parts(config=config))
    assert len(found) == 40
    assert found["replayed"].all()
    for row, slate in zip(found.iter_rows(named=True), slates, strict=True):
        video_ids, propensities = replay(fresh, row)
        assert video_ids == slate.video_ids.tolist()
        assert np.array_equal(propensities, slate.propensities)
    again = [slate.video_ids.tolist() for slate in live.recommend(asked)]
    assert again != found["shown"].to_list()


def test_a_record_that_lost_a_candidate_does_not_give_its_page():
    live, notes, rows = Recommender(fakes.parts()), Notebook(), []
    (request,) = requests(1)
    (slate,) = notes.over(live).recommend([request])
    Recorder(lambda: Subjects(lambda request: live, fakes.viewers(), None, notes), rows.append)(request, slate)
    best = [{**rows[0], name: rows[0][name][1:]} for name in ("rows", "utility")]
    assert gives_page(live, rows[0])
    assert not gives_page(live, {**rows[0], "rows": best[0]["rows"], "utility": best[1]["utility"]})


def test_a_page_that_nobody_witnessed_is_recorded_without_candidates():
    live, rows = Recommender(fakes.parts()), []
    (request,) = requests(1)
    Recorder(lambda: Subjects(lambda request: live, fakes.viewers()), rows.append)(request, live.recommend([request])[0])
    assert rows[0]["replayed"] is None
    assert "rows" not in rows[0]


def test_pages_in_kids_mode_are_left_out():
    live, rows = Recommender(fakes.parts()), []
    (request,) = requests(1, kids=True)
    Recorder(lambda: Subjects(lambda request: live, fakes.viewers()), rows.append)(request, live.recommend([request])[0])
    assert rows == []


def test_notes_are_for_what_is_recorded_and_are_taken_once():
    notes = Notebook(lambda request: request.request_id != "r1")
    witness = notes.over(Recommender(fakes.parts()))
    witness.recommend(requests())
    assert [notes.take(f"r{i}") is not None for i in (0, 1, 2, 0)] == [True, False, True, False]


def test_a_page_of_two_policies_is_left_out(tmp_path):
    rows = []
    Recorder(lambda: Subjects(lambda request: None, fakes.viewers()), rows.append)(requests()[0], None)
    assert rows == []


def test_one_file_an_hour_and_old_ones_go(tmp_path):
    live = Recommender(fakes.parts())
    recorded(tmp_path, requests(), live, rows=2)
    recorded(tmp_path, [replace(r, at=r.at + n * HOUR_MS) for n, r in enumerate(requests(2))], live)
    assert len(list((tmp_path / FOLDER).glob("*.parquet"))) == 4
    assert len(read(tmp_path)) == 5
    recorded(tmp_path, requests(1, at=fakes.NOW + 31 * DAY_MS), live)
    assert len(read(tmp_path)) == 1
    assert not list((tmp_path / FOLDER).glob("*.staged"))


def test_what_records_take_is_known_of_a_writer_and_of_a_space(tmp_path):
    assert stored(tmp_path).bytes_each is None
    writer = Writer(tmp_path / FOLDER, rows=2)
    recorder = Recorder(lambda: Subjects(lambda request: live, fakes.viewers()), writer.add)
    live = Recommender(fakes.parts())
    for request in requests(3):
        recorder(request, live.recommend([request])[0])
    assert writer.written.records == 2
    writer.close()
    assert writer.written == stored(tmp_path)
    assert (writer.written.records, writer.written.num_bytes) == (3, sum(file.stat().st_size for file in writer.files))


def test_forgotten_viewers_are_not_read(tmp_path):
    recorded(tmp_path, requests(), Recommender(fakes.parts()))
    tombstones.forget(tmp_path, [2], fakes.NOW)
    assert read(tmp_path)[c.VIEWER_ID].to_list() == [1, 3]


def test_nothing_written_reads_as_nothing(tmp_path):
    assert len(read(tmp_path, candidates=True)) == 0


def test_a_real_release_replays_its_pages(tmp_path, release_files):
    live = go_live(open_files(release_files[0], release_id="a1"), MemoryStore()).recommender
    recorded(tmp_path, requests(6, at=fakes.NOW + HOUR_MS), live, live)
    found = read(tmp_path)
    assert found["replayed"].all()
    assert found["shadow_shown"].to_list() == found["shown"].to_list()


def test_a_viewers_records_are_told_and_removed_and_nobody_elses(tmp_path):
    live = Recommender(fakes.parts())
    recorded(tmp_path, requests(), live)
    recorded(tmp_path, requests(2, at=fakes.NOW + HOUR_MS), live)
    writer = Writer(tmp_path / FOLDER)
    held = writer.of_viewer(1)
    assert [(row[c.VIEWER_ID], row["at"]) for row in held] == [(1, fakes.NOW), (1, fakes.NOW + HOUR_MS)]
    assert len(held[0]["rows"]) > 100
    assert (writer.forget(1), writer.forget(1)) == (2, 0)
    assert writer.of_viewer(1) == []
    assert read(tmp_path)[c.VIEWER_ID].to_list() == [2, 3, 2]
    assert (writer.forget(2), writer.forget(3)) == (2, 1)
    assert not list((tmp_path / FOLDER).iterdir())


def test_rows_gathered_before_a_viewer_was_forgotten_are_not_written(tmp_path):
    writer, live, notes = Writer(tmp_path / FOLDER), Recommender(fakes.parts()), Notebook()
    recorder = Recorder(lambda: Subjects(lambda request: live, fakes.viewers(), None, notes), writer.add)
    for request, slate in zip(requests(), live.recommend(requests()), strict=True):
        recorder(request, slate)
    tombstones.forget(tmp_path, [3], fakes.NOW)
    writer.close()
    (tmp_path / "tombstones.json").unlink()
    assert read(tmp_path)[c.VIEWER_ID].to_list() == [1, 2]


def test_a_witness_is_the_same_recommender():
    config = ServingConfig(exploration=ExplorationConfig(epsilon=1.0, daily_cap=1))
    live = Recommender(fakes.parts(config=config))
    first, second = requests(2)
    Notebook().over(live).recommend([first])
    assert (live.recommend([replace(second, viewer_id=first.viewer_id)])[0].propensities == 1).all()  # the cap was spent
    assert Notebook().over(live).breakers == live.breakers


def test_files_of_an_earlier_version_are_read(tmp_path):
    recorded(tmp_path, requests(1), Recommender(fakes.parts()))
    (file,) = (tmp_path / FOLDER).iterdir()
    now = pq.read_table(file)
    halves = pa.array([np.float16(row) for row in now["utility"].to_pylist()], pa.list_(pa.float16()))
    old = now.drop_columns(["spread", "utility"]).append_column("utility", halves)
    pq.write_table(old, file.with_name("20200101T00-old.parquet"))
    found = read(tmp_path, candidates=True)
    assert found["rows"][0].to_list() == found["rows"][1].to_list()
    assert found["utility"][0].to_list() == pytest.approx(found["utility"][1].to_list(), abs=1e-2)
    assert found["spread"].to_list() == [None, None]
