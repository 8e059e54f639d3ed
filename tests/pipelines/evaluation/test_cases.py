import dataclasses

import numpy as np
import pytest

from core import rng
from core.ragged import Ragged
from data.interactions import Interactions, group
from pipelines.evaluation.cases import Cases, HeldOut, held_out, inside, last_out, share_out, time_split

NEVER = np.zeros(6, dtype=np.int64)


def interactions(rows: list[tuple[int, int, int]], num_videos: int = 6, ordered: bool = True) -> Interactions:
    """From (viewer, video, at)."""
    viewers, videos, at = np.array(rows, dtype=np.int64).T
    return group(viewers, videos.astype(np.int32), at, num_videos, ordered=ordered)


def as_dict(held: HeldOut) -> dict[tuple[int, int, int], list[int]]:
    """(viewer, at, target) → history"""
    cases = held.cases
    return {
        (int(cases.viewer_ids[i]), int(cases.at[i]), int(held.targets[i][0])): cases.histories[i].tolist()
        for i in range(len(held))
    }


def test_each_click_after_the_split_is_one_case_with_all_earlier_clicks() -> None:
    log = interactions([(1, 0, 1), (1, 1, 5), (1, 2, 10), (1, 3, 12), (2, 4, 11)])
    held = time_split(log, 10, NEVER)
    assert as_dict(held) == {(1, 10, 2): [0, 1], (1, 12, 3): [0, 1, 2], (2, 11, 4): []}
    assert held.cases.warm.tolist() == [True, True, False]


def test_a_repeated_video_is_no_target_but_stays_in_the_history() -> None:
    log = interactions([(1, 0, 1), (1, 0, 10), (1, 2, 11), (1, 2, 12), (1, 3, 13)])
    assert as_dict(time_split(log, 10, NEVER)) == {(1, 11, 2): [0, 0], (1, 13, 3): [0, 0, 2, 2]}


def test_clicks_of_the_same_instant_do_not_know_each_other() -> None:
    log = interactions([(1, 0, 1), (1, 2, 10), (1, 3, 10), (1, 4, 10), (2, 5, 10)])
    assert as_dict(time_split(log, 10, NEVER)) == {(1, 10, 2): [0], (1, 10, 3): [0], (1, 10, 4): [0], (2, 10, 5): []}


def test_a_click_before_its_upload_is_no_case() -> None:
    uploaded = np.array([0, 0, 20, 0, 0, 0], dtype=np.int64)
    assert as_dict(time_split(interactions([(1, 2, 10), (1, 3, 11)]), 10, uploaded)) == {(1, 11, 3): [2]}


def test_sampling_is_reproducible_and_bounded() -> None:
    random = rng.stream(0, "cases")
    log = interactions([(int(v), int(r), t) for t, (v, r) in enumerate(random.integers(0, 6, (300, 2)))])
    everything, some = time_split(log, 50, NEVER), time_split(log, 50, NEVER, max_cases=7)
    assert len(some) == min(7, len(everything))
    assert as_dict(some).items() <= as_dict(everything).items()
    assert as_dict(time_split(log, 50, NEVER, max_cases=7)) == as_dict(some)


def test_no_target_is_ever_in_its_history() -> None:
    random = rng.stream(1, "cases")
    log = interactions([(int(v), int(r), int(t)) for v, r, t in random.integers(0, [9, 300, 40], (800, 3))], 300)
    for held in (time_split(log, 15, np.zeros(300, dtype=np.int64)), last_out(log)[1]):
        assert len(held) > 5
        for i in range(len(held)):
            assert not np.isin(held.targets[i], held.cases.histories[i]).any()


def test_models_have_no_way_to_reach_targets() -> None:
    assert {field.name for field in dataclasses.fields(Cases)} == {"viewer_ids", "at", "histories", "warm", "uploaded_at"}
    log = interactions([(1, 0, 1), (1, 1, 10), (1, 2, 11)])
    histories = time_split(log, 10, NEVER).cases.histories
    assert 2 not in histories.values
    assert histories.values.base is None or 2 not in np.asarray(histories.values.base)


