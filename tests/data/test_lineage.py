import hashlib

from core import columns as c
from data import lineage
from data.sources import registry


def test_a_file_is_named_by_path_size_and_hash(tmp_path):
    path = tmp_path / "log.tsv"
    path.write_bytes(b"abc")
    (file,) = lineage.of_files("csv", [path, path]).files
    assert (file.path, file.size, file.sha256) == (str(path), 3, hashlib.sha256(b"abc").hexdigest())
    assert file.state() == lineage.UNCHANGED
    path.write_bytes(b"abd")
    assert file.state() == lineage.CHANGED
    path.unlink()
    assert file.state() == lineage.GONE


def test_the_schema_hash_is_stable(monkeypatch):
    # Written down once: it changes exactly when a column does.
    known = lineage.schema_hash()
    assert known == "537c216a7fe1eab3"
    monkeypatch.setattr(c, "VIEWERS", c.VIEWERS.remove(0))
    assert lineage.schema_hash() != known


def test_loaders_say_which_files_they_read(tmp_path):
    (tmp_path / "mine.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n1\t2\t900000000\n")
    (tmp_path / "mine.item").write_text("item_id:token\tmovie_title:token_seq\n2\tx\n")
    (tmp_path / "unrelated.txt").write_text("")
    assert [path.name for path in registry.load("recbole", tmp_path).paths] == ["mine.inter", "mine.item"]
    (tmp_path / "mapping.toml").write_text(
        '[events]\npath = "a-*.csv"\nviewer_id = "u"\nvideo_id = "v"\ntime = "t"\nalways = ["click"]\n'
    )
    for part in "12":
        (tmp_path / f"a-{part}.csv").write_text(f"u,v,t\n{part},2,900000000\n")
    assert [path.name for path in registry.load("csv", tmp_path).paths] == ["a-1.csv", "a-2.csv", "mapping.toml"]
