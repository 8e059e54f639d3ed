import numpy as np
import pytest

from core.errors import ConfigError
from core.ids import to_ids
from embeddings.arithmetic import quotient_remainder_rows
from embeddings.compression import QuotientRemainderRows, hashed_row
from embeddings.growth import GrowthConfig, IdMap
from embeddings.id_tables import (
    ADMITTED,
    HASH,
    QUOTIENT_REMAINDER,
    SCHEMES,
    WHOLE,
    AdmittedIds,
    IdTableConfig,
    PairedIds,
    Sightings,
    begin,
    most_remainders,
)

IDS = np.sort(to_ids([*map(str, range(300)), *(f"tt{n}" for n in range(300))]))
"""Half of them small, half beyond 2⁶²."""
NEW = np.sort(to_ids([f"new{n}" for n in range(70)]))
GROWN = np.sort(np.concatenate([IDS, NEW]))


def seen(ids, at=None):
    ids = np.asarray(ids, dtype=np.int64)
    return Sightings(ids, np.arange(len(ids), dtype=np.int64) if at is None else np.full(len(ids), at, dtype=np.int64))


NOTHING = seen([])


def config(scheme, share=0.25):
    return IdTableConfig(scheme, 1.0 if scheme == WHOLE else share)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rows_are_rows_of_the_table_and_as_many_as_were_asked_for(scheme):
    table = begin(config(scheme), IDS, seen(IDS))
    row_NP = table.rows(IDS)
    assert row_NP.shape == (600, 2 if scheme == QUOTIENT_REMAINDER else 1)
    assert row_NP.min() >= (-1 if scheme == ADMITTED else 0)
    assert row_NP.max() < table.num_rows <= (600 if scheme == WHOLE else 150)
    assert (table.rows(IDS[::-1]) == row_NP[::-1]).all()
    assert begin(config(scheme), IDS[:0]).num_rows == 1


@pytest.mark.parametrize("scheme", [HASH, QUOTIENT_REMAINDER, ADMITTED])
def test_an_id_keeps_its_rows_when_others_come(scheme):
    table = begin(config(scheme), IDS, seen(IDS[:100]))
    grown = table.grown(GROWN, NOTHING)
    assert (grown.rows(IDS) == table.rows(IDS)).all()
    kept = grown.continues(table)
    held = np.unique(table.rows(IDS))
    assert (kept[held[held >= 0]] == held[held >= 0]).all()
    assert len(kept) == grown.num_rows


def test_whole_rows_follow_the_catalogue_and_are_found_again():
    table = begin(IdTableConfig(), IDS)
    grown = table.grown(GROWN, NOTHING)
    assert (grown.rows(GROWN)[:, 0] == np.arange(670)).all()
    kept = grown.continues(table)
    assert (IDS[kept[kept >= 0]] == GROWN[kept >= 0]).all()
    assert (GROWN[kept < 0] == NEW).all()
    assert table.rows(NEW).max() == -1


def test_a_hash_goes_by_the_id_and_not_by_its_place():
    table = begin(config(HASH), IDS)
    assert (table.rows(IDS)[:, 0] == hashed_row(IDS, 150)).all()
    assert (table.rows(IDS[7:9]) == table.rows(IDS)[7:9]).all()


@pytest.mark.parametrize("share", [1.0, 0.5, 0.25, 0.125])
def test_every_id_has_a_pair_of_its_own(share):
    table = begin(config(QUOTIENT_REMAINDER, share), IDS)
    grown = table.grown(GROWN, NOTHING)
    assert len(np.unique(table.rows(IDS), axis=0)) == 600
    assert len(np.unique(grown.rows(GROWN), axis=0)) == 670
    assert (grown.rows(GROWN)[:, 0] < grown.remainders).all()
    assert (grown.rows(GROWN)[:, 1] >= grown.remainders).all()
    assert table.num_rows == sum(quotient_remainder_rows(600, table.remainders)) <= share * 600
    assert (grown.continues(table)[table.num_rows :] == -1).all()


def test_pairs_read_what_a_fit_after_training_reads():
    table = begin(config(QUOTIENT_REMAINDER), IDS)
    vectors = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
    fitted = QuotientRemainderRows.of(vectors, table.remainders)
    both = np.concatenate([fitted.remainder_MD, fitted.quotient_QD])
    np.testing.assert_array_equal(both[table.rows(IDS)].sum(axis=1), fitted.read(np.arange(600)))


