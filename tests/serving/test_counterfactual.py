from dataclasses import replace

import numpy as np
import pytest

from core import columns as c
from core.clock import DAY_MS, HOUR_MS
from core.policy import Request
from data import tombstones
from features.memory_store import MemoryStore
from serving import fakes
from serving.config import ExplorationConfig, ServingConfig
from serving.counterfactual import FOLDER, Recorder, Subjects, Witness, Writer, read
from serving.live import go_live
from serving.recommender import Recommender
from serving.releases import open_files


def recorded(tmp_path, requests, live, challenger=None, **options):
    writer = Writer(tmp_path / FOLDER, **options)
    recorder = Recorder(lambda: Subjects(lambda request: live, fakes.viewers(), challenger), writer.add)
    slates = live.recommend(requests)
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
        assert row["rows"] == sorted(wanted.tolist())
        assert row["shown"] == slate.video_ids.tolist()
        assert row["propensities"] == pytest.approx(slate.propensities.tolist())
        places = [row["rows"].index(int(r)) for r in live.parts.catalogue.rows(slate.video_ids)]
        assert np.array(row["utility"])[places] == pytest.approx(slate.scores["utility"], rel=2e-3, abs=2e-3)
        assert (row["replayed"], row["failed"], row["warm"]) == (True, False, i == 0)
        assert (row[c.FEATURE_HASH], row["shadow_release_id"]) == (slate.feature_hash, "other")
        assert len(row["shadow_rows"]) == len(row["shadow_utility"]) > 100
    assert found["policy"].n_unique() == 1
    assert (found["shown"] != found["shadow_shown"]).to_list() == [True, False, False]
    assert "rows" not in read(tmp_path).columns


def test_the_policys_version_is_its_config():
    bold = ServingConfig(exploration=ExplorationConfig(epsilon=1.0))
    assert Witness(Recommender(fakes.parts(config=bold))).policy != Witness(Recommender(fakes.parts())).policy


def test_a_page_that_the_state_no_longer_gives_says_so(tmp_path):
    live = Recommender(fakes.parts())
    slates = live.recommend(requests())
    live.parts.features.histories[1] = [4, 8]
    rows = []
    recorder = Recorder(lambda: Subjects(lambda request: live, fakes.viewers()), rows.append)
    for request, slate in zip(requests(), slates, strict=True):
        recorder(request, slate)
    assert [row["replayed"] for row in rows] == [False, True, True]


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
