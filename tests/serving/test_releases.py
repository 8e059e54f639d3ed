import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from core import release
from core.errors import ReleaseRefused
from core.policy import Request
from features import kinds, offline
from features.definitions import default_definitions
from serving import fakes, releases
from serving.releases import ReleaseHolder, load_release, open_files


@pytest.fixture
def copy(release_files, tmp_path):
    """A copy of the release files that a test may break."""
    shutil.copytree(release_files[0], tmp_path / "copy")
    return tmp_path / "copy"


def publish(root, files, digest):
    facts = {"snapshot": "s", "feature_schema": digest, "config_fingerprint": "c", "git_commit": "g", "created_at": 1}
    return release.publish(root, lambda path: shutil.copytree(files, path, dirs_exist_ok=True) and None, **facts)


def test_a_whole_release_opens_and_knows_what_it_is(release_files, tmp_path):
    path, digest = release_files
    published = publish(tmp_path, path, digest)
    loaded = load_release(tmp_path, published.release_id, verify=True)
    assert loaded.release_id == published.release_id
    assert loaded.manifest == published.manifest
    assert len(loaded.catalogue) == len(loaded.video_VD) == len(loaded.cowatch) == 60
    assert len(loaded.viewer_states()) == 20
    assert loaded.search.rows("chess", 5).size == 5


def test_of_a_trusted_release_only_what_costs_no_reading_is_asked(release_files, tmp_path):
    path, digest = release_files
    published = publish(tmp_path, path, digest)
    file = published.path / releases.VECTORS
    sound = np.load(file)
    np.save(file, sound * 2)
    with pytest.raises(ReleaseRefused, match="unit length"):
        load_release(tmp_path, published.release_id)
    assert load_release(tmp_path, published.release_id, trusted=True).video_VD[0] @ sound[0] == pytest.approx(2, abs=1e-3)
    np.save(file, sound[:-1])
    with pytest.raises(ReleaseRefused, match="59 video vectors for 60"):
        load_release(tmp_path, published.release_id, trusted=True)
    file.unlink()
    with pytest.raises(ReleaseRefused, match="is missing"):
        load_release(tmp_path, published.release_id, trusted=True)


def test_the_recommender_over_the_log_ranks_by_what_the_parts_say(release_files, clicks):
    loaded = open_files(release_files[0])
    viewer_ids, at = np.array([1, 2]), np.array([fakes.NOW, fakes.NOW])
    built = offline.build(
        clicks.events, loaded.catalogue, loaded.viewers, viewer_ids=viewer_ids, at=at,
        video_rows=np.zeros(2, np.int32), with_seen=True,
    )  # fmt: skip

    class Reader:
        def viewer_part(self, viewer_ids, at):
            return built.viewer_part(np.asarray(viewer_ids) - 1)

        blank_part = viewer_part

        def assemble(self, part, video_BK, at):
            return replace(built.against(np.arange(len(at)), video_BK), viewer=part)

    recommender = loaded.recommender(Reader(), videos=loaded.activity(clicks.events))
    slates = recommender.recommend([Request(str(v), v, fakes.NOW, k=60) for v in (1, 2)])
    for slate, part, seen in zip(slates, (0, 1), built.viewer_part(np.arange(2)).seen, strict=True):
        assert not [reason for reason in slate.degraded if "right now" in reason]
        rows = loaded.catalogue.rows(slate.video_ids)
        vector = loaded.encoder.encode(built.viewer_part(np.array([part])))[0]
        assert np.allclose(slate.scores["affinity"], loaded.video_VD[rows] @ vector, atol=1e-5)
        assert not set(rows.tolist()) & set(seen.tolist())
        assert len(rows) == 60 - len(set(seen.tolist()))


@pytest.mark.parametrize(
    "name",
    ["catalogue.arrow", "viewers.parquet", "index.faiss", "feature_schema.json", "lineage.json", "video_vectors.npy",
     "viewer_tower.onnx", "retrieval_tables.safetensors", "ranker.onnx", "ranker.json", "ranker_tables.safetensors",
     "ranker_videos.npy",
     "cowatch.safetensors", "video_state.safetensors", "search.sqlite"],
)  # fmt: skip
@pytest.mark.parametrize("damage", ["gone", "garbage"])
def test_a_missing_or_broken_file_is_refused(copy, name, damage):
    if damage == "gone":
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(b"\x00garbage" * 50)
    with pytest.raises(ReleaseRefused):
        open_files(copy)