def test_as_many_remainders_as_leave_room_for_quotients():
    for ids, rows in [(600, 150), (600, 600), (10_000, 201), (100, 20), (0, 1)]:
        most = most_remainders(ids, rows)
        assert sum(quotient_remainder_rows(ids, most)) <= rows
        assert sum(quotient_remainder_rows(ids, most + 1)) > rows
    with pytest.raises(ConfigError, match="too few for a pair"):
        most_remainders(600, 48)


def test_ids_are_admitted_after_so_many_sightings():
    table = begin(IdTableConfig(ADMITTED, 0.5, admit_after=3), IDS, seen(np.repeat(IDS[:4], [1, 2, 3, 4])))
    assert (table.rows(IDS[:4])[:, 0] >= 0).tolist() == [False, False, True, True]
    later = table.grown(IDS, seen(IDS[:2], at=100))
    assert (later.rows(IDS[:4])[:, 0] >= 0).tolist() == [False, True, True, True]
    assert (later.rows(IDS[2:4]) == table.rows(IDS[2:4])).all()


def test_sightings_are_counted_once_and_in_order_of_time():
    log = seen(np.repeat(IDS[:40], 2))
    table = begin(IdTableConfig(ADMITTED, 0.1, admit_after=2), IDS, log)
    assert table.grown(IDS, log) is table
    shuffled = np.random.default_rng(0).permutation(80)
    again = begin(IdTableConfig(ADMITTED, 0.1, admit_after=2), IDS, Sightings(log.ids[shuffled], log.at[shuffled]))
    assert (again.rows(IDS) == table.rows(IDS)).all()


def test_without_room_the_ids_seen_least_recently_lose_their_rows_as_the_map_says():
    table = begin(IdTableConfig(ADMITTED, 8 / 600), IDS, seen(IDS[:20]))
    one_by_one = IdMap(GrowthConfig(8))
    for at, id_ in enumerate(IDS[:20]):
        one_by_one.observe(np.array([id_]), at)
    assert table.num_rows == 8
    assert (table.rows(IDS)[:, 0] == one_by_one.rows(IDS)).all()
    assert set(IDS[table.rows(IDS)[:, 0] >= 0]) == set(IDS[12:20])


def test_a_row_that_changed_hands_starts_anew_and_the_old_table_stays():
    table = begin(IdTableConfig(ADMITTED, 8 / 600), IDS, seen(IDS[:8]))
    before = table.rows(IDS).copy()
    grown = table.grown(GROWN, seen([*IDS[2:8], *NEW[:2]], at=100))
    kept = grown.continues(table)
    assert (kept[grown.rows(IDS[2:8])[:, 0]] == table.rows(IDS[2:8])[:, 0]).all()
    assert (kept[grown.rows(NEW[:2])[:, 0]] == -1).all()
    assert (grown.rows(IDS[:2]) == -1).all()
    assert (table.rows(IDS) == before).all()


def test_what_goes_on_from_something_else_is_refused():
    tables = {scheme: begin(config(scheme), IDS, seen(IDS)) for scheme in SCHEMES}
    with pytest.raises(ConfigError, match="same scheme"):
        tables[HASH].continues(tables[WHOLE])
    with pytest.raises(ConfigError, match="every id would move"):
        begin(config(HASH, 0.5), IDS).continues(tables[HASH])
    with pytest.raises(ConfigError, match="other numbers"):
        PairedIds(IDS[::-1], tables[QUOTIENT_REMAINDER].remainders).continues(tables[QUOTIENT_REMAINDER])
    smaller = AdmittedIds(IdMap(GrowthConfig(3)))
    assert (tables[ADMITTED].continues(smaller) == -1).all()


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"scheme": "bloom"}, "none of"),
        ({"scheme": HASH, "share": 0.0}, "above 0"),
        ({"scheme": HASH, "share": 1.5}, "at most 1"),
        ({"share": 0.5}, "leaves videos without"),
        ({"scheme": ADMITTED, "admit_after": 0}, "at least 1"),
        ({"scheme": HASH, "admit_after": 2}, "any scheme but"),
    ],
)
def test_values_that_cannot_work_are_refused(values, complaint):
    with pytest.raises(ConfigError, match=complaint):
        IdTableConfig(**values)
