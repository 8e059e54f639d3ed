import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from core.errors import BadInput, ReleaseRefused
from features.schema import ViewerPart
from retrieval.encoder import FACTS, VECTORS, VideoEncoder, ViewerEncoder, log_age, pool_weights
from retrieval.export import video_arrays

DAY_MS = 86_400_000


def test_pool_weights_have_closed_forms():
    weights = pool_weights(np.array([[5, 6, 7, 8, -1], [-1] * 5], dtype=np.int32), decay=2.0, recent=3)
    decayed = np.exp([0, -0.5, -1, -1.5])
    expected = [[0.25] * 4 + [0], [*(decayed / decayed.sum()), 0], [1 / 3] * 3 + [0, 0]]
    np.testing.assert_allclose(weights[0], expected, rtol=1e-6)
    assert (weights[1] == 0).all()


def test_log_age_counts_days_and_forgives():
    np.testing.assert_allclose(log_age(3 * DAY_MS, np.array([DAY_MS, 5 * DAY_MS, 0])), [np.log(3), 0, 0], rtol=1e-6)


def torch_vectors(tower, catalogue, part):
    """The viewer tower, one line at a time."""
    raw, _ = video_arrays(tower, catalogue, at=0)
    history = part.history_BL[:, : tower.config.history_length]
    weights = pool_weights(history, tower.config.decay, tower.config.recent)
    pools = np.einsum("bpl,bld->bpd", weights, np.where(history[:, :, None] >= 0, raw[history], 0))
    lengths = torch.ones(part.codes_BC.size, dtype=torch.int32)
    values = torch.from_numpy(part.codes_BC.T.reshape(-1).astype(np.int64))
    codes = KeyedJaggedTensor(keys=list(tower.schema.viewer_codes), values=values, lengths=lengths)
    with torch.no_grad():
        flat = torch.from_numpy(pools.reshape(len(part), -1).astype(np.float32))
        return tower.viewer_vectors(flat, tower.code_vectors(codes), torch.from_numpy(part.dense_BF)).numpy()


def test_the_encoder_equals_the_tower(exported, planted, rich_tower, rich_part):
    part = rich_part(np.arange(50))
    assert (part.history_BL < 0).all(axis=1).any()  # cold viewers among them
    encoder = ViewerEncoder.load(exported)
    found = encoder.encode(part)
    np.testing.assert_allclose(found, torch_vectors(rich_tower, planted.catalogue, part), atol=1e-5)
    assert found.shape == (50, encoder.dim)
    assert found.dtype == np.float32


def test_one_request_equals_its_row_of_a_batch(exported, rich_part):
    encoder, part = ViewerEncoder.load(exported), rich_part(np.arange(6))
    for i in range(6):
        one = ViewerPart(
            part.dense_BF[i : i + 1], part.codes_BC[i : i + 1], part.history_BL[i : i + 1], part.history_age_BL[i : i + 1], ()
        )
        np.testing.assert_allclose(encoder.encode(one)[0], encoder.encode(part)[i], atol=1e-6)


def test_rows_and_codes_newer_than_the_release_are_unknown(exported, planted, rich_part):
    encoder, part = ViewerEncoder.load(exported), rich_part(np.arange(20))
    newer = replace(part, history_BL=np.where(part.history_BL >= 0, part.history_BL + len(planted.catalogue), -1))
    empty = replace(part, history_BL=np.full_like(part.history_BL, -1))
    np.testing.assert_allclose(encoder.encode(newer), encoder.encode(empty), atol=1e-6)
    strange, unknown = (replace(part, codes_BC=np.full_like(part.codes_BC, code)) for code in (999, 0))
    np.testing.assert_allclose(encoder.encode(strange), encoder.encode(unknown), atol=1e-6)


def test_videos_of_the_release_and_uploads(exported, planted, rich_tower):
    encoder, catalogue = VideoEncoder.load(exported), planted.catalogue
    vectors, rows, at = np.load(exported / VECTORS), np.arange(len(catalogue), dtype=np.int32), 41 * DAY_MS
    np.testing.assert_allclose(encoder.encode_rows(rows, catalogue.uploaded_at, at), vectors, atol=1e-5)
    cold = planted.cold
    uploads = encoder.encode(catalogue.content[cold], catalogue.codes[cold], catalogue.uploaded_at[cold], at)
    np.testing.assert_allclose(uploads, vectors[cold], atol=1e-5)
    assert not rich_tower.known_V[cold].any()


def test_other_columns_are_bad_input(exported, rich_part):
    part = rich_part(np.arange(2))
    with pytest.raises(BadInput, match="feature schema of the release"):
        ViewerEncoder.load(exported).encode(replace(part, dense_BF=part.dense_BF[:, :1]))
    with pytest.raises(BadInput, match="content vectors have 3"):
        VideoEncoder.load(exported).encode(np.zeros((1, 3), np.float32), np.zeros((1, 3), np.int32), np.zeros(1, np.int64), 0)


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(ReleaseRefused):
        ViewerEncoder.load(tmp_path)


def test_towers_that_are_no_longer_made_are_refused(exported, tmp_path):
    facts = json.loads((exported / FACTS).read_text())
    (tmp_path / FACTS).write_text(json.dumps(facts | {"viewer": "bag"}))
    with pytest.raises(ReleaseRefused, match="train again"):
        ViewerEncoder.load(tmp_path)


def test_serving_needs_no_torch():
    code = "import sys, retrieval.encoder, retrieval.index, retrieval.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
