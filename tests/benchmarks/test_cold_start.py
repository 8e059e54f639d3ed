import numpy as np
import pytest

from benchmarks import cold_start
from core.ragged import Ragged
from pipelines.evaluation.cases import Cases, HeldOut


def test_rank_counts_what_is_better_and_half_of_the_ties_among_what_may_be_shown():
    cases = Cases(
        viewer_ids=np.array([1, 2]),
        at=np.array([10, 10]),
        histories=Ragged(np.array([0, 1, 1]), np.array([0], dtype=np.int32)),
        warm=np.array([True, False]),
        uploaded_at=np.array([0, 0, 0, 0, 99]),
    )
    held_out = HeldOut(cases, Ragged(np.array([0, 1, 2]), np.array([1, 2], dtype=np.int32)))
    scores = np.array([[9, 3, 5, 1, 9], [4, 4, 0, 4, 9]], dtype=np.float32)
    assert cold_start.rank(scores, np.array([3.0, 4.0], dtype=np.float32), held_out).tolist() == [1, 1]


def test_trained_rows_are_the_leaderboards_and_a_cold_video_beats_one_of_which_nothing_is_known(trained):
    result = trained[1]
    found = cold_start.measure(result.space)
    table, board = found["table"], result.leaderboard.entry("two_tower").values
    for metric in ("ndcg@10", "recall@500"):
        mean = float(board[metric].mean())
        assert table["video trained, viewer with history"][metric]["mean"] == pytest.approx(mean, abs=0.002)
    assert found["test_clicks"] == len(board["ndcg@10"])
    assert table["video cold"]["recall@100"]["mean"] > table["video nothing"]["recall@100"]["mean"] + 0.1
