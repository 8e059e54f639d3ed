from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit

from core import metrics
from core.errors import BadInput
from ranking import batches, train
from ranking.batches import RankingData
from tests.ranking import planted
from tests.ranking.conftest import CONFIG

QUICK = replace(CONFIG, max_epochs=1)
GOLDEN = [5.3002753257751465, 5.094346046447754, 4.9041056632995605, 5.12818717956543]


def fresh(trained, num=20_000):
    part, batch = planted.impressions(trained.truth, num, seed=77)
    return batch, trained.scorer.score(batch, part.affinity[:, None])


def true_click(trained, batch):
    """At the mix of positions that was logged."""
    mix = np.bincount(trained.data.impressions.position, minlength=6) / len(trained.data.impressions)
    return expit(trained.truth.click_logit(batch)[..., None] + planted.BIAS) @ mix


def correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


def test_the_position_curve_is_recovered(trained):
    assert len(trained.ranker.position_curve) == 6
    assert np.abs(np.array(trained.ranker.position_curve) - planted.BIAS).max() < 0.35


def test_click_probability_does_not_inherit_the_position_of_good_videos(trained):
    """Quality decided the slot; had the head absorbed the slot, its log-odds would be too steep in quality."""
    batch, scores = fresh(trained)
    truth = true_click(trained, batch)
    assert abs(float((scores["click"] - truth).mean())) < 0.02
    excess = np.log(scores["click"] / (1 - scores["click"])) - np.log(truth / (1 - truth))
    slope = np.polyfit(trained.truth.quality[batch.video_BK].ravel(), excess.ravel(), 1)[0]
    assert abs(slope) < 0.25, "the confounding alone would add 1.5"
    assert correlation(scores["click"], truth) > 0.95


def test_without_the_position_tower_the_same_head_is_biased(trained):
    part, truth = trained.data.impressions, trained.truth
    batch = part.features(np.arange(len(part)))
    quality, logits = truth.quality[batch.video_BK[:, 0]], truth.click_logit(batch)[:, 0]

    def excess_slope(ranker):
        rows = batches.impressions(part, truth.schema, truth.videos, ranker.columns)
        found = train.predict(ranker.model, rows, np.arange(len(rows)))[:, 0, ranker.heads.index("click")].numpy()
        return np.polyfit(quality, found - logits, 1)[0]

    hidden = replace(part, position=np.full(len(part), -1, dtype=np.int32))
    blind = train.train(replace(CONFIG, max_epochs=2), truth.schema, truth.videos, RankingData(hidden))
    assert blind.position_curve == ()
    assert excess_slope(blind) > excess_slope(trained.ranker) + 0.5


def test_cross_features_and_unseen_effects_are_learned(trained):
    batch, scores = fresh(trained)
    logits = trained.truth.click_logit(batch)
    assert correlation(scores["relevance"], logits) > 0.85
    videos, hidden = batch.video_BK.ravel(), trained.truth.hidden
    rest = np.log(scores["click"] / (1 - scores["click"])).ravel() - logits.ravel() + hidden[videos]
    by_video = np.bincount(videos, rest, minlength=len(hidden)) / np.bincount(videos, minlength=len(hidden))
    assert correlation(by_video, hidden) > 0.6, "the hidden effect of a video needs the table"


def test_watch_and_like_are_unconditional_and_add_up(trained):
    batch, scores = fresh(trained)
    click = true_click(trained, batch)
    watch = click * trained.truth.watch_mean(batch)
    like = click * expit(trained.truth.like_logit(batch))[:, None]
    assert correlation(scores["watch"], watch) > 0.93
    assert scores["watch"].mean() == pytest.approx(watch.mean(), rel=0.1)
    assert correlation(scores["like"], like) > 0.9
    assert scores["like"].mean() == pytest.approx(like.mean(), rel=0.15)
    assert (scores["like"] <= scores["click"]).all()


def test_click_is_calibrated_and_ranks_almost_as_well_as_truth(trained):
    part, batch = planted.impressions(trained.truth, 20_000, seed=5, confounded=False)
    click = trained.scorer.score(batch, part.affinity[:, None])["click"].ravel()
    logits = trained.truth.click_logit(batch).ravel()
    assert metrics.auc(part.clicked, click) > metrics.auc(part.clicked, logits) - 0.02
    figures = trained.ranker.metrics["click"]
    assert figures["ece_after"] < 0.03
    assert figures["rows"] == 3_000


def test_the_list_head_beats_affinity(trained):
    figures = trained.ranker.metrics["relevance"]
    assert figures["mrr"] > figures["mrr_affinity"] + 0.15


