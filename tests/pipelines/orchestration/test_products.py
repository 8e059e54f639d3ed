import json

import pytest

from core import files
from pipelines.orchestration import products
from pipelines.orchestration.products import Shelf


def text(content):
    return lambda folder: (folder / "text").write_text(content) and None


def test_the_same_inputs_are_made_once(tmp_path):
    shelf = Shelf(tmp_path)
    first = shelf.make("step", {"a": 1, "b": [2.0]}, ("core",), text("one"))
    again = shelf.make("step", {"b": [2.0], "a": 1}, ("core",), lambda folder: pytest.fail("made twice"))
    assert (first.reused, again.reused, again.key) == (False, True, first.key)
    assert (shelf.find("step", first.key).files / "text").read_text() == "one"
    assert again.made["inputs"] == {"a": 1, "b": [2.0]}
    assert again.made["seconds"] >= 0


@pytest.mark.parametrize(
    ("step", "inputs", "packages"),
    [("other", {"a": 1}, ("core",)), ("step", {"a": 2}, ("core",)), ("step", {"a": 1}, ("core", "data"))],
)
def test_anything_else_is_another_product(tmp_path, step, inputs, packages):
    shelf = Shelf(tmp_path)
    first = shelf.make("step", {"a": 1}, ("core",), text("one"))
    assert shelf.make(step, inputs, packages, text("two")).key != first.key


def test_source_text_counts(tmp_path, monkeypatch):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "code.py").write_text("a = 1\n")
    monkeypatch.setattr(products, "CODE", tmp_path)
    products.code_version.cache_clear()
    before = products.code_version(("pack",))
    (tmp_path / "pack" / "code.py").write_text("a = 2\n")
    products.code_version.cache_clear()
    assert products.code_version(("pack",)) != before
    products.code_version.cache_clear()


def test_what_fails_leaves_nothing(tmp_path):
    def broken(folder):
        (folder / "half").write_text("")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Shelf(tmp_path).make("step", {}, ("core",), broken)
    assert list((tmp_path / "step").iterdir()) == []


def test_the_faster_of_two_writers_stays(tmp_path):
    with files.new_folder(tmp_path / "made") as slow:
        (slow / "by").write_text("slow")
        with files.new_folder(tmp_path / "made") as fast:
            (fast / "by").write_text("fast")
    assert (tmp_path / "made" / "by").read_text() == "fast"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_sweeping_removes_only_what_is_unfinished(tmp_path):
    (tmp_path / "step" / f"{files.STAGED}x").mkdir(parents=True)
    (tmp_path / "step" / f"{files.STAGED}x" / "file").write_text("")
    (tmp_path / f"{files.STAGED}y").write_text("")
    Shelf(tmp_path).make("step", {}, ("core",), text("one"))
    assert files.sweep(tmp_path) == 2
    assert len(list((tmp_path / "step").iterdir())) == 1


def test_json_is_replaced_whole(tmp_path):
    files.write_json(tmp_path / "a.json", {"b": 1, "a": [None]})
    with pytest.raises(ValueError, match="nan"):
        files.write_json(tmp_path / "a.json", float("nan"))
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": 1, "a": [None]}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
