import re
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from core.tensors import is_mapped, mapped, mapped_npy, touch

ARRAYS = {
    "floats": np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4),
    "counts": np.arange(5, dtype=np.int64),
    "bits": np.array([True, False, True]),
    "bytes": np.arange(7, dtype=np.uint8),
    "nothing": np.zeros((0, 4), dtype=np.float16),
}


@pytest.fixture
def path(tmp_path):
    save_file(ARRAYS, tmp_path / "a.safetensors", metadata={"of": "a test"})
    return tmp_path / "a.safetensors"


def test_arrays_are_what_the_library_reads(path):
    found, wanted = mapped(path), load_file(path)
    assert not is_mapped(wanted["floats"])
    assert found.keys() == wanted.keys() == ARRAYS.keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)
        assert is_mapped(found[name])
        assert type(found[name]) is np.ndarray


def test_what_is_written_stays_here(path, tmp_path):
    mapped(path)["counts"][:] = 9
    assert np.array_equal(mapped(path)["counts"], ARRAYS["counts"])
    np.save(tmp_path / "a.npy", ARRAYS["floats"])
    mapped_npy(tmp_path / "a.npy")[:] = 9
    assert np.array_equal(mapped_npy(tmp_path / "a.npy"), ARRAYS["floats"])


@pytest.mark.parametrize("kept", [1, 7, 8, 40, -1])
def test_a_file_that_was_cut_off_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="cut off"):
        mapped(path)


def test_what_is_no_such_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        mapped(tmp_path / "none")
    (tmp_path / "text").write_text("no arrays here, only words")
    with pytest.raises(ValueError, match="cut off"):
        mapped(tmp_path / "text")


def at_hand(array):
    """Bytes of the mapping that an array lies in which this process can read without waiting."""
    address, inside = array.ctypes.data, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(found[1], 16) <= address < int(found[2], 16)
        elif inside and line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    return 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can be asked for it")
def test_an_array_that_was_touched_is_at_hand(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4_096, 4_096), dtype=np.uint8))
    plain, touched = mapped_npy(tmp_path / "a.npy")[1_000:], mapped_npy(tmp_path / "a.npy")[1_000:]
    touch(touched)
    assert at_hand(plain) < plain.nbytes / 4
    assert at_hand(touched) >= touched.nbytes
    assert is_mapped(touched)