def test_loss_sequence_is_golden():
    truth = planted.world(60)
    losses = train.train(QUICK, truth.schema, truth.videos, planted.data(truth, 1_500)).losses
    assert losses[:4] == pytest.approx(GOLDEN, rel=1e-4)
    again = train.train(QUICK, truth.schema, truth.videos, planted.data(truth, 1_500)).losses
    assert again == losses
    other = train.train(replace(QUICK, seed=1), truth.schema, truth.videos, planted.data(truth, 1_500)).losses
    assert other != losses


def test_a_log_without_impressions_trains_lists_alone():
    truth = planted.world(60)
    steps = []
    data = RankingData(lists=planted.lists(truth, 600))
    ranker = train.train(QUICK, truth.schema, truth.videos, data, on_step=lambda *step: steps.append(step))
    assert ranker.heads == ("like", "relevance")
    assert ranker.position_curve == ()
    assert [step for step, _, _ in steps] == list(range(1, 18)), "540 training lists in slices of at most 32"
    assert {most for _, most, _ in steps} == {17}


def test_a_log_without_lists_and_labels_trains_click_alone():
    truth = planted.world(60)
    part, _ = planted.impressions(truth, 800)
    unknown = np.full(800, np.nan, dtype=np.float32)
    part = replace(part, watch_s=unknown, liked=unknown)
    assert train.train(QUICK, truth.schema, truth.videos, RankingData(part)).heads == ("click",)


def test_videos_without_a_past_have_a_zero_vector():
    truth = planted.world(60)
    part, batch = planted.impressions(truth, 600)
    batch.video_BK[batch.video_BK == 7] = 8
    batch.viewer.history_BL[batch.viewer.history_BL == 7] = -1
    weight = train.train(QUICK, truth.schema, truth.videos, RankingData(part)).model.embedder.video.weight
    assert not weight[7].any()
    assert weight[8].any()


def test_large_catalogues_train_too():
    """From 20,000 rows the video table has the fused optimiser."""
    truth = planted.world(20_000)
    ranker = train.train(QUICK, truth.schema, truth.videos, planted.data(truth, 1_500))
    assert np.mean(ranker.losses[-2:]) < np.mean(ranker.losses[:2])
    assert ranker.model.embedder.video.weight.any(dim=1).sum() > 1_000


def test_unusable_data_is_refused_in_plain_words():
    truth = planted.world(60)
    part, batch = planted.impressions(truth, 600)

    def attempt(data):
        train.train(QUICK, truth.schema, truth.videos, data)

    with pytest.raises(BadInput, match="nothing to train"):
        attempt(RankingData())
    with pytest.raises(BadInput, match="no head has 20"):
        attempt(RankingData(replace(part, clicked=np.zeros(600, dtype=np.float32))))
    lists = planted.lists(truth, 100)
    lists.mask[3, 0] = False
    with pytest.raises(BadInput, match="column 0"):
        attempt(RankingData(lists=lists))
    with pytest.raises(BadInput, match="must agree"):
        attempt(RankingData(lists=replace(lists, mask=lists.mask[:, :5] | True, affinity=lists.affinity[:, :5])))
    batch.viewer.codes_BC[0, 0] = 99
    with pytest.raises(BadInput, match="vocabulary"):
        attempt(RankingData(part))


def test_padding_of_lists_changes_nothing():
    truth = planted.world(60)
    lists = planted.lists(truth, 600, width=6)
    lists.mask[:, 4:] = False
    ranker = train.train(QUICK, truth.schema, truth.videos, RankingData(lists=lists))
    lists.affinity[:, 4:] = 1e3
    assert train.train(QUICK, truth.schema, truth.videos, RankingData(lists=lists)).losses == ranker.losses


def test_nothing_is_held_back_on_request():
    truth = planted.world(60)
    part, batch = planted.impressions(truth, 1_024)
    config = replace(QUICK, holdout=0.0, max_epochs=2, dropout=0.5, average=0.9)
    ranker = train.train(config, truth.schema, truth.videos, RankingData(part))
    assert len(ranker.losses) == 2 * 4, "all rows, all epochs, 256 at a time"
    assert (ranker.curves, ranker.metrics, ranker.watch_scale) == ({}, {}, 1.0)
    first, second = (train.raw_scores(ranker, part, truth.videos) for _ in range(2))
    assert (first["click"] == second["click"]).all(), "dropout is over"
    assert correlation(first["click"], truth.click_logit(batch)) > 0.2


def test_the_mean_of_the_weights_forgets_where_training_began():
    class Model:
        value = torch.zeros(1)

        def weights(self):
            return {"w": self.value.clone()}

        def restore(self, weights):
            self.value = weights["w"].clone()

        def eval(self):
            pass

    model = Model()
    mean = train.Mean(model, 0.9)
    for step in range(1, 201):
        model.value = torch.full((1,), float(step))
        mean.add()
    with mean.in_place():
        assert model.value.item() == pytest.approx(200 - 9, abs=0.1), "mean age of the steps is 0.9 / (1 - 0.9)"
    assert model.value.item() == 200
