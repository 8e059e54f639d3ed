"""Small logs in each layout, written here from nothing."""

import pytest


@pytest.fixture
def write(tmp_path):
    """Writes files into one folder, which it returns: write(**{"name": text or bytes})."""

    def _write(files):
        for name, data in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return tmp_path

    return _write
