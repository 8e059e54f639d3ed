import numpy as np
from scipy import stats

from core import rng


def test_streams_are_the_same_on_every_machine_and_day() -> None:
    assert rng.stream(0, "golden").integers(2**31, size=3).tolist() == [544660984, 1951935595, 1295833191]
    assert rng.torch_seed(0, "x") == 347577292


def test_a_stream_keyed_by_request_replays() -> None:
    first, again = rng.stream(7, "explore", "r-1").random(8), rng.stream(7, "explore", "r-1").random(8)
    assert np.array_equal(first, again)


def test_seed_purpose_and_keys_all_matter() -> None:
    draws = [
        rng.stream(seed, purpose, *keys).integers(2**62)
        for seed, purpose, keys in [
            (0, "a", ()),
            (1, "a", ()),
            (0, "b", ()),
            (0, "a", ("k",)),
            (0, "a", ("k", 1)),
            (0, "a", (1, "k")),
        ]
    ]
    assert len(set(draws)) == len(draws)


def test_neighbouring_streams_do_not_correlate() -> None:
    a, b = rng.stream(0, "pair", 0).random(20_000), rng.stream(0, "pair", 1).random(20_000)
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(20_000)


def test_uniforms_replay_are_uniform_and_independent_of_how_many_are_drawn() -> None:
    few, many = rng.uniforms(3, 7, "explore", "r-1"), rng.uniforms(20_000, 7, "explore", "r-1")
    assert many[:3] == few
    assert stats.kstest(many, "uniform").pvalue > 0.01
    assert rng.uniforms(3, 8, "explore", "r-1") != few
    assert rng.uniforms(3, 7, "explore", "r-2") != few
