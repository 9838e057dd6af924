"""Settings: TOML tables to frozen dataclasses; an unknown key or a value of the wrong
kind is refused by name."""

import collections.abc
import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class SettingsError(ValueError):
    """A settings file or an override that cannot be used; its text says which key and
    how to mend it."""


def read_toml(path: str) -> dict[str, Any]:
    """The tables of a TOML file; raises SettingsError where it is missing or not TOML."""
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}"
        ) from error
    # A number of too many digits is a ValueError and no TOMLDecodeError
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not TOML: {_why(error)}") from error


def _why(error: Exception) -> str:
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)


def override(tables: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Tables with `a.b=value` assignments laid over them; a value is TOML, or a bare
    word taken as a string."""
    result = {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in tables.items()
    }
    for assignment in assignments:
        dotted, equals, text = assignment.partition("=")
        if not equals or not dotted.strip():
            raise SettingsError(
                f"--set {assignment}: write it as key=value, for example --set filters.lpd5.min_bars=8"
            )
        *parents, last = dotted.strip().split(".")
        table = result
        for parent in parents:
            inner = table.get(parent, {})
            if not isinstance(inner, Mapping):
                raise SettingsError(f"--set {assignment}: {parent} is a value, not a table")
            table[parent] = dict(inner)
            table = table[parent]
        table[last] = _value(text.strip())
    return result


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except RecursionError as error:
        raise SettingsError(f"--set ...={text[:20]}...: it is nested too deep") from error
    except ValueError:
        return text


def build(kind: type[T], table: Mapping[str, Any], where: str = "") -> T:
    """A dataclass from a table: fields by name, nested dataclasses from nested tables,
    mappings as they are."""
    if not isinstance(table, Mapping):
        raise SettingsError(f"{where or kind.__name__} must be a table, not {table!r}")
    hints = typing.get_type_hints(kind)
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]  # T is a dataclass
    refuse_unknown(table, known, where)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # T is a dataclass
        bare = (
            field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        )
        if bare and field.name not in table:
            raise SettingsError(
                f"{_dotted(where, field.name)} is missing: set it in the file or with --set"
            )
    values = {
        key: _coerce(hints[key], value, _dotted(where, key)) for key, value in table.items()
    }
    try:
        return kind(**values)
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError(f"{where or kind.__name__}: {error}") from error


def refuse_unknown(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Raise SettingsError for the first key that is not known, with the nearest that is."""
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            mend = (
                f"did you mean {near[0]}?"
                if near
                else f"known are {', '.join(sorted(known)) or 'none'}"
            )
            raise SettingsError(f"unknown key {_dotted(where, key)}: {mend}")


def _dotted(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _coerce(hint: Any, value: Any, where: str) -> Any:
    """A value as its field's type asks for; int passes for float, list for tuple,
    nothing else for anything else."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _first_that_fits(arguments, value, where)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)  # type: ignore[arg-type]  # it was just asked
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(
            _coerce(arguments[0], one, f"{where}[{index}]")
            for index, one in enumerate(value)
        )
    if origin is collections.abc.Mapping and isinstance(value, Mapping):
        return {key: _entry(arguments, one, f"{where}.{key}") for key, one in value.items()}
    if origin is typing.Literal and value in arguments:
        return value
    if hint is float and type(value) is int and abs(value) < 1 << 1000:
        return float(value)
    if hint is Any or (isinstance(hint, type) and type(value) is hint):
        return value
    allowed = (
        " or ".join(map(repr, arguments))
        if origin is typing.Literal
        else getattr(hint, "__name__", str(hint))
    )
    raise SettingsError(f"{where} must be {allowed}, not {value!r}")


def _entry(arguments: Sequence[Any], value: Any, where: str) -> Any:
    """A value of a mapping as its type asks for; tables become dataclasses, and what is one
    already stays."""
    wanted = arguments[1] if arguments else Any
    if dataclasses.is_dataclass(wanted) and type(value) is wanted:
        return value
    return _coerce(wanted, value, where)


def _first_that_fits(kinds: Sequence[Any], value: Any, where: str) -> Any:
    for kind in kinds:
        try:
            return _coerce(kind, value, where)
        except SettingsError:
            continue
    names = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
    raise SettingsError(f"{where} must be {names}, not {value!r}")


PATH = types.MappingProxyType({"path": True})


def public(settings: Any) -> Any:
    """Settings as plain JSON values, without the fields marked as paths: what may stand
    in an output."""
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        fields = [
            field
            for field in dataclasses.fields(settings)
            if not field.metadata.get("path")
        ]
        return {field.name: public(getattr(settings, field.name)) for field in fields}
    if isinstance(settings, Mapping):
        return {key: public(value) for key, value in sorted(settings.items())}
    if isinstance(settings, tuple | list):
        return [public(value) for value in settings]
    return settings
