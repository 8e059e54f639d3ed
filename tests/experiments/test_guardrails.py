import pytest

from core.inference import Interval
from experiments.config import MetricConfig
from experiments.effects import Sample
from experiments.guardrails import Safety, contrast, judge

HIGHER, LOWER = MetricConfig("retention", margin=0.02), MetricConfig("page_ms", better="lower", margin=0.02)


def sample(mean, deviation=1.0, count=100_000):
    return Sample(mean, deviation**2, count)


@pytest.mark.parametrize(
    ("metric", "treatment", "safety"),
    [
        (HIGHER, 100.0, Safety.SAFE), (HIGHER, 98.5, Safety.SAFE), (HIGHER, 97.0, Safety.HARMED),
        (HIGHER, 98.0, Safety.UNCLEAR),
        (LOWER, 100.0, Safety.SAFE), (LOWER, 101.5, Safety.SAFE), (LOWER, 103.0, Safety.HARMED),
        (LOWER, 102.0, Safety.UNCLEAR),
    ],
)  # fmt: skip
def test_the_margin_decides(metric, treatment, safety):
    assert judge(contrast(metric, sample(100.0), sample(treatment)).interval()) is safety


def test_little_data_is_no_proof_of_safety():
    few = sample(100.0, 20.0, 50)
    assert judge(contrast(HIGHER, few, few).interval()) is Safety.UNCLEAR


def test_a_control_of_zero_needs_no_division():
    nothing, something = Sample(0.0, 0.0, 1_000), Sample(0.01, 0.01, 1_000)
    assert judge(contrast(LOWER, nothing, nothing).interval()) is Safety.SAFE
    assert judge(contrast(LOWER, nothing, something).interval()) is Safety.HARMED


def test_bounds():
    assert judge(Interval(0, -1, -0.1)) is Safety.HARMED
    assert judge(Interval(0, 0.0, 1)) is Safety.SAFE
