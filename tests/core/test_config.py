from dataclasses import dataclass, field, replace
from typing import Literal

import pytest

from core import config
from core.errors import ConfigError


@dataclass(frozen=True)
class Towers:
    width: int = 64
    rate: float = 0.001
    layers: tuple[int, ...] = (128, 64)
    span: tuple[int, float] = (1, 0.5)


@dataclass(frozen=True)
class Run:
    towers: Towers = field(default_factory=Towers)
    name: str = "tiny"
    until: int | None = None
    exact: bool = False
    weights: dict[str, float] = field(default_factory=dict)
    kind: Literal["exact", "hnsw"] = "exact"


FULL = Run(towers=Towers(layers=(3,), span=(2, 1.0)), until=7, weights={"click": 1.0})


def test_to_plain_values_and_back() -> None:
    assert config.from_dict(Run, config.to_dict(FULL)) == FULL


def test_fingerprint_changes_exactly_with_values() -> None:
    assert config.fingerprint(Run()) == config.fingerprint(Run())
    assert config.fingerprint(Run()) != config.fingerprint(replace(Run(), exact=True))
    assert len(config.fingerprint(Run())) == 16


def test_overrides_reach_nested_fields() -> None:
    found = config.override(Run(), ["towers.rate=1", "towers.layers=[32]", "name=big", "until=5", "exact=true", "kind=hnsw"])
    assert found == Run(Towers(rate=1.0, layers=(32,)), name="big", until=5, exact=True, kind="hnsw")
    assert config.override(found, ["until=null"]).until is None


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("towers.widht=3", "did you mean 'width'"),
        ("tower.width=3", "did you mean 'towers'"),
        ("name.width=3", "unknown key 'width'"),
        ("zzz=3", "known: "),
        ("name", "not of the form"),
        ("towers.width=abc", "wants int"),
        ("towers.width=true", "wants int"),
        ("towers.width=1.5", "wants int"),
        ("towers.layers=3", "wants a list"),
        ("towers.span=[1]", "wants a list of 2"),
        ("towers.layers=abc", "wants a list"),
        ("exact=1", "wants bool"),
        ("towers=3", "wants Towers"),
        ("kind=hsnw", "must be one of 'exact', 'hnsw'"),
    ],
)
def test_mistakes_are_refused_in_plain_words(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.override(Run(), [assignment])


def test_unknown_keys_are_refused_at_any_depth() -> None:
    with pytest.raises(ConfigError, match="unknown key 'depth' in Towers"):
        config.from_dict(Run, {"towers": {"depth": 3}})


def test_what_an_earlier_version_wrote_down_is_cut_to_what_is_known() -> None:
    written = {"towers": {"width": 3, "depth": 3}, "bag": {"rate": 1}, "weights": {"click": 1.0}}
    assert config.known(Run, written) == {"towers": {"width": 3}, "weights": {"click": 1.0}}
