import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from core import release
from core.errors import ReleaseRefused
from features.memory_store import MemoryStore
from retrieval import index as indexes
from retrieval.config import IndexConfig
from retrieval.encoder import TABLES, VECTORS, VideoEncoder
from serving import fakes, verification
from serving.live import go_live
from serving.releases import INDEX, ReleaseHolder, load_release, open_files


@pytest.fixture(scope="module")
def live(release_files):
    return go_live(open_files(release_files[0]), MemoryStore())


def unit(random, num, dim=16):
    vectors = random.normal(size=(num, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_recall_is_one_for_an_exact_index_and_the_kept_share_for_one_that_lost_vectors():
    vectors = unit(np.random.default_rng(0), 2_000)
    assert verification.recall(indexes.build(vectors, IndexConfig()), vectors) == 1.0
    assert verification.recall(indexes.build(vectors[:1_000], IndexConfig()), vectors) == pytest.approx(0.5, abs=0.03)


def test_recall_forgives_a_tie():
    vectors = np.repeat(unit(np.random.default_rng(0), 500), 2, axis=0)
    upside_down = indexes.build(vectors[::-1], IndexConfig()).search
    mirrored = replace(indexes.build(vectors, IndexConfig()), index=None)
    object.__setattr__(mirrored, "search", lambda q, k: (upside_down(q, k)[0], len(vectors) - 1 - upside_down(q, k)[1]))
    assert verification.recall(mirrored, vectors) == 1.0


def test_a_release_agrees_with_itself_and_not_with_shuffled_videos(live):
    assert verification.agreement(live, live) == verification.Agreement(1.0, 1.0)
    shuffled = replace(live.loaded, video_VD=live.loaded.video_VD[::-1], index=reindexed(live.loaded.video_VD[::-1]))
    found = verification.agreement(go_live(shuffled, MemoryStore()), live)
    assert found.nearest < verification.MIN_NEAREST
    assert found.pages < 0.9


def test_releases_without_common_videos_do_not_agree(live):
    other = replace(live.loaded.catalogue, video_ids=live.loaded.catalogue.video_ids + 1_000)
    assert verification.agreement(replace(live, loaded=replace(live.loaded, catalogue=other)), live).nearest == 0.0


def test_a_page_without_order_is_refused(live):
    class Flat:
        def recommend(self, requests):
            slates = live.recommender.recommend(requests)
            return [replace(s, scores={"utility": np.zeros(len(s.video_ids), np.float32)}) for s in slates]

    with pytest.raises(ReleaseRefused, match="same utility"):
        verification.check_pages(Flat(), live.loaded)


def test_an_empty_page_is_refused(live):
    class Empty:
        def recommend(self, requests):
            return [replace(slate, video_ids=slate.video_ids[:0]) for slate in live.recommender.recommend(requests)]

    with pytest.raises(ReleaseRefused, match="came out empty"):
        verification.check_pages(Empty(), live.loaded)


# A broken release of each kind, published with hashes that fit unless the hash is what is wrong.


def reindexed(vectors):
    return indexes.build(np.ascontiguousarray(vectors), IndexConfig())


def vectors(change):
    def damage(path):
        np.save(path / VECTORS, change(np.load(path / VECTORS)))

    return damage


def half_another_index(path):
    found = np.load(path / VECTORS)
    reindexed(np.concatenate([found[:30], found[:30]])).save(path / INDEX)


def a_shorter_index(path):
    reindexed(np.load(path / VECTORS)[:-1]).save(path / INDEX)


def vectors_of_another_tower(path):
    found = np.roll(np.load(path / VECTORS), 13, axis=0)
    np.save(path / VECTORS, found)
    reindexed(found).save(path / INDEX)


def viewers_without_numbers(path):
    tables = load_file(path / TABLES)
    save_file({name: table * np.nan if name.startswith("viewer_") else table for name, table in tables.items()}, path / TABLES)


def towers_of_other_videos(path):
    tables = load_file(path / TABLES)
    save_file(tables | {"raw": np.random.default_rng(1).permutation(tables["raw"])}, path / TABLES)
    tower, catalogue = VideoEncoder.load(path), fakes.catalogue(60)
    found = tower.encode_rows(np.arange(60, dtype=np.int32), catalogue.uploaded_at, tower.trained_at)
    np.save(path / VECTORS, found)
    reindexed(found).save(path / INDEX)


def publish(root, files, digest, damage):
    def write(path):
        shutil.copytree(files, path, dirs_exist_ok=True)
        damage(path)

    facts = {"snapshot": "s", "feature_schema": digest, "config_fingerprint": "c", "git_commit": "g", "created_at": 1}
    return release.publish(root, write, **facts).release_id


KINDS = [
    (vectors(lambda v: v[:-1]), "59 video vectors for 60 videos"),
    (vectors(lambda v: np.eye(60, 12, dtype=np.float32)), "video vectors of 12"),
    (vectors(lambda v: np.where(np.arange(60)[:, None] == 7, np.nan, v)), "not finite"),
    (vectors(lambda v: v * 2), "unit length"),
    (half_another_index, "an index over other vectors"),
    (a_shorter_index, "an index over 59 videos of 60"),
    (vectors_of_another_tower, "its own video tower did not make"),
    (viewers_without_numbers, "are not numbers"),
    (towers_of_other_videos, "its towers are of other videos"),
]


@pytest.mark.parametrize(("damage", "reason"), KINDS)
def test_a_broken_release_is_refused_while_the_old_one_serves_on(release_files, tmp_path, damage, reason):
    files, digest = release_files
    good, bad = publish(tmp_path, files, digest, lambda path: None), publish(tmp_path, files, digest, damage)
    release.point(tmp_path, "live", good)

    def in_service(release_id):
        return go_live(load_release(tmp_path, release_id, verify=True), MemoryStore())

    def rehearse(fresh_id, live_id):
        verification.require_agreement(in_service(fresh_id), in_service(live_id))

    holder = ReleaseHolder(tmp_path, in_service, rehearse=rehearse)
    before = holder.live
    release.point(tmp_path, "live", bad)
    with pytest.raises(ReleaseRefused, match=reason):
        holder.reload()
    assert holder.live is before
    assert holder.release_id == good
    assert holder.live.recommender.recommend(verification.canaries(before.loaded, fakes.NOW, 10))[0].release_id == good


def test_a_flipped_bit_is_refused_while_the_old_one_serves_on(release_files, tmp_path):
    files, digest = release_files
    good = publish(tmp_path, files, digest, lambda path: None)
    bad = publish(tmp_path, files, digest, lambda path: (path / "note").write_text("another release"))
    table = tmp_path / bad / "ranker_tables.safetensors"
    table.write_bytes(table.read_bytes()[:-1] + b"\x01")
    release.point(tmp_path, "live", good)
    holder = ReleaseHolder(tmp_path, lambda release_id: load_release(tmp_path, release_id, verify=True))
    before = holder.live
    release.point(tmp_path, "live", bad)
    with pytest.raises(ReleaseRefused, match="differs from its hash"):
        holder.reload()
    assert holder.live is before
