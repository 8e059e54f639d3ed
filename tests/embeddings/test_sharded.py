"""Two, one and three processes."""

import numpy as np
import pytest
import torch

from core import rng
from core.errors import BadInput, ConfigError
from embeddings.jagged import KeyedJaggedTensor
from embeddings.plain_tables import _pool
from embeddings.plan import COLUMN_WISE, ROW_WISE, TABLE_WISE
from embeddings.sharded import ADAGRAD, SGD, ShardedTables, read_table
from embeddings.tables import ROWWISE_ADAGRAD, TableConfig, Tables
from tests.processes import in_a_world_of

STEPS, MORE = 20, 5
GLOBAL_BATCH = 12
ROWS, DIM = {"a": 31, "b": 17}, 24


def configs(optimizer):
    return [TableConfig(name, rows, DIM, optimizer=optimizer, learning_rate=0.2, init=0.5) for name, rows in ROWS.items()]


def bags(step):
    """Rows of each sample, by feature."""
    random = rng.stream(step, "sharded bags")
    return {name: [random.integers(0, rows, random.integers(0, 4)) for _ in range(GLOBAL_BATCH)] for name, rows in ROWS.items()}


def jagged(lists):
    flat = [rows for each in lists.values() for rows in each]
    lengths = torch.tensor([len(rows) for rows in flat], dtype=torch.int32)
    return KeyedJaggedTensor(keys=list(lists), values=torch.from_numpy(np.concatenate(flat)), lengths=lengths)


def loss_of(pooled):
    return ((pooled["a"] * pooled["b"]).sum(dim=1) + (pooled["a"] - 1).square().sum(dim=1)).mean()


def steps(tables, first, num):
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    for step in range(first, first + num):
        loss_of(tables(jagged({name: lists[rank::world] for name, lists in bags(step).items()}))).backward()


def unsharded(optimizer, num):
    """The same in dense torch: tables by name after `num` steps."""
    start = Tables(
        [TableConfig(n, r, DIM, init=0.5) for n, r in ROWS.items()], seed=1, device=torch.device("cpu"), backend="plain"
    )
    weights = {name: torch.from_numpy(start.array(name)).requires_grad_() for name in ROWS}
    made = {SGD: torch.optim.SGD, ADAGRAD: lambda p, lr: torch.optim.Adagrad(p, lr, eps=1e-8)}[optimizer]
    stepper = made(weights.values(), lr=0.2)
    for step in range(num):
        stepper.zero_grad()
        found = {}
        for name, lists in bags(step).items():
            lengths = torch.tensor([len(rows) for rows in lists])
            found[name] = _pool(weights[name], torch.from_numpy(np.concatenate(lists)), lengths, None, mean=False)
        loss_of(found).backward()
        stepper.step()
    return {name: weight.detach().numpy() for name, weight in weights.items()}


def train_all(folder):
    """In a world of two: every optimiser under every plan."""
    for optimizer in (SGD, ADAGRAD):
        for kind in (TABLE_WISE, COLUMN_WISE, ROW_WISE, "planner"):
            tables = ShardedTables(configs(optimizer), None if kind == "planner" else dict.fromkeys(ROWS, kind), seed=1)
            assert kind == "planner" or set(tables.layout.values()) == {kind}
            steps(tables, 0, STEPS)
            tables.save(folder / f"{optimizer}-{kind}")
    tables = ShardedTables(configs(ROWWISE_ADAGRAD), {"a": TABLE_WISE, "b": ROW_WISE}, seed=1)
    steps(tables, 0, STEPS)
    tables.save(folder / ROWWISE_ADAGRAD)


def go_on(folder, kind, saved):
    """In a world of another size: load what two have saved, and train on."""
    world = torch.distributed.get_world_size()
    tables = ShardedTables(configs(ADAGRAD), dict.fromkeys(ROWS, kind), seed=9)
    tables.load(folder / saved)
    steps(tables, STEPS, MORE)
    tables.save(folder / f"{saved}-on-{world}-{kind}")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharded")
    names = [f"{o}-{k}" for o in (SGD, ADAGRAD) for k in (TABLE_WISE, COLUMN_WISE, ROW_WISE, "planner")]
    for name in [*names, ROWWISE_ADAGRAD]:
        (folder / name).mkdir()
    in_a_world_of(2, folder, train_all)
    return folder


@pytest.mark.parametrize("optimizer", [SGD, ADAGRAD])
@pytest.mark.parametrize("kind", [TABLE_WISE, COLUMN_WISE, ROW_WISE, "planner"])
def test_sharded_equals_unsharded(trained, optimizer, kind):
    wanted = unsharded(optimizer, STEPS)
    for config in configs(optimizer):
        found = read_table(trained / f"{optimizer}-{kind}", config)
        np.testing.assert_allclose(found, wanted[config.name], atol=1e-6)
    assert np.abs(unsharded(optimizer, 0)["a"] - wanted["a"]).max() > 0.1


def test_rowwise_adagrad_by_table_and_by_row_equals_unsharded(trained):
    tables = Tables(configs(ROWWISE_ADAGRAD), seed=1, device=torch.device("cpu"))
    for step in range(STEPS):
        loss_of(tables(jagged(bags(step)))).backward()
    for config in configs(ROWWISE_ADAGRAD):
        np.testing.assert_allclose(read_table(trained / ROWWISE_ADAGRAD, config), tables.array(config.name), atol=1e-6)


@pytest.mark.parametrize(("world", "kind", "saved"), [(1, TABLE_WISE, "adagrad-row_wise"), (3, COLUMN_WISE, "adagrad-row_wise"),
                                                      (3, ROW_WISE, "adagrad-column_wise")])  # fmt: skip
def test_a_checkpoint_of_two_goes_on_in_another_world(trained, world, kind, saved):
    target = trained / f"{saved}-on-{world}-{kind}"
    target.mkdir()
    in_a_world_of(world, trained, go_on, kind, saved)
    wanted = unsharded(ADAGRAD, STEPS + MORE)
    for config in configs(ADAGRAD):
        np.testing.assert_allclose(read_table(target, config), wanted[config.name], atol=1e-6)


def test_an_incomplete_checkpoint_is_refused(trained, tmp_path):
    with pytest.raises(BadInput, match="no checkpoint"):
        read_table(tmp_path, configs(SGD)[0])
    (tmp_path / "rank-0.safetensors").write_bytes((trained / "sgd-row_wise" / "rank-0.safetensors").read_bytes())
    with pytest.raises(BadInput, match="written by 2 processes"):
        read_table(tmp_path, configs(SGD)[0])


def test_what_cannot_be_the_same_numbers_is_refused():
    with pytest.raises(ConfigError, match="its own rate"):
        ShardedTables(configs(ROWWISE_ADAGRAD), dict.fromkeys(ROWS, COLUMN_WISE), seed=1)
    with pytest.raises(ConfigError, match="not adam"):
        ShardedTables(configs("adam"), None, seed=1)
    with pytest.raises(ConfigError, match="none of"):
        ShardedTables(configs(SGD), {"a": "grid", "b": TABLE_WISE}, seed=1)
