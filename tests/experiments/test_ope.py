import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from core.errors import BadInput, SchemaMismatch
from experiments import open_bandit
from experiments.ope import evaluate_files, evaluate_pages

HEADER = "timestamp,item_id,position,click,propensity_score,user_feature_0\n"


def write(path, rows, header=HEADER):
    path.write_text(header + "".join(f"2019-11-24,{','.join(map(str, row))},x\n" for row in rows))
    return path


def log_of(path, share, num_rows=6_000, seed=0):
    """Rows of a policy with these probabilities per video at two positions; click rates .1, .2, .3, halved at position 2."""
    random = np.random.default_rng(seed)
    video, position = random.choice(3, num_rows, p=share), random.integers(1, 3, num_rows)
    click = random.random(num_rows) < np.array([0.1, 0.2, 0.3])[video] / position
    return write(path, zip(video + 70, position, click.astype(int), np.array(share)[video], strict=True))


@pytest.fixture
def bandit(real_data):
    folder = real_data / "open-bandit"
    if not folder.is_dir():
        pytest.skip("no open-bandit/ among the real logs")
    return folder


def test_open_bandit_random_to_thompson(bandit):
    report = evaluate_files(bandit / "random", str(bandit / "bts" / "men.csv"), draws=300)
    assert report.estimates["ips"].mean == pytest.approx(0.005656266701, abs=1e-12)
    assert report.estimates["snips"].mean == pytest.approx(0.005739864702, abs=1e-12)
    assert report.check.ess == pytest.approx(2869.28, abs=0.005)
    assert report.check.mean_weight == pytest.approx(0.985436, abs=5e-7)
    assert report.check.max_weight == pytest.approx(7.4843, abs=5e-5)
    assert report.verdict == "ok"
    assert report.estimates["dr"].low < 0.0069 < report.estimates["dr"].high, "what Thompson sampling really earned"


def test_open_bandit_thompson_to_uniform(bandit):
    report = evaluate_files(bandit / "bts", "uniform", draws=300)
    assert report.estimates["ips"].mean == pytest.approx(0.003008626327, abs=1e-12)
    assert report.estimates["snips"].mean == pytest.approx(0.003189423162, abs=1e-12)
    assert report.check.ess == pytest.approx(655.71, abs=0.005)
    assert report.check.mean_weight == pytest.approx(0.943314, abs=5e-7)
    assert report.check.max_weight == pytest.approx(178.25, abs=0.005)
    assert report.estimates["dr"].low < 0.0046 < report.estimates["dr"].high, "what the uniform policy really earned"


def test_open_bandit_uniform_against_itself(bandit):
    report = evaluate_files(bandit / "random", "uniform", draws=300)
    assert report.estimates["snips"].mean == pytest.approx(0.0046, abs=1e-12)
    assert report.check.mean_weight == 1.0
    assert report.check.ess == 10_000


def test_the_truth_is_found_from_another_policys_log(tmp_path):
    behaviour, target = log_of(tmp_path / "a.csv", [0.5, 0.3, 0.2]), log_of(tmp_path / "b.csv", [0.1, 0.3, 0.6], 60_000, 1)
    report = evaluate_files(behaviour, str(target), draws=300)
    truth = (0.1 * 0.1 + 0.3 * 0.2 + 0.6 * 0.3) * 0.75
    assert report.verdict == "ok"
    for name in ("ips", "snips", "dr", "sndr", "switch_dr", "clipped"):
        assert report.estimates[name].low < truth < report.estimates[name].high
    assert report.estimates["dm"].mean == pytest.approx(truth, abs=0.02)
    assert report.behaviour.mean == pytest.approx((0.5 * 0.1 + 0.3 * 0.2 + 0.2 * 0.3) * 0.75, abs=0.015)


def test_pages_by_hand():
    """Weights of slots multiply down the page: RIPS ½·(.5·1 + 2·½·1), SIPS ½·(1·1 + 1·1), slot by slot normalised .2 + .5."""
    reward, weight = np.tile([[1.0, 0.0], [0.0, 1.0]], (5, 1)), np.tile([[0.5, 2.0], [2.0, 0.5]], (5, 1))
    report = evaluate_pages(reward, weight, draws=100)
    assert {name: each.mean for name, each in report.estimates.items()} == pytest.approx(
        {"rips": 0.75, "sips": 1, "snrips": 0.7}
    )
    assert (report.behaviour.mean, report.check.mean_weight, report.verdict) == (1.0, 1.0, "ok")
    found = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert (found["estimator"], found["rips"], found["unseen_share"]) == ("rips", 0.75, None)
    assert evaluate_pages(reward, weight / 3, draws=100).verdict == "refused"


