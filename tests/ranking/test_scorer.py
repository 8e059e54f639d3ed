import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import BadInput, ReleaseRefused
from ranking import layout as lay
from ranking.batches import Inputs
from ranking.scorer import Scorer
from tests.ranking import planted


def request_for(trained, shape, seed=0):
    rng = np.random.default_rng(seed)
    batch = trained.truth.batch(rng, rng.integers(0, len(trained.truth.videos), size=shape))
    return batch, rng.normal(scale=0.2, size=shape).astype(np.float32)


def torch_logits(trained, batch, affinity):
    columns, videos = trained.ranker.columns, trained.truth.videos
    inputs = Inputs(
        viewer_numbers_BF=torch.from_numpy(batch.viewer.dense_BF),
        viewer_codes_BC=torch.from_numpy(lay.viewer_codes(batch, columns)),
        history_BL=torch.from_numpy(batch.viewer.history_BL),
        candidate_numbers_BKF=torch.from_numpy(lay.candidate_numbers(batch, affinity, videos)),
        candidate_codes_BKC=torch.from_numpy(lay.candidate_codes(batch, videos, columns)),
        video_BK=torch.from_numpy(batch.video_BK),
    )
    with torch.no_grad():
        return trained.ranker.model(inputs).numpy()


@pytest.mark.parametrize("shape", [(1, 500), (7, 20), (3, 1), (1, 1)])
def test_exported_network_equals_torch(trained, shape):
    batch, affinity = request_for(trained, shape)
    expected = torch_logits(trained, batch, affinity)
    np.testing.assert_allclose(trained.scorer.logits(batch, affinity), expected, rtol=1e-5, atol=1e-5)


def test_scores_have_heads_shapes_and_ranges(trained):
    batch, affinity = request_for(trained, (4, 30))
    scores = trained.scorer.score(batch, affinity)
    assert trained.scorer.heads == ("click", "watch", "like", "relevance")
    assert set(scores) == set(trained.scorer.heads)
    assert all(score.shape == (4, 30) and score.dtype == np.float32 for score in scores.values())
    assert ((scores["click"] > 0) & (scores["click"] < 1)).all()
    assert (scores["watch"] >= 0).all()


def test_scores_do_not_depend_on_the_company(trained):
    batch, affinity = request_for(trained, (3, 40))
    whole = trained.scorer.score(batch, affinity)
    second = planted.take(batch, np.array([1]))
    part = replace(
        second,
        video_BK=second.video_BK[:, 5:9],
        video_dense_BKF=second.video_dense_BKF[:, 5:9],
        cross_dense_BKF=second.cross_dense_BKF[:, 5:9],
        cross_codes_BKC=second.cross_codes_BKC[:, 5:9],
    )
    for head, score in trained.scorer.score(part, affinity[1:2, 5:9]).items():
        np.testing.assert_allclose(score, whole[head][1:2, 5:9], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 0), (0, 5), (0, 0)])
def test_no_candidates_or_no_requests(trained, shape):
    batch, affinity = request_for(trained, (1, 5))
    rows, columns = slice(0, shape[0]), slice(0, shape[1])
    batch = planted.take(batch, np.arange(shape[0]))
    batch = replace(
        batch,
        video_BK=batch.video_BK[:, columns],
        video_dense_BKF=batch.video_dense_BKF[:, columns],
        cross_dense_BKF=batch.cross_dense_BKF[:, columns],
        cross_codes_BKC=batch.cross_codes_BKC[:, columns],
    )
    scores = trained.scorer.score(batch, affinity[rows, columns])
    assert all(score.shape == shape for score in scores.values())


def test_a_missing_number_counts_as_average(trained):
    batch, affinity = request_for(trained, (2, 10))
    mean = trained.ranker.model.network.candidate_mean.numpy()
    average = np.full_like(affinity, mean[0])
    missing = trained.scorer.score(batch, np.full_like(affinity, np.nan))
    for head, score in trained.scorer.score(batch, average).items():
        np.testing.assert_allclose(missing[head], score, rtol=1e-5)


def test_outliers_are_clipped(trained):
    batch, affinity = request_for(trained, (1, 10))
    far = trained.scorer.score(batch, affinity + 1e6)
    further = trained.scorer.score(batch, affinity + 1e9)
    assert all(np.isfinite(score).all() for score in far.values())
    assert all((far[head] == further[head]).all() for head in far)


def test_an_empty_history_is_a_zero_vector(trained):
    batch, affinity = request_for(trained, (2, 3))
    batch.viewer.history_BL[:] = -1
    np.testing.assert_allclose(
        trained.scorer.logits(batch, affinity), torch_logits(trained, batch, affinity), rtol=1e-5, atol=1e-5
    )


def test_the_wrong_affinity_shape_is_refused(trained):
    batch, affinity = request_for(trained, (2, 3))
    with pytest.raises(BadInput, match="affinity"):
        trained.scorer.score(batch, affinity[:, :2])


def test_broken_releases_are_refused(trained, tmp_path):
    with pytest.raises(ReleaseRefused, match="200 videos"):
        Scorer.load(trained.directory, planted.catalogue(201))
    for name in ("ranker.onnx", "ranker_tables.safetensors", "ranker_videos.npy", "ranker.json"):
        copy = tmp_path / name.replace(".", "_")
        shutil.copytree(trained.directory, copy)
        (copy / name).write_bytes(b"broken")
        with pytest.raises(ReleaseRefused, match="cannot be opened"):
            Scorer.load(copy, trained.truth.videos)


def test_facts_are_plain_json_with_the_formula(trained):
    facts = json.loads((trained.directory / "ranker.json").read_text())
    assert facts["heads"] == ["click", "watch", "like", "relevance"]
    assert facts["config"]["combine"]["relevance"] == trained.scorer.combine.relevance
    assert len(facts["normalisation"]["candidate_mean"]) == trained.ranker.columns.candidate_numbers
    assert facts["position_curve"][0] == 0.0


def test_the_scorer_never_imports_torch():
    code = "import sys, ranking.scorer, ranking.combine, ranking.rerank; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
