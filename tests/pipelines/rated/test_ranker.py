import numpy as np

from pipelines.rated import ranker as rated_ranker
from pipelines.rated.features import Table
from pipelines.rated.ranker import PiecewiseLinear


def table(**columns):
    return Table(tuple(columns), np.stack(list(columns.values()), axis=1).astype(np.float32))


def test_a_number_lights_what_lies_below_it():
    encode = PiecewiseLinear(("x",), (np.array([0.0, 1.0, 3.0], dtype=np.float32),), (False,))
    codes = encode(np.array([[-5.0], [0.5], [2.0], [9.0]], dtype=np.float32))
    assert codes.tolist() == [[0.0, 0.0], [0.5, 0.0], [1.0, 0.5], [1.0, 1.0]]
    assert encode.columns == ("x.0", "x.1")


def test_edges_are_quantiles_of_what_is_known():
    values = np.append(np.arange(801.0), [np.nan] * 7)
    encode = PiecewiseLinear.of(table(x=values, same=np.ones(808)))
    assert encode.edges[0].tolist() == [0, 100, 200, 300, 400, 500, 600, 700, 800]
    assert encode.missing == (True, False)
    assert len(encode.columns) == 9, "eight pieces and one for unknown; what never varies is left out"


def test_unknown_is_the_middle_and_says_so():
    encode = PiecewiseLinear.of(table(x=np.append(np.arange(9.0), np.nan)))
    codes = encode(np.array([[np.nan], [4.0]], dtype=np.float32))
    assert codes[0, :-1].tolist() == codes[1, :-1].tolist()
    assert codes[:, -1].tolist() == [1.0, 0.0]


def test_codes_are_monotone():
    rng = np.random.default_rng(0)
    encode = PiecewiseLinear.of(table(x=rng.gamma(1.0, size=500)))
    codes = encode(np.sort(rng.gamma(1.5, size=200))[:, None].astype(np.float32))
    assert (np.diff(codes, axis=0) >= 0).all()


def test_settings_are_drawn_around_the_config():
    base = rated_ranker.default_config()
    assert rated_ranker.draw(base, 1, 0) == base
    drawn = [rated_ranker.draw(base, 1, trial) for trial in range(1, 9)]
    assert len({setting.learning_rate for setting in drawn}) == 8
    assert rated_ranker.draw(base, 1, 3) == drawn[2]
    assert all(setting.batch_impressions == base.batch_impressions for setting in drawn)
    assert all(0.49 < setting.learning_rate / base.learning_rate < 2.02 for setting in drawn)


def test_members_are_averaged_in_log_odds():
    found = rated_ranker.mean([{"click": np.array([1.0, 2.0], dtype=np.float32)}, {"click": np.array([3.0, -2.0])}])
    assert found["click"].tolist() == [2.0, 0.0]
