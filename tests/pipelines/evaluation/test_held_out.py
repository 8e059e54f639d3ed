from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core import ids
from core.errors import BadInput, SchemaMismatch
from pipelines.evaluation import held_out
from pipelines.evaluation.cases import last_out
from pipelines.evaluation.evaluate import FittedModels, Scored, measure
from retrieval.baselines import Popularity
from retrieval.neighbours import Markov


def write(path: Path, **columns: list) -> Path:
    frame = pl.DataFrame(columns)
    frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)
    return path


@pytest.fixture
def train(tmp_path: Path) -> Path:
    viewers = [v for v in range(30) for _ in range(4)]
    videos = [(v + i) % 12 + 1 for v in range(30) for i in range(4)]
    return write(tmp_path / "train.parquet", viewer_id=viewers, video_id=videos, position=[0, 1, 2, 3] * 30)


def test_the_held_out_file_is_opened_last(train: Path, tmp_path: Path) -> None:
    """It does not exist until every model is fitted."""
    path = tmp_path / "held_out.parquet"

    def more(log: held_out.FileLog, baselines: FittedModels) -> FittedModels:
        assert "ease" in baselines.settings
        write(path, viewer_id=[0, 0, 1], video_id=[5, 6, 6])
        return FittedModels({"two_tower": Scored(Popularity().fit(log.interactions))}, {"two_tower": 9.0})

    board = held_out.evaluate_files(train, path, more=more)
    found = board.to_json()
    assert [row["model"] for row in found["leaderboard"]] == ["popularity", "markov", "ease", "ials", "item_knn", "two_tower"]
    assert set(found["omitted"]) == {"recent_popularity"}
    assert (found["num_viewers"], found["num_videos"], found["num_cases"]) == (2, 12, 2)
    assert found["leaderboard"][1]["hr@10"] == 1.0


def test_leaks_between_two_files_are_reported(tmp_path: Path) -> None:
    """Viewer v's test click comes while others are still training, and viewer 0 has watched its video before."""
    viewers, videos = [v for v in range(30) for _ in range(4)], [(v + i) % 12 + 1 for v in range(30) for i in range(4)]
    path = write(tmp_path / "train.csv", viewer_id=viewers, video_id=videos, timestamp=list(range(10**9, 10**9 + 120)))
    asked = write(tmp_path / "test.csv", viewer_id=[0, 1, 2], video_id=[1, 9, 9], timestamp=[10**9 + 100] * 3)
    found = held_out.evaluate_files(path, asked).to_json()
    late, tie, repeated = found["leaks"]
    assert late.startswith("19 of 120 training rows come after the first test row")
    assert tie.startswith("1 of 120 training rows share the instant")
    assert repeated == "1 of 3 test pairs of viewer and video are in training too"
    assert found["num_cases"] == 2
    clean = write(tmp_path / "later.csv", viewer_id=[1, 2], video_id=[9, 9], timestamp=[10**9 + 120] * 2)
    assert held_out.evaluate_files(path, clean).to_json()["leaks"] == []


def test_the_catalogue_is_training_ids_and_vector_rows(train: Path, tmp_path: Path) -> None:
    vectors = np.arange(60, dtype=np.float32).reshape(20, 3)
    np.save(tmp_path / "vectors.npy", vectors)
    log = held_out.read_log(train, tmp_path / "vectors.npy")
    assert log.video_ids.tolist() == list(range(20))
    assert np.array_equal(log.content, vectors)
    np.save(tmp_path / "vectors.npy", vectors[:6])
    log = held_out.read_log(train, tmp_path / "vectors.npy")
    assert log.video_ids.tolist() == list(range(13))
    assert np.array_equal(log.content[:6], vectors[:6])
    assert not log.content[6:].any()


@pytest.mark.parametrize(
    ("column", "values", "timed", "at"),
    [
        ("at", [10**12, 10**12 + 1], True, [10**12, 10**12 + 1]),
        ("timestamp", [10**9, 10**9 + 1], True, [10**12, 10**12 + 1_000]),
        ("timestamp", [10**12, 10**12 + 1], True, [10**12, 10**12 + 1]),
        ("position", [0, 1], False, [0, 1]),
    ],
)
def test_times(tmp_path: Path, column: str, values: list[int], timed: bool, at: list[int]) -> None:
    log = held_out.read_log(write(tmp_path / "log.csv", viewer_id=[1, 1], video_id=[1, 2], **{column: values}))
    assert (log.timed, log.interactions.ordered, log.interactions.at.tolist()) == (timed, True, at)


def test_a_log_without_order(tmp_path: Path) -> None:
    log = held_out.read_log(write(tmp_path / "log.csv", viewer_id=["a", "b"], video_id=["x", "7"]))
    assert (log.timed, log.interactions.ordered) == (False, False)
    assert log.video_ids.tolist() == sorted([7, ids.to_id("x")])


def test_unusable_files(tmp_path: Path, train: Path) -> None:
    with pytest.raises(BadInput, match="no file"):
        held_out.read_log(tmp_path / "none.parquet")
    with pytest.raises(BadInput, match="must end in"):
        held_out.read_log(write(tmp_path / "log.txt", viewer_id=[1]))
    with pytest.raises(SchemaMismatch, match="'video_id' is missing"):
        held_out.read_log(write(tmp_path / "log.csv", viewer_id=[1]))
    with pytest.raises(SchemaMismatch, match="empty values"):
        held_out.read_log(write(tmp_path / "log.csv", viewer_id=[1, 2], video_id=[1, None]))
    with pytest.raises(BadInput, match="no rows"):
        held_out.read_log(write(tmp_path / "log.parquet", viewer_id=[], video_id=[]))


def test_decayed_markov_on_a_real_log(real_data: Path) -> None:
    """The floor measured untuned on the second-last items of this file is HR@10 .2493, NDCG@10 .1447."""
    path = real_data / "ml-1m" / "interactions.parquet"
    if not path.is_file():
        pytest.skip(f"{path} is absent; bring MovieLens-1M as a sequence file to measure on it")
    training, test = last_out(held_out.read_log(path).interactions, max_cases=2_000)
    values = measure(Scored(Markov().fit(training)), test)
    assert values["hr@10"].mean() > 0.25
    assert values["ndcg@10"].mean() > 0.145
