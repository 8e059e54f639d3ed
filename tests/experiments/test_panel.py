import numpy as np
import pytest

from core.errors import BadInput, SchemaMismatch
from experiments.config import MetricConfig
from experiments.panel import Panel

ROWS = {
    "viewer_ids": [1, 1, 2, 2, 3, 9],
    "days": [10, 11, 11, 12, 12, 10],
    "arms": [None, "control", "treatment", "treatment", "control", None],
    "columns": {"clicks": [5, 1, 2, 3, 4, 7], "views": [10, 10, 10, 10, 20, 10]},
    "arm_names": ("control", "treatment"),
}


def test_rows_become_viewers():
    found = Panel.of(**ROWS)
    assert found.counts.tolist() == [2, 1]
    assert found.during_N.tolist() == [False, True, True, True, True]
    control, treatment = found.values(MetricConfig("clicks"))
    assert (control.tolist(), treatment.tolist()) == ([1, 4], [5])
    assert [each.tolist() for each in found.before(MetricConfig("clicks"))] == [[5, 0], [0]]


def test_a_ratio_is_the_ratio_of_sums():
    control, treatment = Panel.of(**ROWS).values(MetricConfig("ctr", "clicks", "views"))
    assert (control.mean(), treatment.mean()) == pytest.approx((5 / 30, 5 / 20))


def test_without_earlier_rows_there_is_no_before():
    rows = ROWS | {"arms": ["control", "control", "treatment", "treatment", "control", "control"]}
    assert Panel.of(**rows).before(MetricConfig("clicks")) is None


def test_viewers_in_two_arms_are_dropped_and_counted():
    found = Panel.of(
        **ROWS | {"viewer_ids": [1, 1, 2, 2, 2, 3], "arms": ["control", "control", *["treatment"] * 2, "control", "treatment"]}
    )
    assert (found.mixed, found.counts.tolist()) == (1, [1, 1])
    assert found.column("clicks").tolist() == [5, 1, 7]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"arms": [None, "contrl", *["treatment"] * 4]}, "arm 'contrl', the experiment has control, treatment"),
        ({"arms": [None, *["control"] * 5]}, "no viewer was exposed to arm 'treatment'"),
        ({"columns": {"clicks": [np.nan] * 6}}, "'clicks' has values that are not finite"),
    ],
)
def test_rows_that_do_not_fit_are_refused(change, says):
    with pytest.raises(BadInput, match=says):
        Panel.of(**ROWS | change)


def test_a_missing_column_names_the_nearest():
    with pytest.raises(SchemaMismatch, match="did you mean 'clicks'"):
        Panel.of(**ROWS).values(MetricConfig("click"))
