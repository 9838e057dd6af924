"""Recipes: run files that say only what differs from a base, `base = "tiny.toml"` at the
head."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from schemas.settings import SettingsError, read_toml
from training.registry import MODELS


def read_recipe(path: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The tables of a run file laid over those of its base, whose path is relative to the
    file.

    A base may have a base. A run of another kind than its base takes those of the base's
    [model] settings that its own model has. above: the files that led here. Raises
    SettingsError for a file that cannot be read or that is its own base.
    """
    place = str(Path(path).resolve())
    if place in above:
        raise SettingsError(
            f"{path} is its own base: take the base away from one of the two files"
        )
    tables = read_toml(path)
    base = tables.pop("base", None)
    if base is None:
        return tables
    if not isinstance(base, str):
        raise SettingsError(
            f"base must be the path of a run file, not {base!r}: mend it in {path}"
        )
    below = read_recipe(str(Path(path).parent / base), (*above, place))
    kind = tables.get("kind", below.get("kind"))
    if kind != below.get("kind"):
        below["model"] = _settings_of(kind, below.get("model", {}))
    return _merged(below, tables)


def _settings_of(kind: Any, table: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a [model] table's settings that a model of this kind has, none where it
    is unknown."""
    if kind not in MODELS:
        return {}
    known = {field.name for field in fields(MODELS[kind]().config)}
    return {name: value for name, value in table.items() if name in known}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables laid over tables: a table is merged, any other value takes the place of
    what was there."""
    merged = dict(below)
    for name, value in above.items():
        held = below.get(name)
        if isinstance(held, Mapping) and isinstance(value, Mapping):
            value = _merged(held, value)
        merged[name] = value
    return merged
