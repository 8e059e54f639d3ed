import numpy as np
import pytest
import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from core.errors import ConfigError
from embeddings.tables import ROWWISE_ADAGRAD, TableConfig, Tables, suited_optimizer

CPU = torch.device("cpu")


def bags(weights=None, **features):
    """One list of rows per sample and feature."""
    values = [row for lists in features.values() for rows in lists for row in rows]
    lengths = [len(rows) for lists in features.values() for rows in lists]
    return KeyedJaggedTensor(
        keys=list(features),
        values=torch.tensor(values, dtype=torch.int64),
        lengths=torch.tensor(lengths, dtype=torch.int32),
        weights=None if weights is None else torch.tensor(weights),
    )


def fused(rows=1000, **more):
    return TableConfig("video", rows, 8, optimizer=ROWWISE_ADAGRAD, learning_rate=0.1, **more)


def test_bags_are_sums_means_and_zero_when_empty():
    tables = Tables([TableConfig("s", 10, 4), TableConfig("m", 10, 4, pooling="mean")], seed=1, device=CPU)
    pooled = tables(bags(s=[[1, 2], []], m=[[3, 4], [5]]))
    s, m = tables.array("s"), tables.array("m")
    np.testing.assert_allclose(pooled["s"].detach(), [s[1] + s[2], np.zeros(4)], atol=1e-7)
    np.testing.assert_allclose(pooled["m"].detach(), [(m[3] + m[4]) / 2, m[5]], atol=1e-7)


@pytest.mark.parametrize("optimizer", ["adam", ROWWISE_ADAGRAD])
def test_weighted_bags(optimizer):
    tables = Tables([TableConfig("v", 10, 4, optimizer=optimizer, weighted=True)], seed=1, device=CPU)
    pooled = tables(bags(weights=[0.5, 0.25, 1.0], v=[[1, 2], [3]]))["v"]
    v = tables.array("v")
    np.testing.assert_allclose(pooled.detach(), [0.5 * v[1] + 0.25 * v[2], v[3]], atol=1e-7)


def test_several_features_share_one_table():
    tables = Tables([fused(features=("watched", "shown"))], seed=1, device=CPU)
    pooled = tables(bags(watched=[[7]], shown=[[7]]))
    assert torch.equal(pooled["watched"], pooled["shown"])


def test_a_fused_step_is_rowwise_adagrad_and_leaves_other_rows_bit_identical():
    tables = Tables([fused()], seed=1, device=CPU)
    before, wanted = tables.array("video"), torch.arange(16.0).reshape(2, 8) / 8
    (tables(bags(video=[[3], [500]]))["video"] * wanted).sum().backward()
    after = tables.array("video")
    others = np.setdiff1d(np.arange(1000), [3, 500])
    assert np.array_equal(after[others], before[others])
    gradient = wanted.numpy()
    step = 0.1 * gradient / np.sqrt((gradient**2).mean(axis=1, keepdims=True))
    np.testing.assert_allclose(after[[3, 500]], before[[3, 500]] - step, atol=1e-5)
    assert tables.adam_groups() == []


def test_the_scaled_rate_is_what_a_fused_step_uses():
    tables = Tables([fused()], seed=1, device=CPU)
    tables.scale_learning_rate(0.5)
    before = tables.array("video")
    tables(bags(video=[[3]]))["video"].sum().backward()
    np.testing.assert_allclose(before[3] - tables.array("video")[3], 0.05, atol=1e-6)


def test_adam_groups_carry_their_own_rate():
    tables = Tables([fused(), TableConfig("a", 5, 4, learning_rate=0.3), TableConfig("b", 5, 4)], seed=1, device=CPU)
    groups = tables.adam_groups()
    assert [group["lr"] for group in groups] == [0.3, 1e-3]
    torch.optim.Adam(groups)
    tables(bags(a=[[1]]))["a"].sum().backward()
    assert groups[0]["params"][0].grad is not None


def test_seed_decides_the_start():
    one, same, other = (Tables([fused()], seed=seed, device=CPU).array("video") for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.abs(one).max() <= 0.05


def test_copied_rows_bring_weights_and_accumulator():
    old, new = (Tables([fused(rows)], seed=seed, device=CPU) for seed, rows in ((1, 10), (2, 12)))
    for _ in range(3):
        old(bags(video=[[4]]))["video"].sum().backward()
    fresh = new.array("video")
    new.copy_rows("video", old, np.array([-1, 4, *[-1] * 10], dtype=np.int32))
    assert np.array_equal(new.array("video")[1], old.array("video")[4])
    assert np.array_equal(new.array("video")[0], fresh[0])
    before = new.array("video")[1]
    new(bags(video=[[1]]))["video"].sum().backward()
    np.testing.assert_allclose(before - new.array("video")[1], 0.1 / np.sqrt(4), atol=1e-5)  # the fourth step, not the first


def test_large_tables_are_fused():
    assert suited_optimizer(100) == "adam"
    assert suited_optimizer(1_000_000) == ROWWISE_ADAGRAD


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TableConfig("t", 5, 6), "divisible by 4"),
        (TableConfig("t", 5, 4, pooling="max"), "neither sum nor mean"),
        (TableConfig("t", 5, 4, optimizer="sgd"), "neither adam"),
        (TableConfig("t", 5, 4, learning_rate=0.0), "positive"),
    ],
)
def test_bad_declarations_are_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        Tables([config], seed=1, device=CPU)


def test_bad_names_are_refused():
    with pytest.raises(ConfigError, match="same name"):
        Tables([TableConfig("t", 5, 4), TableConfig("t", 6, 4)], seed=1, device=CPU)
    tables = Tables([TableConfig("a", 5, 4), TableConfig("b", 5, 4)], seed=1, device=CPU)
    with pytest.raises(ConfigError, match="no table 'c'"):
        tables.weight("c")
    with pytest.raises(ConfigError, match="give all of them"):
        tables(bags(a=[[1]]))
