import os
from pathlib import Path
from typing import Any

import pytest

from core import release
from core.errors import ReleaseRefused

FACTS: dict[str, Any] = {
    "snapshot": "s", "feature_schema": "f", "config_fingerprint": "c", "git_commit": "g", "created_at": 1,
    "metrics": {"auc": 0.5},
}  # fmt: skip


def writer(text: str = "weights"):
    def write(path: Path) -> None:
        (path / "tables").mkdir()
        (path / "tables" / "a.bin").write_text(text)
        (path / "ranker.json").write_text("{}")

    return write


def publish(root: Path, text: str = "weights", **facts: Any) -> str:
    return release.publish(root, writer(text), **{**FACTS, **facts}).release_id


def test_what_is_published_can_be_loaded_and_verified(tmp_path: Path) -> None:
    release_id = publish(tmp_path)
    found = release.load(tmp_path, release_id, verify=True)
    assert set(found.manifest.files) == {"tables/a.bin", "ranker.json"}
    assert (found.manifest.metrics, found.release_id, found.path) == ({"auc": 0.5}, release_id, tmp_path / release_id)


def test_another_account_may_read_a_release(tmp_path: Path) -> None:
    release_id = publish(tmp_path)
    release.point(tmp_path, "live", release_id)
    assert (tmp_path / release_id).stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "live").stat().st_mode & 0o777 == 0o644


def test_the_id_follows_content_not_dates(tmp_path: Path) -> None:
    first = publish(tmp_path)
    assert publish(tmp_path, created_at=2, metrics={}) == first
    assert release.load(tmp_path, first).manifest.created_at == 1
    others = {publish(tmp_path, "other"), publish(tmp_path, feature_schema="g")}
    assert first not in others
    assert len(others) == 2
    assert set(release.names(tmp_path)) == {first, *others}


def test_one_flipped_bit_is_refused(tmp_path: Path) -> None:
    release_id = publish(tmp_path)
    file = tmp_path / release_id / "tables" / "a.bin"
    content = bytearray(file.read_bytes())
    content[3] ^= 1
    file.write_bytes(content)
    with pytest.raises(ReleaseRefused, match=r"a\.bin differs"):
        release.load(tmp_path, release_id, verify=True)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    release_id = publish(tmp_path)
    (tmp_path / release_id / "ranker.json").unlink()
    with pytest.raises(ReleaseRefused, match=r"ranker\.json is missing"):
        release.load(tmp_path, release_id)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"release_id": "x"}'])
def test_a_broken_manifest_is_refused(tmp_path: Path, damage: str) -> None:
    release_id = publish(tmp_path)
    (tmp_path / release_id / release.MANIFEST).write_text(damage)
    with pytest.raises(ReleaseRefused, match="cannot be opened"):
        release.load(tmp_path, release_id)


def test_a_manifest_of_another_release_is_refused(tmp_path: Path) -> None:
    first, second = publish(tmp_path), publish(tmp_path, "other")
    os.replace(tmp_path / second / release.MANIFEST, tmp_path / first / release.MANIFEST)
    with pytest.raises(ReleaseRefused, match="does not belong"):
        release.load(tmp_path, first)


def test_a_release_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReleaseRefused, match="cannot be opened"):
        release.load(tmp_path, "0" * 16)
    assert release.names(tmp_path / "nowhere") == []


def test_a_failing_writer_leaves_nothing(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        (path / "half").write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        release.publish(tmp_path, write, **FACTS)
    assert list(tmp_path.iterdir()) == []


def test_a_publisher_killed_before_the_rename_published_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release.os, "rename", _killed)
    monkeypatch.setattr(release.shutil, "rmtree", lambda *args, **kwargs: None)
    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path)
    assert any((path / release.MANIFEST).is_file() for path in tmp_path.iterdir())
    assert release.names(tmp_path) == []


def _killed(*args: Any) -> None:
    raise KeyboardInterrupt


def test_pointers_start_empty_and_name_releases(tmp_path: Path) -> None:
    assert release.resolve(tmp_path, "live") is None
    first, second = publish(tmp_path), publish(tmp_path, "other")
    release.point(tmp_path, "live", first)
    release.point(tmp_path, "live", first)
    assert (release.resolve(tmp_path, "live"), release.resolve(tmp_path, "previous")) == (first, None)
    release.point(tmp_path, "live", second)
    assert (release.resolve(tmp_path, "live"), release.resolve(tmp_path, "previous")) == (second, first)


def test_a_cleared_pointer_names_nothing(tmp_path: Path) -> None:
    release.point(tmp_path, "canary", publish(tmp_path))
    for _ in range(2):
        release.clear(tmp_path, "canary")
        assert release.resolve(tmp_path, "canary") is None
    with pytest.raises(ValueError, match="live cannot be cleared"):
        release.clear(tmp_path, "live")


def test_rolling_back_twice_returns(tmp_path: Path) -> None:
    first, second = publish(tmp_path), publish(tmp_path, "other")
    release.point(tmp_path, "live", first)
    release.point(tmp_path, "live", second)
    for expected in (first, second):
        release.point(tmp_path, "live", str(release.resolve(tmp_path, "previous")))
        assert release.resolve(tmp_path, "live") == expected


def test_a_pointer_never_names_what_cannot_be_opened(tmp_path: Path) -> None:
    first = publish(tmp_path)
    release.point(tmp_path, "candidate", first)
    with pytest.raises(ReleaseRefused):
        release.point(tmp_path, "candidate", "f" * 16)
    assert release.resolve(tmp_path, "candidate") == first
    with pytest.raises(ValueError, match="known: live"):
        release.point(tmp_path, "newest", first)


def test_a_pointer_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = publish(tmp_path), publish(tmp_path, "other")
    release.point(tmp_path, "shadow", first)
    monkeypatch.setattr(release.os, "replace", _killed)
    with pytest.raises(KeyboardInterrupt):
        release.point(tmp_path, "shadow", second)
    assert release.resolve(tmp_path, "shadow") == first
