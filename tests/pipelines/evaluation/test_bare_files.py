"""Both stages from two files: the towers that a file asks for, and a ranker that adds to them."""

import numpy as np
import polars as pl
import pytest

from core.rng import stream
from pipelines import presets
from pipelines.evaluation import bare_files
from pipelines.progress import Stages

VIEWERS, LENGTH, VIDEOS = 250, 12, 60


def write(folder, *, ordered):
    """Viewers walk around a circle of 60 videos, two steps at a time with a stumble here and there."""
    random = stream(1, "circle")
    steps = random.choice([1, 2, 2, 2, 2, 3], size=(VIEWERS, LENGTH + 1))
    video = (random.integers(0, VIDEOS, size=(VIEWERS, 1)) + np.cumsum(steps, axis=1)) % VIDEOS
    frame = pl.DataFrame(
        {
            "viewer_id": np.repeat(np.arange(VIEWERS), LENGTH + 1),
            "video_id": video.reshape(-1),
            "position": np.tile(np.arange(LENGTH + 1), VIEWERS),
        }
    ).unique(["viewer_id", "video_id"], keep="first", maintain_order=True)
    last = frame.group_by("viewer_id", maintain_order=True).last()
    train = frame.join(last, on=["viewer_id", "video_id"], how="anti")
    if not ordered:
        train = train.drop("position").sample(fraction=1.0, shuffle=True, seed=1)
    train.write_parquet(folder / "train.parquet")
    last.select("viewer_id", "video_id").write_parquet(folder / "held.parquet")
    return folder / "train.parquet", folder / "held.parquet"


@pytest.mark.parametrize(
    ("ordered", "least"),
    [
        (True, 0.6),  # the next step is one of three videos; chance would find 10 of 50
        (False, 0.35),  # only the neighbourhood can be known
    ],
)
def test_both_stages_find_the_next_video(tmp_path, ordered, least):
    config = presets.configure(
        "tiny",
        [
            "files.ordered.viewer=transformer", "files.ordered.history_length=20", "files.ordered.dense_ids=true",
            "files.ordered.transformer.layers=1", "files.ordered.transformer.batch_clicks=512", "files.ordered.epochs=20",
            "files.ordered.learning_rate=0.005", "files.ranker.max_epochs=15",
        ],
    )  # fmt: skip
    board = bare_files.evaluate(*write(tmp_path, ordered=ordered), None, config, Stages())
    rows = {entry.model: entry for entry in board.entries}
    assert {"popularity", "ease", "ials", "item_knn", "two_tower", "two_stage"} <= set(rows)
    assert ("markov" in rows) == ordered
    for model in ("two_tower", "two_stage"):
        assert rows[model].mean("hr@10") > least, model
        assert rows[model].mean("recall@500") == 1.0  # 60 videos fit into 500
    assert rows["two_stage"].mean("ndcg@10") > rows["popularity"].mean("ndcg@10")
    assert rows["two_stage"].mean("ndcg@10_given_retrieved") == pytest.approx(rows["two_stage"].mean("ndcg@10"))
