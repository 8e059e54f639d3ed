from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from data.catalogue import Catalogue
from retrieval.export import video_arrays
from retrieval.towers import TwoTower


def test_vectors_have_unit_norm(planted, rich_tower):
    _, vectors = video_arrays(rich_tower, planted.catalogue, at=10**10)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_an_unknown_id_leaves_content_and_codes(planted, rich_tower):
    raw, _ = video_arrays(rich_tower, planted.catalogue, at=10**10)
    row, tables = planted.cold[0], rich_tower.video_tables
    codes = planted.catalogue.codes[row]
    side = sum(tables.array(name)[code] for name, code in zip(("category", "channel", "language"), codes, strict=True))
    content = planted.catalogue.content[row] * rich_tower.content_scale @ rich_tower.content.weight.detach().numpy().T
    np.testing.assert_allclose(raw[row], side + content, atol=1e-5)


def test_dense_features_are_scaled_by_their_logarithm(rich_tower, rich_part):
    sample = torch.from_numpy(rich_part(np.arange(5000)).dense_BF)
    scaled = (torch.log1p(sample) - rich_tower.viewer.dense_mean) * rich_tower.viewer.dense_scale
    np.testing.assert_allclose(scaled.mean(dim=0), 0.0, atol=0.1)
    np.testing.assert_allclose(scaled.std(dim=0), 1.0, atol=0.1)


def test_towers_continue_over_a_grown_catalogue(planted, rich_tower, rich_schema):
    kept = planted.catalogue.frame
    new = kept.head(2).with_columns(video_id=pl.Series([1, 100_000]), category=pl.Series(["a new one", "k0"]))
    grown = Catalogue.of(pl.concat([kept, new]).sort("video_id"))
    tower = TwoTower(rich_tower.config, rich_schema, grown)
    tower.continue_from(rich_tower)
    old_rows = grown.rows(kept["video_id"].to_numpy())
    before, after = (video_arrays(t, c, at=10**10)[1] for t, c in ((rich_tower, planted.catalogue), (tower, grown)))
    np.testing.assert_allclose(after[old_rows], before, atol=1e-6)
    assert tower.known_V[old_rows].tolist() == rich_tower.known_V.tolist()
    assert not tower.known_V[grown.rows([1, 100_000])].any()


def test_seed_decides_the_start_and_leaves_torch_alone(planted, rich_schema, tiny):
    state = torch.get_rng_state()
    one, same = (TwoTower(tiny, rich_schema, planted.catalogue).state_dict() for _ in range(2))
    other = TwoTower(replace(tiny, seed=2), rich_schema, planted.catalogue).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["video.layers.0.weight"], other["video.layers.0.weight"])


@pytest.mark.parametrize("num_codes", [0, 1])
def test_towers_without_content_or_codes_work(planted, rich_schema, tiny, num_codes):
    bare = Catalogue.of(planted.catalogue.frame.with_columns(content=pl.lit(None, dtype=pl.List(pl.Float32))))
    schema = replace(rich_schema, viewer_codes=("hour",)[:num_codes], viewer_code_sizes=(24,)[:num_codes], viewer_dense=())
    _, vectors = video_arrays(TwoTower(tiny, schema, bare), bare, at=0)
    assert np.isfinite(vectors).all()
