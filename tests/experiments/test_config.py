import pytest

from core.errors import BadInput, ConfigError
from experiments import config
from experiments.config import AnalysisConfig, ArmConfig, ExperimentConfig, ExperimentsConfig, MetricConfig

FILE = """
holdout = 0.01

[[experiments]]
name = "ranker-v2"
layer = "ranking"
segment = [0.0, 0.5]
surfaces = ["home"]
overrides = { "42" = "treatment" }
arms = [{ name = "control", weight = 3 }, { name = "treatment", weight = 1, set = ["exploration.epsilon=0.1"] }]

[experiments.analysis]
days = 14
primary = { name = "watch_s" }
secondary = [{ name = "ctr", numerator = "clicks", denominator = "impressions" }]
guardrails = [{ name = "page_ms", better = "lower", margin = 0.02 }]
"""


def written(tmp_path, text):
    path = tmp_path / "experiments.toml"
    path.write_text(text)
    return path


def test_a_file_becomes_a_config(tmp_path):
    found = config.load(written(tmp_path, FILE)).named(None)
    assert found.shares == (0.75, 0.25)
    assert found.arms[1].set == ("exploration.epsilon=0.1",)
    assert found.analysis.secondary[0].columns == ("clicks", "impressions")
    assert found.analysis.guardrails[0].columns == ("page_ms",)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("holdout", "holdot", "did you mean 'holdout'"),
        ("days = 14", "days = 10", "whole weeks"),
        ("margin = 0.02", "margin = 0.0", "margin between 0 and 1"),
        ('"42" = "treatment"', '"42" = "treatmnt"', "wants a viewer id and one of control, treatment"),
        ("weight = 3", "weight = 0", "above 0"),
        ("[0.0, 0.5]", "[0.5, 0.5]", "segment"),
        ('name = "ctr"', 'name = "watch_s"', "repeated: watch_s"),
        ('name = "ranker-v2"', 'name = "ranker:v2"', "must be without"),
        ('better = "lower"', 'better = "less"', "'higher', 'lower'"),
        ('name = "ranker-v2"\n', "", "name"),
        ("holdout = 0.01", "holdout = ", "not TOML"),
        ("holdout = 0.01", "record = 1.5", "record must be between 0 and 1"),
        ('layer = "ranking"', 'interleaving = "team_draft"', "needs two, without weights"),
        ('layer = "ranking"', 'interleaving = "coins"', "'team_draft', 'balanced'"),
    ],
)
def test_what_cannot_work_is_refused_with_its_reason(tmp_path, old, new, says):
    with pytest.raises(ConfigError, match=says):
        config.load(written(tmp_path, FILE.replace(old, new)))


def test_a_missing_file_is_said_in_plain_words(tmp_path):
    with pytest.raises(BadInput, match="cannot read"):
        config.load(tmp_path / "none.toml")


def test_experiments_of_one_layer_may_not_meet():
    first, second = (ExperimentConfig(name, segment=segment) for name, segment in (("a", (0.0, 0.6)), ("b", (0.5, 1.0))))
    with pytest.raises(ConfigError, match="'a' and 'b' overlap"):
        ExperimentsConfig((second, first))
    ExperimentsConfig((first, ExperimentConfig("b", layer="other", segment=(0.5, 1.0))))


def test_of_several_one_must_be_named():
    several = ExperimentsConfig((ExperimentConfig("a", layer="x"), ExperimentConfig("b", layer="y")))
    assert several.named("b").name == "b"
    with pytest.raises(ConfigError, match="the file has: a, b"):
        several.named(None)


def test_one_arm_is_no_experiment():
    with pytest.raises(ConfigError, match="at least two"):
        ExperimentConfig("a", arms=(ArmConfig("control"),))
    with pytest.raises(ConfigError, match="alpha"):
        AnalysisConfig(primary=MetricConfig("clicks"), alpha=1.0)


def test_a_page_is_merged_once():
    duels = [ExperimentConfig(name, layer=name, interleaving="team_draft") for name in ("a", "b")]
    with pytest.raises(ConfigError, match="layers a and b both interleave"):
        ExperimentsConfig(tuple(duels))


def test_a_server_holds_what_arms_and_the_shadow_name():
    arms = (ArmConfig("control"), ArmConfig("new", release="candidate"))
    found = ExperimentsConfig((ExperimentConfig("e", arms),), shadow="b2")
    assert found.releases == ("candidate", "b2")
    assert ExperimentsConfig(shadow="candidate").releases == ("candidate",)
