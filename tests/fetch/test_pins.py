"""What stands in manifests/sources, and how a manifest that is not in order is refused."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.fetch import pins
from pipelines.fetch.pins import known, load_source
from pipelines.registry import SOURCES
from schemas.settings import SettingsError


@pytest.mark.parametrize("name", known())
def test_every_manifest_is_in_order(name: str) -> None:
    source = load_source(name)
    assert source.name == name
    assert len(source.licence_text) > 4 and len(source.citation_text) > 20
    assert source.loader in ("", *SOURCES)
    assert bool(source.size) == bool(source.sha256)


def test_the_sources_the_project_builds_from_are_there() -> None:
    assert {
        "lpd-5-full",
        "lpd-5-cleansed",
        "lmd-match-scores",
        "msd-unique-tracks",
        "msd-summary",
    } <= set(known())
    assert {"nottingham", "nottingham-abc", "nottingham-lisa"} <= set(known())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"licence": " "}, "licence and citation"),
        ({"works": ["nobody's"]}, 'no work "nobody\'s": known are lpd'),
        ({"urls": []}, "urls, or a browser page"),
        ({"urls": ["ftp://a/b.zip"]}, "not an http or https address"),
        ({"sha256": "abc"}, "64 digits"),
        ({"path": "../tunes"}, "must stay below"),
        ({"inside": "/set"}, "must stay below"),
        ({"path": "."}, "name a place"),
        ({"name": "a/b"}, "must be of a-z"),
        ({"kind": "rar"}, "kind must be 'zip' or 'tar.gz'"),
        ({"licence_": "x"}, "unknown key licence_: did you mean licence?"),
    ],
)
def test_a_manifest_that_is_not_in_order_is_refused_by_name(
    desk: Any, fields: dict[str, Any], says: str
) -> None:
    path = desk.manifest(**({"urls": ["http://a/b"]} | fields))
    with pytest.raises(SettingsError, match=says) as error:
        load_source(path)
    assert path in str(error.value)


def test_the_manifests_of_an_installed_package_are_found(
    tmp_path: Path, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "share" / "moodroll" / "manifests" / "sources"
    installed.mkdir(parents=True)
    Path(desk.manifest(urls=["http://a/b"])).rename(installed / "tunes.toml")
    monkeypatch.setattr(
        pins, "__file__", str(tmp_path / "lib" / "pipelines" / "fetch" / "pins.py")
    )
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    assert known() == ["tunes"] and load_source("tunes").title == "some tunes"
