from pathlib import Path

import pytest

from core import space
from core.errors import BadInput, ConfigError
from core.space import Range, grid


def test_a_range_takes_even_steps() -> None:
    assert Range(0, 3).values() == (0.0, 1.0, 2.0, 3.0)
    assert Range(200, 3_200, log=True, points=3).values() == (200.0, 800.0, 3_200.0)
    assert Range(1, 3, whole=True, points=9).values() == (1, 2, 3)


@pytest.mark.parametrize("bad", [{"low": 1, "high": 1}, {"low": 0, "high": 1, "log": True}, {"low": 0, "high": 1, "points": 1}])
def test_a_range_without_numbers_is_refused(bad: dict) -> None:
    with pytest.raises(ConfigError, match="is no range"):
        Range(**bad)


def test_the_last_name_varies_fastest() -> None:
    points = grid({"a": (1, 2), "b": ("x", "y")})
    assert [tuple(p.values()) for p in points] == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]
    assert grid({}) == [{}]


def test_a_space_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text('dim = [32, 64]\nlearning_rate = {low = 1e-4, high = 1, log = true}\n"hidden" = ["a"]\n')
    assert space.read(path) == {"dim": (32, 64), "learning_rate": Range(1e-4, 1.0, log=True), "hidden": ("a",)}
    path.write_text("dim = 3\n")
    with pytest.raises(ConfigError, match="'dim' must be a list"):
        space.read(path)
    path.write_text("dim = {low = 1, hihg = 2}\n")
    with pytest.raises(ConfigError, match="hihg"):
        space.read(path)
    path.write_text("dim = [")
    with pytest.raises(BadInput, match="cannot be read as TOML"):
        space.read(path)
