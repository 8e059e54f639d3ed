import numpy as np
import pytest

from pipelines.rated import log as rated_log
from pipelines.rated.features import RatedFeatures, lagged
from tests.pipelines.rated import made as rated


@pytest.fixture
def log(tmp_path):
    return rated_log.read(rated.write(tmp_path, rated.frame(400), train_share=1.0)[0])


def column(table, name):
    return table.values_QF[:, table.names.index(name)]


def relabelled(log, rows):
    """The same log with other labels in some rows."""
    labels = {head: values.copy() for head, values in log.labels.items()}
    for values in labels.values():
        values[rows] = 1 - np.minimum(values[rows], 1)
    return rated_log.RatedLog(log.viewer_ids, log.video_ids, log.at, log.duration_s, log.contexts, labels, log.omitted)


def test_no_feature_knows_a_label_from_its_cut_on(log):
    """Other labels from row 200 on change nothing for a cut there, whatever the row that is asked about."""
    cut = np.full(len(log), log.at[200])
    other = relabelled(log, np.arange(200, 400))
    before, after = (RatedFeatures(each, None).table(each, cut).values_QF for each in (log, other))
    assert np.array_equal(before, after, equal_nan=True)
    seen = RatedFeatures(relabelled(log, np.arange(200)), None).table(log, cut).values_QF
    assert not np.array_equal(before, seen, equal_nan=True), "labels before the cut do count"


def test_no_feature_knows_its_own_row(log):
    own = RatedFeatures(log, None).table(log, log.at)
    for row in (50, 399):
        changed = RatedFeatures(relabelled(log, np.array([row])), None).table(log, log.at)
        assert np.array_equal(own.values_QF[row], changed.values_QF[row], equal_nan=True)


def test_counts_and_rates_by_hand(log):
    cut = np.full(len(log), log.at[300])
    table = RatedFeatures(log, None).table(log, cut)
    past, row = np.arange(300), 350
    mine = past[log.viewer_ids[past] == log.viewer_ids[row]]
    assert column(table, "rows_viewer")[row] == pytest.approx(np.log1p(len(mine)))
    base = (log.labels["click"][past].sum() + 0.5) / 301
    rate = (log.labels["click"][mine].sum() + 10 * base) / (len(mine) + 10)
    assert column(table, "click_viewer")[row] == pytest.approx(rate, rel=1e-5)
    hours = (log.at[row] - log.at[mine[-1]]) / 3_600_000
    assert column(table, "hours_since_viewer")[row] == pytest.approx(np.log1p(hours), rel=1e-5)


def test_strangers_get_the_logs_rates(log):
    stranger = log.take(np.arange(5))
    stranger.viewer_ids[:] = 1
    stranger.video_ids[:] = 1
    table = RatedFeatures(log, None).table(stranger, np.full(5, log.at[-1] + 1))
    assert (column(table, "rows_viewer") == 0).all()
    assert np.isnan(column(table, "hours_since_video")).all()
    base = (log.labels["long_view"].sum() + 0.5) / 401
    assert column(table, "long_view_video") == pytest.approx(base, rel=1e-5)


def test_a_context_counts_where_both_logs_have_it(log):
    tabs = rated_log.RatedLog(
        log.viewer_ids, log.video_ids, log.at, log.duration_s, {"tab": log.viewer_ids % 2}, log.labels, log.omitted
    )
    features = RatedFeatures(tabs, None)
    cut = np.full(len(log), log.at[-1] + 1)
    both, one = features.table(tabs, cut), features.table(log, cut)
    assert both.names == one.names
    assert column(both, "rows_tab").min() > 0
    assert (column(one, "rows_tab") == 0).all()


def test_attributes_belong_to_their_viewer(log):
    attributes = rated_log.Attributes(np.array([1_000, 1_003]), ("age",), np.array([[20.0], [70.0]]))
    ages = column(RatedFeatures(log, attributes).table(log, log.at), "viewer.age")
    assert (ages[log.viewer_ids == 1_003] == 70).all()
    assert np.isnan(ages[log.viewer_ids == 1_001]).all()


def test_pasts_are_of_random_age_and_early_rows_are_left_out():
    at = np.arange(0, 1_000_000, 100)
    rows, cut = lagged(at, 0.25, np.random.default_rng(0))
    age = (at[rows] - cut) / at[-1]
    assert 0 <= age.min() < 0.01
    assert 0.24 < age.max() <= 0.25
    assert cut.min() >= 0.1 * at[-1] - 1
