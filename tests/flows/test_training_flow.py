"""Log → release: the whole training run on a tiny world."""

import json

import numpy as np
import pytest

from core import events as ev
from core import release
from core.errors import BadInput
from core.event_log import SqliteEventLog
from data import tombstones
from pipelines import presets
from pipelines.progress import Stages
from pipelines.releases import reproduce
from pipelines.run import run

MODELS = ["popularity", "recent_popularity", "markov", "ease", "ials", "item_knn", "two_tower", "two_stage", "as_served"]


def test_a_run_publishes_a_live_release_with_its_leaderboard(trained):
    _, result = trained
    report = result.to_json()
    assert [row["model"] for row in report["leaderboard"]] == MODELS
    assert report["omitted"] == {}
    assert release.resolve(result.space.releases, "live") == result.release_id
    assert release.load(result.space.releases, result.release_id, verify=True).manifest.metrics["leaderboard"]
    json.dumps(report, allow_nan=False)


def test_both_stages_beat_popularity(trained):
    _, result = trained
    rows = {row["model"]: row for row in result.to_json()["leaderboard"]}
    assert rows["two_tower"]["recall@20"] > rows["popularity"]["recall@20"]
    assert rows["two_stage"]["ndcg@10"] > rows["popularity"]["ndcg@10"]
    assert rows["two_stage"]["ndcg@10_given_retrieved"] >= rows["two_stage"]["ndcg@10"]


def test_the_same_run_gives_the_same_release(trained, tmp_path):
    _, result = trained
    again = run("world", None, None, presets.tiny(), tmp_path, Stages())
    first, second = (r.space.releases / r.release_id for r in (result, again))
    assert np.array_equal(np.load(first / "video_vectors.npy"), np.load(second / "video_vectors.npy"))
    assert again.release_id == result.release_id


def test_snapshot_config_and_program_give_the_same_bytes_again_whatever_came_since(own_space, trained):
    release_id = trained[1].release_id
    log = SqliteEventLog(own_space.events)
    log.append(ev.to_table([ev.Click(event_id="later", event_at=1, received_at=2**41, viewer_id=3, video_id=5)]))
    log.close()
    found = reproduce.reproduce(own_space, release_id, Stages())
    assert (found.different, found.again_id) == ((), release_id)
    assert {"viewer_tower.onnx", "ranker.onnx", "video_vectors.npy", "index.faiss"} <= set(found.equal)
    assert release.names(own_space.releases) == [release_id]


def test_what_cannot_be_made_again_says_why(own_space, trained):
    release_id = trained[1].release_id
    tombstones.forget(own_space.path, [3], at=1)
    with pytest.raises(BadInput, match=r"1 viewers .* forgotten"):
        reproduce.reproduce(own_space, release_id, Stages())
