from pathlib import Path

import numpy as np
import pytest

from core.errors import BadInput
from embeddings.host_table import HostTable


def test_rows_come_back_and_the_rest_is_zero(tmp_path):
    table = HostTable.create(tmp_path / "t.npy", 1_000, 6, np.float16)
    table.write(np.array([3, 999]), np.array([[1] * 6, [2] * 6]))
    again = HostTable(tmp_path / "t.npy")
    assert (len(again), again.dim, again.dtype) == (1_000, 6, np.float16)
    assert again.read(np.array([999, 0, 3]))[:, 5].tolist() == [2, 0, 1]


def test_a_new_table_takes_disk_only_for_what_is_written(tmp_path):
    path = tmp_path / "t.npy"
    table = HostTable.create(path, 1_000_000, 64)
    assert path.stat().st_size > 256_000_000
    table.write(np.arange(0, 1_000_000, 100_000), np.ones((10, 64), dtype=np.float32))
    assert path.stat().st_blocks * 512 < 1_000_000


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells what of a file is in memory")
def test_what_was_read_does_not_stay_in_the_process(tmp_path):
    path = tmp_path / "t.npy"
    np.save(path, np.ones((131_072, 64), dtype=np.float32))
    table, before = HostTable(path), file_bytes_in_memory()
    for start in range(0, 131_072, 1_024):
        assert table.read(np.arange(start, start + 1_024)).sum() == 1_024 * 64
    assert file_bytes_in_memory() < before + (2 << 20) < before + path.stat().st_size


def file_bytes_in_memory() -> int:
    """Bytes of files that this process has mapped and touched."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssFile:"))


def test_rows_that_are_not_there_are_refused(tmp_path):
    table = HostTable.create(tmp_path / "t.npy", 10, 4)
    for wrong in (-1, 10):
        with pytest.raises(IndexError, match="a table of 10"):
            table.read(np.array([0, wrong]))
    assert table.read(np.zeros(0, dtype=np.int64)).shape == (0, 4)


def test_what_is_no_table_is_refused(tmp_path):
    np.save(tmp_path / "flat.npy", np.zeros(3))
    (tmp_path / "text.npy").write_text("hello")
    for name in ("flat.npy", "text.npy", "missing.npy"):
        with pytest.raises(BadInput, match="no embedding table"):
            HostTable(tmp_path / name)
    with pytest.raises(BadInput, match="empty"):
        HostTable.create(tmp_path / "t.npy", 0, 4)