def test_a_release_of_an_earlier_version_says_what_to_do(copy):
    (copy / releases.CATALOGUE).rename(copy / "catalogue.parquet")
    with pytest.raises(ReleaseRefused, match="train a new one"):
        open_files(copy)


def change_vectors(copy, change):
    vectors = np.load(copy / "video_vectors.npy")
    np.save(copy / "video_vectors.npy", change(vectors))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v[:-1], "59 video vectors for 60 videos"),
        (lambda v: np.where(np.arange(60)[:, None] == 7, np.nan, v), "not finite"),
        (lambda v: v * 2, "unit length"),
        (lambda v: np.eye(60, 12, dtype=np.float32), "video vectors of 12"),
        (lambda v: np.roll(v, 13, axis=0), "an index over other vectors"),
    ],
)
def test_vectors_that_do_not_belong_are_refused(copy, change, words):
    change_vectors(copy, change)
    with pytest.raises(ReleaseRefused, match=words):
        open_files(copy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[:-1], "knows 59 videos"),
        (lambda rows: rows[:, 1:], "its network wants"),
        (lambda rows: np.where(np.arange(60)[:, None] == 7, np.nan, rows), "not finite"),
        (lambda rows: np.roll(rows, 1, axis=0), "another catalogue"),
    ],
)
def test_a_table_of_videos_that_does_not_belong_is_refused(copy, change, words):
    np.save(copy / "ranker_videos.npy", change(np.load(copy / "ranker_videos.npy")).astype(np.float32))
    with pytest.raises(ReleaseRefused, match=words):
        open_files(copy)


def test_another_feature_schema_is_refused_with_what_to_do(copy):
    (copy / releases.SCHEMA).write_text(json.dumps({"hash": "0" * 16}))
    with pytest.raises(ReleaseRefused, match="train a new release"):
        open_files(copy)


def test_a_release_of_fewer_features_is_served_without_the_newer_ones(copy, monkeypatch):
    before = open_files(copy)
    newer = kinds.Size(name="brand_new", entity="viewer", longest=9, description="declared since")

    def declared(labels=()):
        known = default_definitions(labels)
        return replace(known, viewer=(newer, *known.viewer))

    monkeypatch.setattr(releases, "default_definitions", declared)
    assert newer in declared().viewer
    assert open_files(copy).definitions == before.definitions
    assert open_files(copy).schema == before.schema


def test_a_catalogue_of_another_size_is_refused(copy):
    fakes.catalogue(61).save(copy / releases.CATALOGUE)
    with pytest.raises(ReleaseRefused):
        open_files(copy)


def test_counters_of_another_size_are_refused(copy, release_files):
    loaded = open_files(release_files[0])
    replace(loaded.video_state, counts=loaded.video_state.counts[:, :-1].copy()).save(copy / releases.VIDEO_STATE)
    with pytest.raises(ReleaseRefused, match="counters"):
        open_files(copy)


def test_a_flipped_bit_is_found_by_the_manifest(release_files, tmp_path):
    path, digest = release_files
    published = publish(tmp_path, path, digest)
    target = published.path / "ranker_tables.safetensors"
    data = bytearray(target.read_bytes())
    data[-3] ^= 1
    target.write_bytes(data)
    with pytest.raises(ReleaseRefused, match="differs from its hash"):
        load_release(tmp_path, published.release_id, verify=True)


def fake_release(root, text):
    facts = {"snapshot": "s", "feature_schema": "f", "config_fingerprint": "c", "git_commit": "g", "created_at": 1}
    return release.publish(root, lambda path: (path / "file").write_text(text) and None, **facts).release_id


def test_the_holder_swaps_and_rolls_back_as_one_reference(tmp_path):
    first, second = fake_release(tmp_path, "1"), fake_release(tmp_path, "2")
    release.point(tmp_path, "live", first)
    retired = []
    holder = ReleaseHolder(tmp_path, lambda release_id: [release_id], retire=retired.append)
    in_flight = holder.live
    release.point(tmp_path, "live", second)
    assert holder.reload() == [second]
    assert holder.reload() is holder.live
    assert in_flight == [first]
    assert holder.rollback() == [first]
    assert holder.release_id == first == release.resolve(tmp_path, "live")
    assert release.resolve(tmp_path, "previous") == second
    assert retired == [[first], [second]]