def test_hiding_covers_the_seen_and_the_unborn() -> None:
    cases = Cases(
        np.array([1, 2]), np.array([10, 20]), Ragged.of([[0, 0], [3]]), np.ones(2, bool), np.array([0, 15, 0, 0, 20], np.int64)
    )
    scores = cases.hide(np.ones((2, 5), dtype=np.float32), slice(0, 2))
    assert np.isinf(scores).tolist() == [[True, True, False, False, True], [False, False, False, True, False]]
    assert np.isinf(cases.hide(np.ones((1, 5), np.float32), slice(1, 2))).tolist() == [[False, False, False, True, False]]


def test_hits_compare_case_by_case() -> None:
    cases = Cases(np.arange(3), np.zeros(3, np.int64), Ragged.of([[], [], []]), np.ones(3, bool), NEVER)
    held = HeldOut(cases, Ragged.of([[1, 2], [5], [-1]]))
    ranked = np.array([[2, 5, 1], [1, 2, -1], [0, -1, -1]], dtype=np.int32)
    assert held.hits(ranked, slice(0, 3)).tolist() == [[True, False, True], [False] * 3, [False] * 3]
    assert held.hits(ranked[1:2, ::-1] + 3, slice(1, 2)).tolist() == [[False, True, False]]


def test_last_out_takes_the_last_of_every_viewer_with_two() -> None:
    train, held = last_out(interactions([(1, 0, 1), (1, 1, 2), (2, 3, 1), (3, 4, 1), (3, 5, 2), (3, 4, 3)]))
    assert as_dict(held) == {(1, 3, 1): [0]}
    assert [train.history(v).tolist() for v in (1, 2, 3)] == [[0], [3], [4, 5]]


def test_last_out_of_a_log_without_order_is_random_but_reproducible() -> None:
    log = interactions([(v, r, 0) for v in range(200) for r in range(4)], ordered=False)
    first, again, other = (last_out(log, seed=seed)[1].targets.values for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.bincount(first, minlength=4).min() > 25


def test_a_share_of_every_viewer_is_held_out() -> None:
    log = interactions([(v, r, 0) for v, n in ((1, 10), (2, 5), (3, 2), (4, 1)) for r in range(n)], 10, ordered=False)
    train, held = share_out(log, 0.2, seed=1)
    assert held.cases.viewer_ids.tolist() == [1, 2, 3]
    assert held.targets.counts.tolist() == [2, 1, 1]
    for i, viewer in enumerate((1, 2, 3)):
        assert sorted([*held.targets[i], *train.history(viewer)]) == log.history(viewer).tolist()
        assert held.cases.histories[i].tolist() == train.history(viewer).tolist()
    assert train.history(4).tolist() == [0]


def test_held_out_shares_are_random_reproducible_and_sampled_by_viewer() -> None:
    log = interactions([(v, r, 0) for v in range(100) for r in range(10)], 10, ordered=False)
    first, again, other = (share_out(log, seed=seed)[1].targets.values for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.bincount(first, minlength=10).min() > 8
    train, some = share_out(log, max_cases=7)
    assert (len(some), len(train)) == (7, 800)
    assert (some.targets.counts == 2).all()


def test_settings_are_judged_the_way_the_log_will_be_tested() -> None:
    log = interactions([(v, r, 10 * r + v) for v in range(10) for r in range(6)])
    assert (inside(log, timed=True)[1].cases.at >= int(np.quantile(log.at, 0.9))).all()
    assert inside(log, timed=False)[1].targets.values.tolist() == [5] * 10
    bare = dataclasses.replace(log, ordered=False)
    assert inside(bare, timed=False)[1].targets.counts.tolist() == [1] * 10
    assert len(set(inside(bare, timed=False)[1].targets.values.tolist())) > 1


def test_held_out_file_has_one_case_per_viewer() -> None:
    train = interactions([(1, 0, 1), (1, 1, 2), (2, 3, 1)])
    held = held_out(train, np.array([2, 1, 1, 9, 1]), np.array([4, 2, 0, 5, -1], dtype=np.int32))
    assert held.cases.viewer_ids.tolist() == [1, 2, 9]
    assert [held.cases.histories[i].tolist() for i in range(3)] == [[0, 1], [3], []]
    assert [held.targets[i].tolist() for i in range(3)] == [[2, -1], [4], [5]]
    assert held.cases.warm.tolist() == [True, True, False]


@pytest.mark.parametrize("t0", [0, 10_000])
def test_a_split_outside_the_log(t0: int) -> None:
    held = time_split(interactions([(1, 0, 1), (1, 1, 2)]), t0, NEVER)
    assert len(held) == (2 if t0 == 0 else 0)
