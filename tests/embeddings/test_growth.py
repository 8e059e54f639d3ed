import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput, ConfigError
from embeddings.growth import GrowthConfig, IdMap
from embeddings.tables import ROWWISE_ADAGRAD, TableConfig, Tables


def ids(*values):
    return np.array(values, dtype=np.int64)


BATCHES = st.lists(st.tuples(st.lists(st.integers(0, 25), max_size=10), st.integers(0, 3)), max_size=40)


@settings(deadline=None)
@given(
    batches=BATCHES,
    capacity=st.integers(1, 8),
    admit_after=st.integers(1, 3),
    ttl_s=st.one_of(st.none(), st.integers(1, 9)),
    pending=st.integers(1, 12),
)
def test_rows_are_never_shared_and_the_evicted_were_seen_least_recently(batches, capacity, admit_after, ttl_s, pending):
    found, owner, seen, now = IdMap(GrowthConfig(capacity, admit_after, ttl_s, pending)), {}, {}, 0
    for batch, wait in batches:
        now += 1000 * wait
        changes = found.observe(ids(*batch), now)
        seen |= dict.fromkeys(batch, now)
        for id_, row in zip(changes.evicted_ids.tolist(), changes.evicted_rows.tolist(), strict=True):
            assert owner.pop(row) == id_
            assert seen[id_] < now
            expired = ttl_s is not None and seen[id_] <= now - 1000 * ttl_s
            survivors = [seen[other] for other in owner.values() if other not in changes.evicted_ids]
            assert expired or not survivors or seen[id_] <= min(survivors)
        for id_, row in zip(changes.admitted_ids.tolist(), changes.admitted_rows.tolist(), strict=True):
            assert row not in owner
            owner[row] = id_
        assert len(found) == len(owner) == len(set(owner.values())) <= capacity
        everything = np.arange(26)
        held = dict(zip(everything.tolist(), found.rows(everything).tolist(), strict=True))
        assert {row: id_ for id_, row in held.items() if row >= 0} == owner


def test_an_id_is_admitted_at_its_nth_sighting():
    found = IdMap(GrowthConfig(4, admit_after=3))
    assert found.observe(ids(7, 7, 8), 0).admitted_ids.tolist() == []
    assert found.observe(ids(7), 1).admitted_ids.tolist() == [7]
    assert found.rows(ids(7, 8)).tolist() == [0, -1]


def test_a_full_table_gives_up_the_row_seen_least_recently():
    found = IdMap(GrowthConfig(2))
    found.observe(ids(1), 10)
    found.observe(ids(2), 20)
    found.observe(ids(1), 30)
    changes = found.observe(ids(3), 40)
    assert (changes.evicted_ids.tolist(), changes.admitted_ids.tolist()) == ([2], [3])
    assert changes.evicted_rows.tolist() == changes.admitted_rows.tolist() == [1]


def test_ids_of_one_instant_do_not_push_each_other_out():
    found = IdMap(GrowthConfig(2))
    assert found.observe(ids(1, 2, 3), 0).admitted_ids.tolist() == [1, 2]
    changes = found.observe(ids(3), 1)
    assert (changes.admitted_ids.tolist(), changes.evicted_ids.tolist()) == ([3], [1])


def test_an_unseen_id_expires():
    found = IdMap(GrowthConfig(4, ttl_s=60))
    found.observe(ids(1, 2), 0)
    found.observe(ids(2), 59_999)
    assert found.observe(ids(), 60_000).evicted_ids.tolist() == [1]
    assert found.rows(ids(1, 2)).tolist() == [-1, 1]


def test_the_count_of_waiting_ids_is_bounded():
    found = IdMap(GrowthConfig(4, admit_after=2, max_pending=2))
    found.observe(ids(1, 2, 3), 0)
    assert found.observe(ids(1, 3), 1).admitted_ids.tolist() == [3]


def test_an_instant_before_the_latest_counts_as_the_latest():
    found = IdMap(GrowthConfig(2, ttl_s=60))
    found.observe(ids(1), 100_000)
    found.observe(ids(2), 0)
    assert found.seen_at_C.tolist() == [100_000, 100_000]


@settings(max_examples=30, deadline=None)
@given(BATCHES)
def test_saved_and_loaded_it_goes_on_as_before(tmp_path_factory, batches):
    path = tmp_path_factory.mktemp("ids") / "ids.safetensors"
    first = IdMap(GrowthConfig(5, admit_after=2, ttl_s=4.0, max_pending=4))
    for batch, at in batches[: len(batches) // 2]:
        first.observe(ids(*batch), at)
    first.save(path)
    second = IdMap.load(path)
    assert second.config == first.config
    for batch, at in batches[len(batches) // 2 :]:
        changes = [one.observe(ids(*batch), at) for one in (first, second)]
        for name in ("admitted_ids", "admitted_rows", "evicted_ids", "evicted_rows"):
            assert np.array_equal(getattr(changes[0], name), getattr(changes[1], name))


def test_bad_ids_settings_and_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="positive"):
        IdMap(GrowthConfig(0))
    with pytest.raises(BadInput, match="not negative"):
        IdMap(GrowthConfig(2)).observe(ids(-1), 0)
    (tmp_path / "broken").write_text("no tensors")
    with pytest.raises(BadInput, match="holds no ids"):
        IdMap.load(tmp_path / "broken")


@pytest.mark.parametrize("backend", ["torchrec", "plain"])
def test_a_row_that_changed_hands_starts_afresh_and_no_other_changes(backend):
    from tests.embeddings.test_tables import bags

    config = TableConfig("video", 4, 4, optimizer=ROWWISE_ADAGRAD, learning_rate=0.1)
    tables, found = Tables([config], seed=1, device=torch.device("cpu"), backend=backend), IdMap(GrowthConfig(4))
    found.observe(ids(10, 11, 12), 0)
    tables(bags(video=[found.rows(ids(10)).tolist(), found.rows(ids(11)).tolist()]))["video"].sum().backward()
    before = tables.array("video")
    changes = found.observe(ids(13), 1)
    tables.start_rows("video", changes.admitted_rows, np.full((1, 4), 0.5, dtype=np.float32))
    after = tables.array("video")
    assert changes.admitted_rows.tolist() == [3]
    assert np.array_equal(after[:3], before[:3])
    assert (after[3] == 0.5).all()
    (tables(bags(video=[[3]]))["video"] * 2).sum().backward()
    np.testing.assert_allclose(tables.array("video")[3], 0.5 - 0.1, atol=1e-6)
