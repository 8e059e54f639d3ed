import numpy as np
import pytest
import torch

from core import rng
from core.errors import ConfigError
from embeddings.jagged import KeyedJaggedTensor
from embeddings.plan import ROW_WISE, TABLE_WISE
from embeddings.tables import ADAM, ROWWISE_ADAGRAD, TableConfig, Tables
from tests.processes import in_a_world_of

CONFIGS = [
    TableConfig("code", 7, 8, optimizer=ADAM, learning_rate=0.1, init=0.5),
    TableConfig("id", 31, 8, optimizer=ROWWISE_ADAGRAD, learning_rate=0.2, init=0.5),
    TableConfig("other", 17, 12, optimizer=ROWWISE_ADAGRAD, learning_rate=0.2, init=0.5, features=("x", "y")),
]
KEYS = [key for config in CONFIGS for key in config.keys]
BAGS, STEPS = 11, 6  # 11 bags divide by neither 2 nor 3


def jagged(step):
    random = rng.stream(step, "bags of all")
    lengths = random.integers(0, 4, (len(KEYS), BAGS))
    rows = {key: config.rows for config in CONFIGS for key in config.keys}
    values = np.concatenate([random.integers(0, rows[key], n.sum()) for key, n in zip(KEYS, lengths, strict=True)])
    return KeyedJaggedTensor(
        keys=KEYS, values=torch.from_numpy(values), lengths=torch.from_numpy(lengths.astype(np.int32).reshape(-1))
    )


def trained(backend):
    """Losses of each step and tables afterwards; the rate halves on the way."""
    tables = Tables(CONFIGS, seed=3, device=torch.device("cpu"), backend=backend)
    optimizer, losses = torch.optim.Adam(tables.adam_groups()), []
    for step in range(STEPS):
        tables.scale_learning_rate(1 - 0.1 * step)
        optimizer.zero_grad()
        found = tables(jagged(step))
        loss = sum((found[key] - 1).square().mean() for key in KEYS) + (found["id"] * found["code"]).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, tables


def divided(folder, backend):
    losses, tables = trained(backend)
    held = {config.name: tables.held(config.name) for config in CONFIGS}
    whole = Tables(CONFIGS, seed=9, device=torch.device("cpu"))
    for config in CONFIGS:
        whole.copy_rows(config.name, tables, np.arange(config.rows, dtype=np.int32))
    arrays = {config.name: tables.array(config.name) for config in CONFIGS}
    copied = {f"copy of {config.name}": whole.array(config.name) for config in CONFIGS}
    sums = {f"sums of {name}": whole._accumulator(name).numpy() for name in ("id", "other")}
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    np.savez(folder / f"{backend}-{rank}-{world}.npz", losses=losses, held=list(held.values()), **arrays, **copied, **sums)


@pytest.mark.parametrize(("world", "backend"), [(2, ROW_WISE), (2, TABLE_WISE), (3, ROW_WISE)])
def test_divided_tables_train_like_whole_ones(tmp_path, world, backend):
    in_a_world_of(world, tmp_path, divided, backend)
    losses, tables = trained(None)
    found = [np.load(tmp_path / f"{backend}-{rank}-{world}.npz") for rank in range(world)]
    for each in found:
        np.testing.assert_allclose(each["losses"], losses, atol=1e-6)
        for config in CONFIGS:
            np.testing.assert_allclose(each[config.name], tables.array(config.name), atol=1e-6)
            np.testing.assert_array_equal(each[f"copy of {config.name}"], each[config.name])
        for name in ("id", "other"):
            np.testing.assert_allclose(each[f"sums of {name}"], tables._accumulator(name), atol=1e-6)
    held = sum(each["held"] for each in found)
    assert held.tolist() == [7 * 8 * world, 31 * 8, 17 * 12]  # small tables are a copy in each
    assert losses[-1] < losses[0]


def test_without_processes_nothing_is_divided():
    with pytest.raises(ConfigError, match="torchrun"):
        Tables(CONFIGS, seed=1, backend=ROW_WISE)
    with pytest.raises(ConfigError, match="row_wise"):
        Tables(CONFIGS, seed=1, backend="by hand")
