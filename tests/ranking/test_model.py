from dataclasses import replace

import numpy as np
import pytest
import torch

from ranking import config
from ranking.layout import layout
from ranking.model import LowRankCross, Network, PositionBias, Statistics, VideoTable
from tests.ranking import planted


def network(heads, **changes):
    truth = planted.world(60)
    settings = replace(config.tiny(), **changes)
    columns = layout(truth.schema, settings)
    fv, fc = columns.viewer_numbers, columns.candidate_numbers
    torch.manual_seed(0)
    statistics = Statistics(np.zeros(fv), np.ones(fv), np.full(fc, 0.5), np.full(fc, 2.0))
    return Network(columns, settings, heads, statistics), columns


def test_cross_layer_by_hand():
    cross = LowRankCross(2, 1)
    cross.down.weight.data = torch.tensor([[1.0, 2.0]])
    cross.up.weight.data = torch.tensor([[3.0], [4.0]])
    cross.up.bias.data = torch.tensor([0.5, -0.5])
    x0, x = torch.tensor([[2.0, 3.0]]), torch.tensor([[1.0, 1.0]])
    assert cross(x0, x).tolist() == [[2 * (3 * 3 + 0.5) + 1, 3 * (4 * 3 - 0.5) + 1]]


def test_relevance_starts_as_affinity():
    net, columns = network(("click", "relevance"))
    net.outputs.data.zero_()
    candidate = torch.zeros(1, 3, columns.candidate_width)
    candidate[0, :, 0] = torch.tensor([0.5, 2.5, -1.5])
    logits = net(torch.zeros(1, columns.viewer_width), candidate)
    assert logits[0, :, 1].tolist() == [0.0, 2.0, -2.0]
    assert logits[0, :, 0].tolist() == [0.0, 0.0, 0.0]


def test_candidates_are_scored_one_by_one():
    net, columns = network(("click", "relevance"))
    viewer, candidate = torch.randn(2, columns.viewer_width), torch.randn(2, 4, columns.candidate_width)
    shuffled = net(viewer, candidate[:, [2, 0, 3, 1]])
    torch.testing.assert_close(shuffled, net(viewer, candidate)[:, [2, 0, 3, 1]])


def test_history_is_a_mean_and_an_empty_one_is_zero():
    table = VideoTable(10, config.tiny(), seed=0, device=torch.device("cpu"))
    history = torch.tensor([[3, 5, -1], [-1, -1, -1]], dtype=torch.int32)
    bags, vectors = table(history, torch.tensor([[1, 2], [2, 1]], dtype=torch.int32))
    torch.testing.assert_close(bags[0], (table.weight[3] + table.weight[5]) / 2)
    assert not bags[1].any()
    torch.testing.assert_close(vectors[0, 1], table.weight[2])
    torch.testing.assert_close(vectors[0, 0], vectors[1, 1])


def test_rows_can_be_forgotten():
    table = VideoTable(4, config.tiny(), seed=0, device=torch.device("cpu"))
    table.forget_all_but(np.array([True, False, True, False]))
    assert table.weight.any(dim=1).tolist() == [True, False, True, False]


def test_positions_beyond_the_last_share_a_bias_and_unknown_has_its_own():
    bias = PositionBias(max_position=2, num_devices=2)
    bias.slot.data = torch.tensor([9.0, 0.5, 1.0, 2.0])
    bias.slot_on_device.data[1] = 0.25
    position, device = torch.tensor([-1, 0, 1, 2, 70]), torch.tensor([0, 0, 1, 0, 0])
    assert bias(position, device).tolist() == [9.0, 0.5, 1.25, 2.0, 2.0]
    assert bias.curve() == pytest.approx([0.0, 0.5, 1.5])
