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


def resident_bytes_of(path: Path) -> int:
    """Bytes of a file that this process has in memory."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.endswith(str(path)))
    return 1024 * next(int(line.split()[1]) for line in lines[start:] if line.startswith("Rss:"))


@pytest.mark.skipif(not Path("/proc/self/smaps").is_file(), reason="only Linux tells what of a file is in memory")
def test_the_mapping_lets_go_of_what_it_has_read(tmp_path):
    path = tmp_path / "t.npy"
    np.save(path, np.ones((131_072, 64), dtype=np.float32))
    most = {}
    for bound in (1 << 20, 1 << 40):
        table, seen = HostTable(path, resident_bytes=bound), []
        for start in range(0, 131_072, 64):
            table.read(np.arange(start, start + 64))
            if start % 16_384 == 0:
                seen.append(resident_bytes_of(path))
        most[bound] = max(seen)
        del table
    # Linux also maps what lies around a page, up to a huge page of 2 MiB.
    assert most[1 << 20] <= 4 << 20 < 24 << 20 < most[1 << 40]


def test_what_is_no_table_is_refused(tmp_path):
    np.save(tmp_path / "flat.npy", np.zeros(3))
    (tmp_path / "text.npy").write_text("hello")
    for name in ("flat.npy", "text.npy", "missing.npy"):
        with pytest.raises(BadInput, match="no embedding table"):
            HostTable(tmp_path / name)
    with pytest.raises(BadInput, match="empty"):
        HostTable.create(tmp_path / "t.npy", 0, 4)
