"""Every formula is judged on the same clicks and the same requests; none is better than the best possible page."""

import numpy as np
import pytest

from benchmarks.next_click import FORMULAS, Bench
from core.errors import BadInput
from pipelines.spaces import Space
from ranking.config import NEXT_CLICK, CombineConfig


@pytest.fixture(scope="module")
def bench(trained):
    return Bench.of(trained[1].space, 40)


def test_orders_differ_on_the_same_questions(bench):
    clicks, truth = ([ask(order) for order in (NEXT_CLICK, CombineConfig())] for ask in (bench.clicks, bench.truth))
    assert len(clicks[0]) == len(clicks[1]) == len(bench.questions.held_out)
    assert not np.array_equal(truth[0], truth[1])
    assert (bench.best() >= np.maximum(*truth) - 1e-9).all()


def test_what_serves_is_among_the_formulas():
    assert CombineConfig() in FORMULAS.values()


def test_a_space_without_a_live_release_is_told_so(tmp_path):
    with pytest.raises(BadInput, match="upnext train"):
        Bench.of(Space(tmp_path), 10)
