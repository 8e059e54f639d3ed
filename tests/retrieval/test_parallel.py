"""Two and three processes take the steps of one: losses to 1e-6, and weights to 1e-4, as Adam magnifies what is nearly 0."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import ConfigError
from retrieval import parallel
from retrieval.config import TRANSFORMER, TransformerConfig
from retrieval.examples import RetrievalExamples
from retrieval.parallel import ALONE, Peers
from retrieval.train import train
from tests.processes import in_a_world_of


@pytest.fixture(scope="module")
def examples(planted, rich_part):
    """A part of the log, with features of every kind, the same whoever asks for them."""
    log, few = planted.interactions, np.arange(900)
    part = rich_part(few)

    def some(rows):
        return replace(
            part, dense_BF=part.dense_BF[rows], codes_BC=part.codes_BC[rows], history_BL=part.history_BL[rows],
            history_age_BL=part.history_age_BL[rows],
        )  # fmt: skip

    return RetrievalExamples(some, log.video_rows[few], log.at[few], log.viewer_ids[log.viewer_rows[few]])


@pytest.fixture(scope="module")
def fit(planted, rich_schema, examples):
    """Losses of each step and all weights."""

    def run(config, warm_start=None):
        losses = []
        tower = train(
            config, rich_schema, planted.catalogue, examples, warm_start=warm_start,
            on_step=lambda done, total, loss: losses.append(loss),
        )  # fmt: skip
        return losses, tower

    return run


def same(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    for (name, mine), theirs in zip(found[1].state_dict().items(), expected[1].state_dict().values(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4, err_msg=name)


@pytest.fixture(scope="module")
def pools(tiny):
    return replace(tiny, history_length=8, batch_size=201, epochs=2, code_learning_rate=1e-3)


@pytest.mark.parametrize(("processes", "dense_ids"), [(2, False), (2, True), (3, False)])
def test_pools_train_as_in_one_process(fit, pools, processes, dense_ids):
    config = replace(pools, dense_ids=dense_ids)
    expected = fit(config)
    same(fit(replace(config, processes=processes)), expected)
    assert len(expected[0]) == 10
    assert expected[0][-1] < expected[0][0] - 0.2


def test_a_warm_start_goes_on_in_any_number_of_processes(fit, pools):
    _, first = fit(pools)
    same(fit(replace(pools, processes=2, seed=3), first), fit(replace(pools, seed=3), first))


@pytest.mark.parametrize("batch_clicks", [300, 24])
def test_a_transformer_trains_as_in_one_process(fit, tiny, batch_clicks):
    """The smaller batches hold one run each, so that one process has none."""
    config = replace(
        tiny, viewer=TRANSFORMER, history_length=8, hidden=(16,), epochs=1, uniform_negatives=50, batch_negatives=20,
        transformer=TransformerConfig(layers=2, hidden=32, dropout=0.0, batch_clicks=batch_clicks),
    )  # fmt: skip
    same(fit(replace(config, processes=2)), fit(config))


def grouped(folder):
    """What `torchrun` gives: a group that was joined before, and no wish for copies."""
    found = parallel.together(1, lambda peers: (peers, peers.total(torch.tensor([1.0 + peers.rank])).item()))
    assert found == (Peers(torch.distributed.get_rank(), 2), 3.0)


def test_a_group_that_was_joined_before_is_used(tmp_path):
    in_a_world_of(2, tmp_path, grouped)


def test_shares_are_whole_disjoint_and_nearly_equal():
    for num in (0, 1, 2, 7, 100):
        shares = [np.arange(num)[Peers(rank, 3).share(num)] for rank in range(3)]
        assert np.concatenate(shares).tolist() == list(range(num))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_nothing_is_copied():
    value = torch.ones(3)
    assert ALONE.shared(value) is ALONE.gathered(value, slice(0, 3), 3) is ALONE.total(value) is value


def test_an_error_here_ends_the_copies():
    def fail(peers):
        if peers.total(torch.ones(1)) == 2 and not peers.copy:
            raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        parallel.together(2, fail)


def test_copies_are_refused_where_there_is_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ConfigError, match="torchrun"):
        parallel.together(2, lambda peers: None)
