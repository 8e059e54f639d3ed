"""Configuration as frozen dataclasses: to and from JSON, overrides, and a fingerprint that names a run.

Knows nothing of any particular config. Refuses unknown keys and names the nearest known one.
"""

import dataclasses
import difflib
import hashlib
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from core.errors import ConfigError

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """The config as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def known(cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without keys that `cls`, or a config inside it, does not have: what an earlier version wrote down."""
    hints = typing.get_type_hints(cls)
    return {key: _known(hints[key], value) for key, value in values.items() if key in hints}


def fingerprint(config: Any) -> str:
    """16 hex digits that change exactly when a value changes."""
    text = json.dumps(to_dict(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def from_dict(cls: type[T], values: Mapping[str, Any]) -> T:
    """Build `cls` from plain values; missing keys keep their defaults.

    Raises:
        ConfigError: on an unknown key or a value of the wrong type.
    """
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in hints:
            raise ConfigError(_unknown(cls.__name__, key, list(hints)))
    return cls(**{key: _coerce(f"{cls.__name__}.{key}", hints[key], value) for key, value in values.items()})


def preset(presets: Mapping[str, Callable[[], T]], name: str, assignments: Sequence[str]) -> T:
    """A preset by its name, with `section.key=value` overrides.

    Raises:
        ConfigError: no such preset, or an unknown key.
    """
    if name not in presets:
        raise ConfigError(f"there is no preset '{name}'; known: {', '.join(presets)}")
    return override(presets[name](), assignments)


def override(config: T, assignments: Sequence[str]) -> T:
    """Apply `section.key=value` strings, e.g. from the command line."""
    values = to_dict(config)
    for assignment in assignments:
        path, found, text = assignment.partition("=")
        if not found:
            raise ConfigError(f"'{assignment}' is not of the form section.key=value")
        *parents, leaf = path.strip().split(".")
        node = values
        for name in parents:
            node = _child(node, name, path)
        _child(node, leaf, path)
        node[leaf] = _parse(text)
    return from_dict(type(config), values)


def _known(hint: Any, value: Any) -> Any:
    nested = dataclasses.is_dataclass(hint) and isinstance(value, Mapping)
    return known(typing.cast(type[Any], hint), value) if nested else value


def _child(node: Any, name: str, path: str) -> Any:
    if not isinstance(node, dict) or name not in node:
        raise ConfigError(_unknown(path, name, list(node) if isinstance(node, dict) else []))
    return node[name]


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _unknown(where: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(sorted(known))}"
    return f"unknown key '{key}' in {where}{hint}"


def _coerce(where: str, hint: Any, value: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_dict(typing.cast(type[Any], hint), value)
    if origin in (typing.Union, types.UnionType):
        options = [arg for arg in args if arg is not type(None)]
        return None if value is None else _coerce(where, options[0], value)
    if origin is typing.Literal and value not in args:
        raise ConfigError(f"{where} must be one of {', '.join(map(repr, args))}, got {value!r}")
    if origin is tuple:
        if not isinstance(value, list | tuple) or (args[-1] is not Ellipsis and len(value) != len(args)):
            raise ConfigError(f"{where} wants a list{'' if args[-1] is Ellipsis else f' of {len(args)}'}, got {value!r}")
        items = args[:1] * len(value) if args[-1] is Ellipsis else args
        return tuple(_coerce(where, item, element) for item, element in zip(items, value, strict=True))
    if origin is dict:
        return {key: _coerce(where, args[1], element) for key, element in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ConfigError(f"{where} wants {hint.__name__}, got {value!r}")
    return value
