import hashlib

import pytest

from core import config as configs
from core.errors import BadInput
from pipelines import ingest, presets

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + "".join(
    f"u{i % 3}\tv{i % 5}\t4\t{1_700_000_000 + i}\n" for i in range(30)
)


def load(source, path, var_dir):
    return ingest.load(source, path, None, presets.tiny(), var_dir, lambda share, note: None)


@pytest.mark.parametrize("pointed_at", ["plays", "plays/plays.inter"])
def test_what_was_read_is_known_by_its_hash(tmp_path, pointed_at):
    (tmp_path / "plays").mkdir()
    (tmp_path / "plays" / "plays.inter").write_text(INTER)
    loaded = load("recbole", tmp_path / pointed_at, tmp_path / "var")
    (file,) = loaded.origin.files
    assert (loaded.origin.source, loaded.origin.log_offset, loaded.space.name) == ("recbole", 0, "plays")
    assert file.sha256 == hashlib.sha256(INTER.encode()).hexdigest()
    assert file.path == str(tmp_path / "plays" / "plays.inter")


def test_a_world_is_known_by_its_config(tmp_path):
    loaded = load("world", None, tmp_path)
    assert loaded.origin.config == configs.fingerprint(presets.tiny().world)
    assert loaded.origin.files == ()


def test_a_log_needs_a_path(tmp_path):
    with pytest.raises(BadInput, match="--path"):
        ingest.open_space("recbole", None, presets.tiny(), tmp_path)