def test_a_refused_release_changes_nothing(tmp_path):
    first, second = fake_release(tmp_path, "1"), fake_release(tmp_path, "2")

    def build(release_id):
        if release_id == second:
            raise ReleaseRefused("no")
        return release_id

    release.point(tmp_path, "live", first)
    holder = ReleaseHolder(tmp_path, build)
    release.point(tmp_path, "live", second)
    with pytest.raises(ReleaseRefused):
        holder.reload()
    assert holder.live == holder.release_id == first


def test_the_one_before_is_kept_warm_and_comes_back_without_being_built(tmp_path):
    first, second, third = (fake_release(tmp_path, text) for text in "123")
    release.point(tmp_path, "live", first)
    built, retired, compared = [], [], []

    def build(release_id):
        built.append(release_id)
        return [release_id]

    def rehearse(fresh_id, live_id):
        compared.append((fresh_id, live_id))

    holder = ReleaseHolder(tmp_path, build, rehearse=rehearse, retire=retired.append, keep_warm=True)
    original = holder.live
    release.point(tmp_path, "live", second)
    newer = holder.reload()
    assert holder.held == (newer, original)
    assert holder.rollback() is original
    assert holder.held == (original, newer)
    release.point(tmp_path, "live", second)
    assert holder.reload() is newer
    assert (built, retired, compared) == ([first, second], [], [(second, first)])
    release.point(tmp_path, "live", third)
    holder.reload()
    assert holder.held == ([third], newer)
    assert retired == [original]


def test_what_fails_its_rehearsal_is_not_even_built_and_changes_nothing(tmp_path):
    first, second = fake_release(tmp_path, "1"), fake_release(tmp_path, "2")
    release.point(tmp_path, "live", first)
    built = []

    def rehearse(fresh_id, live_id):
        raise ReleaseRefused(f"{fresh_id} is not like {live_id}")

    def build(release_id):
        built.append(release_id)
        return release_id

    holder = ReleaseHolder(tmp_path, build, rehearse=rehearse, keep_warm=True)
    release.point(tmp_path, "live", second)
    with pytest.raises(ReleaseRefused, match=f"{second} is not like {first}"):
        holder.reload()
    assert (holder.held, holder.release_id, built) == ((first,), first, [first])
    release.point(tmp_path, "live", first)
    with pytest.raises(ReleaseRefused, match="is not like"):
        holder.promote(second)
    assert (holder.release_id, release.resolve(tmp_path, "live"), built) == (first, first, [first])


def test_the_way_back_is_rehearsed_without_a_comparison(tmp_path):
    first, second = fake_release(tmp_path, "1"), fake_release(tmp_path, "2")
    rehearsed = []
    for release_id in (first, second):
        release.point(tmp_path, "live", release_id)
    holder = ReleaseHolder(tmp_path, str, rehearse=lambda *asked: rehearsed.append(asked))
    holder.rollback()
    assert (holder.release_id, rehearsed) == (first, [(first, None)])


def test_a_promoted_release_serves_before_the_pointer_says_so(tmp_path):
    first, second = fake_release(tmp_path, "1"), fake_release(tmp_path, "2")
    release.point(tmp_path, "live", first)
    named = []

    def build(release_id):
        named.append(release.resolve(tmp_path, "live"))
        return release_id

    holder = ReleaseHolder(tmp_path, build)
    assert holder.promote(second) == holder.release_id == second
    assert named == [first, first]
    assert [release.resolve(tmp_path, pointer) for pointer in ("live", "previous")] == [second, first]
    assert holder.promote(second) == second


def test_nothing_to_serve_says_what_to_do(tmp_path):
    with pytest.raises(ReleaseRefused, match="upnext train"):
        ReleaseHolder(tmp_path, str)
    first = fake_release(tmp_path, "1")
    holder = ReleaseHolder(tmp_path, str, pointer=first)
    assert holder.live == first
    with pytest.raises(ReleaseRefused, match="no previous release"):
        holder.rollback()
