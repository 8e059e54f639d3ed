import os

import pytest

from core import files


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "file"
    files.replace_text(path, "one")
    files.replace_text(path, "zwei ≥ 2")
    assert path.read_text(encoding="utf-8") == "zwei ≥ 2"
    assert path.stat().st_mode & 0o777 == 0o644

    def crash(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="disk full"):
        files.replace_text(path, "three")
    assert path.read_text(encoding="utf-8") == "zwei ≥ 2"
    assert os.listdir(path.parent) == ["file"]
    assert files.size_of(tmp_path) == len("zwei ≥ 2".encode())
