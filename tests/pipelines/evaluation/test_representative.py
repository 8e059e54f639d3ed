import numpy as np
import pytest
from scipy import stats

from core import rng
from data.interactions import Interactions, group
from pipelines.evaluation import representative as rep
from pipelines.evaluation.representative import Sample

ONE_DAY = 86_400_000


def test_critical_d_of_two_thousand_rows() -> None:
    """1,000 against 1,000 at α = .05 is .060736; here α is .01, and the quantile scales by √(ln 200 / ln 40)."""
    random = rng.stream(0, "ks")
    activity = random.poisson(5, 1_000)
    shift = rep.compare(Sample(activity, random.random(1_000)), Sample(activity, random.random(1_000)))[1]
    assert shift.critical == pytest.approx(0.060736 * np.sqrt(np.log(200) / np.log(40)), rel=1e-4)
    assert shift.effect < shift.critical
    assert shift.verdict == "no difference seen"


def test_cramers_v_of_independence_is_near_zero_and_of_a_mirror_one() -> None:
    assert rep.cramers_v(3.0, 1_000, 4) < 0.01
    assert rep.cramers_v(1_000.0, 1_000, 2) == pytest.approx(1.0)
    chi2 = stats.chi2_contingency([[30, 70], [60, 40]], correction=False).statistic
    phi = chi2 / 200
    assert rep.cramers_v(chi2, 200, 2) == pytest.approx(np.sqrt((phi - 1 / 199) / (1 - 1 / 199)))


def sample(random: np.random.Generator, n: int, shares: tuple[float, float], shift: float = 0.0, new: float = 0.1) -> Sample:
    return Sample(
        activity=random.poisson(5 + shift, n // 5),
        popularity=random.random(n) + shift,
        category=random.choice(2, n, p=shares).astype(np.int32),
        newcomer=random.random(n) < new,
    )


def verdicts(before: Sample, test: Sample) -> dict[str, str]:
    return {shift.what: shift.verdict for shift in rep.compare(before, test)}


def test_equal_samples_show_no_difference() -> None:
    random = rng.stream(1, "alike")
    assert set(verdicts(sample(random, 3_000, (0.5, 0.5)), sample(random, 3_000, (0.5, 0.5))).values()) == {
        "no difference seen"
    }


def test_every_kind_of_shift_is_named() -> None:
    random = rng.stream(2, "shifted")
    found = verdicts(sample(random, 3_000, (0.5, 0.5)), sample(random, 3_000, (0.95, 0.05), shift=5.0, new=0.3))
    assert found == {
        "viewers' activity": "very different",
        "popularity of videos": "very different",
        "categories": "very different",
        "new viewers": "somewhat different",
    }


def test_with_many_rows_a_real_but_tiny_difference_is_called_negligible() -> None:
    random = rng.stream(3, "tiny")
    before, test = sample(random, 200_000, (0.5, 0.5)), sample(random, 200_000, (0.52, 0.48))
    found = {shift.what: shift for shift in rep.compare(before, test)}["categories"]
    assert found.p < 1e-9
    assert found.verdict == "a real but negligible difference"
    assert rep.to_json([found])["verdict"] == found.verdict


def log(days: int = 40, newcomers_from: int = 40) -> Interactions:
    """Ten viewers a day; from one day on, new ones each day who watch only video 1."""
    rows = [(day % 5 * 10 + v, 0, day * ONE_DAY + v * ONE_DAY // 10) for day in range(days) for v in range(10)]
    rows += [
        (1_000 + day * 10 + v, 1, day * ONE_DAY + v * ONE_DAY // 10) for day in range(newcomers_from, days) for v in range(10)
    ]
    viewers, videos, at = np.array(rows, dtype=np.int64).T
    return group(viewers, videos.astype(np.int32), at, 2)


def test_windows_of_one_length_around_the_split() -> None:
    category = np.array([0, 1], dtype=np.int32)
    steady = rep.before_and_after(log(), 30 * ONE_DAY, category)
    assert {shift.what: shift.rows for shift in steady}["categories"] == (99, 100)
    assert {shift.severity for shift in steady} == {0}
    changed = {shift.what: shift for shift in rep.before_and_after(log(newcomers_from=30), 30 * ONE_DAY, category)}
    assert changed["new viewers"].before == 0.0
    assert changed["new viewers"].test == 0.5
    assert changed["categories"].verdict == "very different"


def test_two_files() -> None:
    """Held-out rows on videos that training hardly knows."""
    random = rng.stream(4, "files")
    train = group(np.repeat(np.arange(200), 10), random.integers(0, 5, 2_000).astype(np.int32), np.arange(2_000), 10)
    usual = rep.files(train, np.arange(200), random.integers(0, 5, 200).astype(np.int32))
    assert {shift.what: shift.verdict for shift in usual} == {
        "viewers' activity": "no difference seen",
        "popularity of videos": "no difference seen",
    }
    rare = rep.files(train, np.arange(200), np.full(200, -1, dtype=np.int32))
    assert {shift.what: shift.verdict for shift in rare}["popularity of videos"] == "very different"


def test_too_few_rows_say_so() -> None:
    random = rng.stream(5, "few")
    assert set(verdicts(sample(random, 20, (0.5, 0.5)), sample(random, 20, (0.5, 0.5))).values()) == {"too few rows to tell"}


def test_nothing_to_compare() -> None:
    empty = Sample(np.zeros(0, dtype=np.int64), np.zeros(0))
    assert rep.compare(empty, empty) == ()
    assert rep.to_json(())["verdict"] == "not known"
