import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from app import rehearsal
from core import release
from core.errors import ReleaseRefused
from retrieval import index as indexes
from retrieval.config import IndexConfig
from retrieval.encoder import TABLES, VECTORS, VideoEncoder
from serving import fakes
from serving.releases import INDEX
from tests.serving.conftest import write_release


def same(path):
    (path / "note").write_text("the same again")


def towers_of_other_videos(path):
    """Nothing in the files is wrong."""
    tables = load_file(path / TABLES)
    save_file(tables | {"raw": np.random.default_rng(1).permutation(tables["raw"])}, path / TABLES)
    tower = VideoEncoder.load(path)
    found = tower.encode_rows(np.arange(60, dtype=np.int32), fakes.catalogue(60).uploaded_at, tower.trained_at)
    np.save(path / VECTORS, found)
    indexes.build(found, IndexConfig()).save(path / INDEX)


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """Root, and the ids of a good release, of one like it, and of one over other videos."""
    files, root = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("releases")
    facts = {
        "snapshot": "s",
        "feature_schema": write_release(files),
        "config_fingerprint": "",
        "git_commit": "",
        "created_at": 1,
    }

    def publish(change):
        def write(path):
            shutil.copytree(files, path, dirs_exist_ok=True)
            change(path)

        return release.publish(root, write, **facts).release_id

    return root, [publish(change) for change in (lambda path: None, same, towers_of_other_videos)]


def test_another_process_says_whether_a_release_may_serve(releases, monkeypatch, capfd):
    root, (good, other, _) = releases
    rehearsal.rehearse(root, other, good)
    monkeypatch.setenv("PYTHONPATH", str(root))
    (root / "sitecustomize.py").write_text("print('a library says something', end='')")
    flipped = root / good / TABLES
    whole = flipped.read_bytes()
    flipped.write_bytes(whole[:-1] + b"\x01")
    with pytest.raises(ReleaseRefused, match=r"retrieval_tables.* differs from its hash"):
        rehearsal.rehearse(root, good)
    flipped.write_bytes(whole)
    (root / "sitecustomize.py").unlink()
    assert set(os.listdir(root)) == set(releases[1])


def test_what_agrees_with_the_live_one_by_chance_may_not_serve(releases):
    root, (good, other, stranger) = releases
    rehearsal.try_out(root, other, good)
    rehearsal.try_out(root, stranger, None)
    with pytest.raises(ReleaseRefused, match="its towers are of other videos"):
        rehearsal.try_out(root, stranger, good)


def test_a_rehearsal_that_dies_or_never_ends_refuses(releases, monkeypatch, capfd):
    root, (good, _, _) = releases
    monkeypatch.setattr(rehearsal.sys, "executable", shutil.which("false"))
    with pytest.raises(ReleaseRefused, match="could not be tried out: the process that did ended with 1"):
        rehearsal.rehearse(root, good)
    monkeypatch.undo()
    monkeypatch.setattr(rehearsal, "PATIENCE_S", 0.01)
    with pytest.raises(ReleaseRefused, match="could not be tried out in 0 s"):
        rehearsal.rehearse(root, good)
