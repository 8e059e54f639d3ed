import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.assignment import HOLDOUT, INTERLEAVED, NO_EXPERIMENT, OUTSIDE, Assigner, units
from experiments.config import ArmConfig, ExperimentConfig, ExperimentsConfig

VIEWERS = np.arange(100_000)
KNOWN = [0.4153780470691413, 0.5927237223499884, 0.36326506934585046, 0.6733880240415974]
ARMS = (ArmConfig("control", 3), ArmConfig("treatment", 1, ("exploration.epsilon=0.1",)))


def assigner(*experiments, **settings):
    return Assigner(ExperimentsConfig(experiments, **settings))


@pytest.mark.parametrize("ids", [VIEWERS, VIEWERS * 1024, VIEWERS + (1 << 62)], ids=["sequential", "strided", "hashed"])
def test_units_are_uniform(ids):
    assert stats.kstest(units("salt", ids), "uniform").pvalue > 1e-4
    counts = np.bincount((units("salt", ids) * 100).astype(int), minlength=100)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_different_salts_are_independent():
    cells = (units("a", VIEWERS) * 10).astype(int) * 10 + (units("b", VIEWERS) * 10).astype(int)
    assert stats.chi2_contingency(np.bincount(cells, minlength=100).reshape(10, 10)).pvalue > 1e-4


@given(st.integers(0, 2**63 - 1))
def test_a_viewer_alone_gets_what_a_batch_gives(viewer):
    batch = np.array([7, viewer, 9])
    assert units("salt", [viewer])[0] == units("salt", batch)[1]
    assert 0 <= units("salt", [viewer])[0] < 1


def test_known_units_never_change():
    """Viewers keep their arms across versions of this program."""
    assert units("salt", [0, 1, 42, 2**62]) == pytest.approx(KNOWN, abs=1e-15)


def test_weights_are_respected():
    arm = assigner(ExperimentConfig("e", ARMS)).assign(VIEWERS)["e"].arm_B
    assert stats.chisquare(np.bincount(arm), np.array([0.75, 0.25]) * len(VIEWERS)).pvalue > 1e-4


def test_layers_are_independent_and_segments_disjoint():
    first, second = ExperimentConfig("a", layer="x", segment=(0.0, 0.4)), ExperimentConfig("b", layer="x", segment=(0.4, 1.0))
    found = assigner(first, second, ExperimentConfig("c", layer="y")).assign(VIEWERS)
    inside = {name: assigned.arm_B != OUTSIDE for name, assigned in found.items()}
    assert not (inside["a"] & inside["b"]).any()
    assert inside["a"].mean() == pytest.approx(0.4, abs=0.01)
    assert inside["c"].all()
    table = np.histogram2d(found["a"].arm_B[inside["a"]], found["c"].arm_B[inside["a"]], bins=2)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_growing_a_segment_moves_nobody():
    small, large = (assigner(ExperimentConfig("e", segment=(0.0, end))).assign(VIEWERS)["e"].arm_B for end in (0.1, 0.9))
    assert (small[small != OUTSIDE] == large[small != OUTSIDE]).all()
    assert (large != OUTSIDE).sum() > (small != OUTSIDE).sum()


def test_who_is_remembered_keeps_their_arm_when_weights_change():
    before = assigner(ExperimentConfig("e", ARMS)).assign(VIEWERS)["e"].arm_B
    changed = assigner(ExperimentConfig("e"))
    assert (changed.assign(VIEWERS)["e"].arm_B != before).any()
    assert (changed.assign(VIEWERS, {"e": before})["e"].arm_B == before).all()


def test_overrides_show_an_arm_and_are_never_counted():
    decided = assigner(ExperimentConfig("e", ARMS, segment=(0.0, 0.001), overrides={"5": "treatment"}))
    assert decided.assign([5])["e"].arm_B.tolist() == [1]
    assert not decided.assign([5])["e"].exposed().any()
    treatment = decided.treat([5])[0]
    assert (treatment.label, treatment.set) == (NO_EXPERIMENT, ("exploration.epsilon=0.1",))


def test_held_out_viewers_are_in_no_experiment():
    decided = assigner(ExperimentConfig("e", overrides={"999999999": "control"}), holdout=0.05)
    out = decided.held_out(VIEWERS)
    assert out.mean() == pytest.approx(0.05, abs=0.003)
    assert (decided.assign(VIEWERS)["e"].arm_B[out] == OUTSIDE).all()
    assert {t.label for t in decided.treat(VIEWERS[out][:50])} == {HOLDOUT}


def test_an_override_shows_an_arm_to_somebody_held_out_too():
    out = VIEWERS[assigner(holdout=0.05).held_out(VIEWERS)][:2].tolist()
    decided = assigner(ExperimentConfig("e", ARMS, overrides={str(out[0]): "treatment"}), holdout=0.05)
    looked, other = decided.treat(out)
    assert (looked.label, looked.set) == (NO_EXPERIMENT, ("exploration.epsilon=0.1",))
    assert other.label == HOLDOUT


def test_exposure_only_where_the_arms_differ():
    decided = assigner(ExperimentConfig("e", ARMS, surfaces=("home",)), ExperimentConfig("f", layer="other"))
    home, rail = decided.treat(VIEWERS[:200], "home"), decided.treat(VIEWERS[:200], "up_next")
    assert {t.label for t in rail} == {"f:control", "f:treatment"}
    assert {t.label for t in home} == {f"e:{a}+f:{b}" for a in ("control", "treatment") for b in ("control", "treatment")}
    assert not any(t.set for t in rail)
    assert [bool(t.set) for t in home] == ["e:treatment" in t.label for t in home]


def test_without_experiments_everybody_is_control():
    assert {t.label for t in assigner().treat([1, 2])} == {NO_EXPERIMENT}


def test_interleaving_merges_on_every_page_of_the_segment_and_an_override_shows_one_side():
    arms = (ArmConfig("control"), ArmConfig("treatment", set=ARMS[1].set))
    duel = ExperimentConfig("duel", arms, segment=(0.0, 0.5), interleaving="team_draft", overrides={"5": "treatment"})
    decided = assigner(duel, ExperimentConfig("f", layer="other"))
    treatments = decided.treat(VIEWERS[:400])
    inside = [t for t in treatments if t.duel is duel]
    assert 150 < len(inside) < 250
    assert {t.label for t in inside} == {f"duel:{INTERLEAVED}+f:{arm}" for arm in ("control", "treatment")}
    assert not any(t.set for t in inside)  # the sides' own overrides are added when both are asked
    alone = decided.treat([5])[0]
    assert (alone.duel, alone.set) == (None, ("exploration.epsilon=0.1",))
    assert alone.label in ("f:control", "f:treatment")


def test_viewers_keep_the_arm_they_have_met():
    drawn = {
        int(v): a
        for v, a in zip(VIEWERS[:50], assigner(ExperimentConfig("e", ARMS)).assign(VIEWERS[:50])["e"].arm_B, strict=True)
    }
    other = {viewer: ("control", "treatment")[1 - arm] for viewer, arm in drawn.items()}
    decided = Assigner(ExperimentsConfig((ExperimentConfig("e", ARMS),)), {"e": other})
    assert [t.label for t in decided.treat(list(other))] == [f"e:{arm}" for arm in other.values()]