def test_videos_that_the_log_never_showed_are_missing_from_the_mean_weight(tmp_path):
    behaviour = write(tmp_path / "a.csv", [(i % 2, 1, i % 3 == 0, 0.5) for i in range(1_000)], HEADER)
    behaviour.write_text(behaviour.read_text().replace("True", "1").replace("False", "0"))
    target = write(tmp_path / "b.csv", [(video, 1, 0, 1) for video in (0, 1, 2, 2)])
    report = evaluate_files(behaviour, str(target), draws=100)
    assert report.unseen_share == pytest.approx(0.5)
    assert report.check.mean_weight == pytest.approx(0.5)
    assert report.verdict == "refused"
    assert "the mean weight 0.500" in report.reason


def test_no_overlap_refuses_and_still_writes_valid_json(tmp_path):
    behaviour = write(tmp_path / "a.csv", [(1, 1, 1, 0.5), (1, 1, 0, 0.5)])
    target = write(tmp_path / "b.csv", [(2, 1, 0, 1)])
    done = CliRunner().invoke(
        app, ["ope", "--behaviour", str(behaviour), "--target", str(target), "--json", str(tmp_path / "o.json")]
    )
    found = json.loads((tmp_path / "o.json").read_text())
    assert done.exit_code == 0, done.output
    assert found["verdict"] == "refused"
    assert "no logged row" in found["reason"]
    assert (found["ips"], found["snips"], found["ess"]) == (0.0, None, 0.0)


def test_the_command_reports_what_the_function_found(tmp_path):
    behaviour = log_of(tmp_path / "a.csv", [0.5, 0.3, 0.2])
    arguments = [
        "ope",
        "--behaviour",
        str(behaviour),
        "--target",
        "uniform",
        "--draws",
        "200",
        "--json",
        str(tmp_path / "o.json"),
    ]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    found, report = json.loads((tmp_path / "o.json").read_text()), evaluate_files(behaviour, "uniform", draws=200)
    assert found == json.loads(json.dumps(report.to_json()))
    assert {"verdict", "reason", "ips", "snips", "dr", "ess", "mean_weight", "max_weight", "interval"} <= set(found)
    assert found["estimator"] == "dr"
    assert found["interval"][0] < found["dr"] < found["interval"][1]
    assert found["intervals"]["dm"] == [None, None]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((1, 1, 0, 0), "propensity_score are unusable .line 3: '0'.; it must be above 0"),
        ((1, 1, 0, 1e-300), "propensity_score are unusable .line 3: '1e-300'.; it must be above 0"),
        ((1, 1, 0, 1.5), "propensity_score are unusable .line 3: '1.5'.; it must be above 0 and at most 1"),
        ((1, 1, 0, ""), "propensity_score are unusable .line 3: ''.; it must be a number"),
        ((1, 1, 0, "nan"), "it must be a number"),
        ((1, 1, 2, 0.5), "click are unusable .line 3: '2'.; it must be 0 or 1"),
        (("a", 1, 0, 0.5), "item_id are unusable .line 3: 'a'.; it must be a whole number"),
        ((1, 1.5, 0, 0.5), "position are unusable .line 3: '1.5'.; it must be a whole number"),
        ((1, 1, 0), "broken rows; line 3: 5 fields where 6 belong"),
    ],
)
def test_values_that_cannot_be_are_named_with_their_line(tmp_path, row, words):
    path = write(tmp_path / "a.csv", [(1, 1, 0, 0.5), row])
    with pytest.raises(BadInput, match=words):
        open_bandit.read(path)


def test_a_missing_column_is_named(tmp_path):
    path = write(tmp_path / "a.csv", [(1, 1, 0, 0.5)], HEADER.replace("propensity_score", "pscore"))
    with pytest.raises(SchemaMismatch, match="no column 'propensity_score'"):
        open_bandit.read(path)


def test_files_that_are_not_there_or_hold_nothing(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        open_bandit.read(tmp_path / "none.csv")
    with pytest.raises(BadInput, match="is empty"):
        open_bandit.read(write(tmp_path / "a.csv", [], ""))
    with pytest.raises(BadInput, match="a header but no rows"):
        open_bandit.read(write(tmp_path / "a.csv", []))
    with pytest.raises(BadInput, match="at least two"):
        evaluate_files(write(tmp_path / "a.csv", [(1, 1, 0, 0.5)]), "uniform")


def test_a_folder_stands_for_the_one_log_in_it(tmp_path):
    write(tmp_path / "men.csv", [(1, 1, 0, 0.5)])
    write(tmp_path / "item_context.csv", [])
    assert len(open_bandit.read(tmp_path)) == 1
    write(tmp_path / "women.csv", [(1, 1, 0, 0.5)])
    with pytest.raises(BadInput, match=r"exactly one log.*men.csv, women.csv"):
        open_bandit.read(tmp_path)


def test_a_target_must_cover_the_positions(tmp_path):
    behaviour, target = write(tmp_path / "a.csv", [(1, 1, 0, 1), (1, 2, 0, 1)]), write(tmp_path / "b.csv", [(1, 1, 0, 1)])
    with pytest.raises(BadInput, match="no row in position 2"):
        evaluate_files(behaviour, str(target))
