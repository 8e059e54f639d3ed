import numpy as np
import pytest

from benchmarks import id_tables
from benchmarks.id_tables import NO_IDS, Bench
from embeddings.id_tables import ADMITTED, HASH, QUOTIENT_REMAINDER, IdTableConfig, most_remainders
from retrieval.towers import VIDEO_ID

SCHEMES = [HASH, QUOTIENT_REMAINDER, ADMITTED]


@pytest.fixture(scope="module")
def bench():
    return Bench.of("tiny")


@pytest.fixture(scope="module")
def whole(bench):
    return bench.train(IdTableConfig(), 1)


def test_every_table_is_measured_in_both_ways(bench, monkeypatch):
    monkeypatch.setattr(id_tables, "SHARES", (0.25,))
    found = id_tables.measure(bench, list(id_tables.tables_of(SCHEMES, [1])), (1, 2))
    first, without, *fewer = found["tables"]
    assert (first["scheme"], first["bytes"]) == ("whole", 800 * 32 * 4)
    assert (without["scheme"], without["bytes"]) == ("no ids", 0)
    assert [row["scheme"] for row in fewer] == SCHEMES
    assert all(row["bytes"] == 200 * 32 * 4 for row in fewer)
    for row in fewer:
        of = row["through"]["recall@100"]
        assert of["low"] <= of["mean"] == pytest.approx(np.mean(of["by_seed"]), abs=1e-4)
        theirs = first["through"]["recall@100"]["mean"]
        assert len(row["after"]["recall@500"]["by_seed"]) == 2
        assert of["difference"]["mean"] == pytest.approx(of["mean"] - theirs, abs=1e-3)


def test_folding_leaves_no_more_vectors_than_rows_or_sums_of_two(bench, whole):
    before = whole.video_tables.array(VIDEO_ID)[whole.known_V]
    hashed = id_tables.folded(whole, IdTableConfig(HASH, 0.25), bench)
    assert len(np.unique(hashed.video_tables.array(VIDEO_ID)[whole.known_V], axis=0)) <= 200 < len(before)
    paired = id_tables.folded(whole, IdTableConfig(QUOTIENT_REMAINDER, 0.25), bench)
    id_KD, m = paired.video_tables.array(VIDEO_ID)[whole.known_V], most_remainders(800, 200)
    np.testing.assert_allclose(id_KD[0] - id_KD[1], id_KD[m] - id_KD[m + 1], atol=1e-5)
    assert (whole.video_tables.array(VIDEO_ID)[whole.known_V] == before).all()


def test_after_training_only_the_admitted_keep_their_ids(bench, whole):
    changed = id_tables.folded(whole, IdTableConfig(ADMITTED, 0.25), bench)
    assert changed.known_V.sum() == 200
    assert (changed.known_V <= whole.known_V).all()


def test_towers_without_ids_have_none(bench):
    assert not bench.train(NO_IDS, 1).known_V.any()


def test_only_admission_waits_for_clicks():
    tables = list(id_tables.tables_of(SCHEMES, [1, 5]))
    assert len(tables) == 16
    assert [ids.admit_after for ids in tables if ids.share == 0.5] == [1, 1, 1, 5]
