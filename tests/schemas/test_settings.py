import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from schemas.settings import PATH, SettingsError, build, override, public, read_toml


@dataclass(frozen=True)
class Inner:
    width: int = 1
    root: str = field(default="", metadata=PATH)


@dataclass(frozen=True)
class Outer:
    name: str
    share: float = 0.5
    kind: Literal["a", "b"] = "a"
    limit: int | None = None
    words: tuple[str, ...] = ()
    threshold: float | str = "median"
    inner: Inner = field(default_factory=Inner)
    tables: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.share > 1:
            raise ValueError("share must be at most 1")


def test_a_table_becomes_a_dataclass() -> None:
    table = {
        "name": "x",
        "share": 1,
        "kind": "b",
        "limit": 3,
        "words": ["p", "q"],
        "threshold": 0.4,
        "inner": {"width": 2},
    }
    assert build(Outer, table) == Outer("x", 1.0, "b", 3, ("p", "q"), 0.4, Inner(2))
    assert build(Outer, {"name": "x"}) == Outer("x")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({}, "name is missing"),
        ({"name": "x", "shares": 1.0}, "unknown key shares: did you mean share"),
        (
            {"name": "x", "inner": {"zzz": 1}},
            r"unknown key inner\.zzz: known are root, width",
        ),
        ({"name": "x", "inner": 3}, "inner must be a table"),
        ({"name": 3}, "name must be str, not 3"),
        ({"name": "x", "limit": "3"}, "limit must be int or None"),
        ({"name": "x", "limit": True}, "limit must be int or NoneType, not True"),
        ({"name": "x", "kind": "c"}, "kind must be 'a' or 'b', not 'c'"),
        ({"name": "x", "words": ["p", 1]}, r"words\[1\] must be str"),
        ({"name": "x", "share": 2.0}, "share must be at most 1"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(table: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        build(Outer, table)


def test_overrides_lay_values_over_and_leave_the_tables_alone() -> None:
    tables = {"name": "x", "inner": {"width": 1}}
    laid = override(
        tables, ["name=a word", "inner.width=5", "words=['p']", "new.deep.key=0.5"]
    )
    assert laid == {
        "name": "a word",
        "inner": {"width": 5},
        "words": ["p"],
        "new": {"deep": {"key": 0.5}},
    }
    assert tables == {"name": "x", "inner": {"width": 1}}
    for wrong in ("name", "=3", "name.sub=3"):
        with pytest.raises(SettingsError, match="--set"):
            override(tables, [wrong])


def test_toml_that_is_not_there_or_not_toml(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*No such file"):
        read_toml(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(SettingsError, match="is not TOML"):
        read_toml(str(tmp_path / "bad.toml"))


def test_what_is_public_has_no_path_and_one_order() -> None:
    outer = Outer("x", inner=Inner(2, "/home/me"), tables={"b": Inner(), "a": 1})
    assert "/home/me" not in str(public(outer))
    assert list(public(outer)["tables"]) == ["a", "b"]
    assert public(outer)["inner"] == {"width": 2}


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 50_000, "a = " + "9" * 5000, "a." * 5000 + "b=1"]
)
def test_toml_beyond_all_measure_is_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with contextlib.suppress(SettingsError):
        read_toml(str(path))


def test_values_beyond_all_measure_are_a_sentence() -> None:
    with pytest.raises(SettingsError, match="nested too deep"):
        override({}, ["a=" + "[" * 50_000])
    assert override({}, ["a=" + "9" * 5000]) == {"a": "9" * 5000}


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "{", "\xff"]
)
def test_json_beyond_all_measure_is_a_value_error(text: str) -> None:
    from schemas.manifest import from_json

    with pytest.raises(ValueError):  # noqa: PT011  # of many texts
        from_json(text)
