import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core import rng
from core.errors import ConfigError
from embeddings.jagged import KeyedJaggedTensor, PlainJagged
from embeddings.tables import ADAM, PLAIN, ROWWISE_ADAGRAD, TORCHREC, TableConfig, Tables

CPU = torch.device("cpu")


def features(step, kind, weighted):
    """Random bags of two features, repeated rows and empty bags among them."""
    random = rng.stream(step, "bags")
    lengths = random.integers(0, 5, 12)
    values = torch.from_numpy(random.integers(0, 30, lengths.sum()))
    weights = torch.from_numpy(random.random(len(values), dtype=np.float32)) if weighted else None
    return kind(keys=["a", "b"], values=values, lengths=torch.from_numpy(lengths), weights=weights)


def train(backend, kind, optimizer, *, weighted, pooling):
    config = TableConfig("first", 30, 8, pooling, optimizer, 0.05, features=("a", "b"), weighted=weighted)
    tables = Tables([config], seed=1, device=CPU, backend=backend)
    dense = torch.optim.Adam(tables.adam_groups()) if tables.adam_groups() else None
    for step in range(20):
        if step == 10:
            tables.scale_learning_rate(0.5)
        pooled = tables(features(step, kind, weighted))
        loss = (pooled["a"] * pooled["b"]).sum() + (pooled["a"] - 1).square().mean()
        if dense:
            dense.zero_grad()
        loss.backward()
        if dense:
            dense.step()
    return tables


@pytest.mark.parametrize("optimizer", [ADAM, ROWWISE_ADAGRAD])
@pytest.mark.parametrize(("weighted", "pooling"), [(False, "sum"), (True, "sum"), (False, "mean")])
def test_twenty_steps_give_torchrecs_numbers(optimizer, weighted, pooling):
    found = [
        train(backend, kind, optimizer, weighted=weighted, pooling=pooling)
        for backend, kind in ((TORCHREC, KeyedJaggedTensor), (PLAIN, PlainJagged))
    ]
    start = Tables([TableConfig("first", 30, 8)], seed=1, device=CPU).array("first")
    assert np.abs(found[0].array("first") - start).max() > 0.1
    np.testing.assert_allclose(found[1].array("first"), found[0].array("first"), atol=2e-6)


def test_the_gradient_of_a_weighted_mean_has_its_share():
    """torchrec has no weighted mean for Adam, and fbgemm's CPU gradient of one lacks the division by the number of rows."""
    config = TableConfig("v", 4, 4, "mean", ROWWISE_ADAGRAD, 0.1, weighted=True)
    tables = Tables([config], seed=1, device=CPU, backend=PLAIN)
    start, values, weights = tables.array("v"), torch.tensor([0, 1]), torch.tensor([0.5, 0.25])
    pooled = tables(PlainJagged(["v"], values, lengths=torch.tensor([2]), weights=weights))["v"]
    np.testing.assert_allclose(pooled.detach()[0], (0.5 * start[0] + 0.25 * start[1]) / 2, atol=1e-7)
    (pooled * torch.arange(1.0, 5.0)).sum().backward()
    wanted = [0.25**2 * 7.5, 0.125**2 * 7.5, 0, 0]
    np.testing.assert_allclose(tables._accumulator("v"), wanted, rtol=1e-6)


def test_rows_and_their_accumulators_are_copied_between_backends():
    plain = train(PLAIN, PlainJagged, ROWWISE_ADAGRAD, weighted=False, pooling="sum")
    config = TableConfig("first", 2, 8, optimizer=ROWWISE_ADAGRAD, features=("a", "b"))
    fused = Tables([config], seed=2, device=CPU, backend=TORCHREC)
    fused.copy_rows("first", plain, np.array([5, -1], dtype=np.int32))
    assert np.array_equal(fused.array("first")[0], plain.array("first")[5])
    assert fused._accumulator("first").tolist() == [plain._accumulator("first")[5].item(), 0.0]


def test_the_stand_in_permutes_as_torchrec_does():
    for weighted in (False, True):
        real, plain = (features(3, kind, weighted).permute([1, 0, 1]) for kind in (KeyedJaggedTensor, PlainJagged))
        assert (plain.keys(), plain.stride()) == (list(real.keys()), real.stride())
        assert torch.equal(plain.values(), real.values())
        assert torch.equal(plain.lengths(), real.lengths())
        assert not weighted or torch.equal(plain.weights_or_none(), real.weights_or_none())
        assert torch.equal(plain.to(CPU).values(), plain.values())


def test_an_unknown_backend_is_refused():
    with pytest.raises(ConfigError, match="known: torchrec, plain"):
        Tables([TableConfig("a", 4, 4)], seed=1, device=CPU, backend="jax")


def test_without_fbgemm_tables_are_plain():
    code = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "fbgemm_gpu" else find(name, *rest)
import torch
from embeddings.jagged import KeyedJaggedTensor
from embeddings.tables import TableConfig, Tables
tables = Tables([TableConfig("v", 9, 4, optimizer="rowwise_adagrad")], seed=1, device=torch.device("cpu"))
bags = KeyedJaggedTensor(keys=["v"], values=torch.tensor([1, 2]), lengths=torch.tensor([2, 0]))
tables(bags)["v"].sum().backward()
print(type(tables.collections[0]).__name__, "torchrec" in sys.modules)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["PlainBags", "False"], done.stderr
