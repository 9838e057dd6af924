"""fetch as a user runs it: what goes well, what is there already, browsers, and what
stands in its way."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main
from pipelines.fetch.fetch import Fetched
from pipelines.fetch.pins import known
from schemas.settings import SettingsError


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_an_archive_is_fetched_verified_and_unpacked(
    host: Any, tmp_path: Path, desk: Any, kind: str
) -> None:
    data = desk.packed(kind, {**desk.TUNES, "readme": b"left out"})
    host.files["/x"] = data
    sha256 = hashlib.sha256(data).hexdigest()
    manifest = desk.manifest(
        kind=kind, urls=[f"{host.url}/x"], size=len(data), sha256=sha256
    )
    source, fetched, was_there = desk.fetch(manifest)
    assert not was_there and source.name == "tunes"
    assert desk.tree(desk.to / "tunes") == {
        name.removeprefix("set/"): data for name, data in desk.TUNES.items()
    }
    assert fetched == Fetched(
        "tunes", sha256, len(data), "tunes", 3, sum(map(len, desk.TUNES.values()))
    )
    assert sorted(os.listdir(desk.to)) == ["tunes", "tunes.lock.json"]
    assert json.loads((desk.to / "tunes.lock.json").read_text())["sha256"] == sha256
    assert str(tmp_path) not in (desk.to / "tunes.lock.json").read_text()


def test_what_is_fetched_already_is_not_fetched_again(host: Any, desk: Any) -> None:
    host.files["/x"] = desk.packed("tar.gz", desk.TUNES)
    manifest = desk.manifest(urls=[f"{host.url}/x"])
    _, first, _ = desk.fetch(manifest)
    _, second, was_there = desk.fetch(manifest)
    assert was_there and second == first and len(host.asked) == 1
    (desk.to / "tunes" / "a.mid").unlink()
    assert "has 2 files of" in desk.refused(manifest)
    (desk.to / "tunes" / "a.mid").symlink_to("nowhere")
    assert "has 3 files of" in desk.refused(manifest)


def test_a_plain_file_is_fetched(host: Any, desk: Any) -> None:
    host.files["/x"], host.always = b'{"TR": 1}', "chunked"
    manifest = desk.manifest(
        kind="file", path="deep/scores.json", inside="", urls=[f"{host.url}/x"]
    )
    desk.fetch(manifest)
    assert desk.tree(desk.to).keys() == {"deep/scores.json", "tunes.lock.json"}
    assert (desk.to / "deep" / "scores.json").read_bytes() == host.files["/x"]


def test_redirects_are_followed_and_mirrors_are_tried_in_turn(host: Any, desk: Any) -> None:
    host.files["/x"] = desk.packed("tar.gz", desk.TUNES)
    host.tricks = [404, (302, {"Location": "/y"}), (301, {"Location": f"{host.url}/x"})]
    desk.fetch(desk.manifest(urls=[f"{host.url}/gone", f"{host.url}/moved"]))
    assert [path for path, _, _ in host.asked] == ["/gone", "/moved", "/y", "/x"]
    assert len(desk.tree(desk.to / "tunes")) == 3


def test_an_address_given_by_hand_takes_the_place_of_the_manifests(
    host: Any, desk: Any
) -> None:
    host.files["/mine"] = desk.packed("tar.gz", desk.TUNES)
    desk.fetch(desk.manifest(urls=[f"{host.url}/theirs"]), url=f"{host.url}/mine")
    assert [path for path, _, _ in host.asked] == ["/mine"]


def test_a_source_for_browsers_says_where_to_click_and_takes_the_file(
    tmp_path: Path, desk: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = desk.manifest(browser="https://example.org/get", click="the second link")
    assert main(["fetch", manifest, "--to", str(desk.to)]) == 2
    said = capsys.readouterr().err
    assert (
        "open https://example.org/get, take the second link, then pass --archive FILE"
        in said
        and said.count("\n") == 1
    )
    assert (
        main(["fetch", manifest, "--to", str(desk.to), "--archive", str(tmp_path / "none")])
        == 2
    )
    assert "no file at" in capsys.readouterr().err and not desk.to.exists()
    archive = tmp_path / "set.tar.gz"
    archive.write_bytes(desk.packed("tar.gz", desk.TUNES))
    assert main(["fetch", manifest, "--to", str(desk.to), "--archive", str(archive)]) == 0
    said = capsys.readouterr().out
    assert (
        "3 files" in said
        and "CC0" in said
        and hashlib.sha256(archive.read_bytes()).hexdigest() in said
    )
    assert archive.exists() and len(desk.tree(desk.to / "tunes")) == 3
    assert main(["fetch", manifest, "--to", str(desk.to)]) == 0
    assert "fetched already" in capsys.readouterr().out


def test_a_plain_file_given_as_archive_is_copied(tmp_path: Path, desk: Any) -> None:
    given = tmp_path / "scores.json"
    given.write_text("{}")
    manifest = desk.manifest(kind="file", inside="", urls=["http://a/b"], size=3)
    assert (
        "has 2 bytes where 3 are expected" in desk.refused(manifest, str(given))
        and os.listdir(desk.to) == []
    )
    desk.fetch(
        desk.manifest(kind="file", inside="", urls=["http://a/b"]), archive=str(given)
    )
    assert given.exists() and (desk.to / "tunes").read_text() == "{}"


def test_an_unknown_source_is_told_the_known_ones(
    desk: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "nothing-of-the-sort", "--to", str(desk.to)]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in known()) and said.count("\n") == 1


def test_what_fetch_did_not_put_there_is_not_written_over(desk: Any) -> None:
    (desk.to / "tunes").mkdir(parents=True)
    with pytest.raises(SettingsError, match="fetch did not put it there"):
        desk.fetch(desk.manifest(urls=["http://a/b"]))
    (desk.to / "tunes.lock.json").write_text("{")
    with pytest.raises(SettingsError, match="cannot read"):
        desk.fetch(desk.manifest(urls=["http://a/b"]))


def test_a_folder_that_cannot_be_written_has_its_sentence(
    tmp_path: Path, desk: Any
) -> None:
    desk.to.write_text("")
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(desk.packed("tar.gz", desk.TUNES))
    manifest = desk.manifest(urls=["http://a/b"])
    assert "cannot write to" in desk.refused(manifest, archive=str(archive))


def test_a_full_disk_keeps_the_part(
    host: Any, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.files["/x"] = desk.noisy()
    manifest = desk.manifest(urls=[f"{host.url}/x"])

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pipelines.fetch.unpack._write", full)
        assert "No space left on device" in desk.refused(manifest)
    assert sorted(os.listdir(desk.to)) == ["tunes.part", "tunes.part.json"]
    desk.fetch(manifest)
    assert len(host.asked) == 1 and len(desk.tree(desk.to / "tunes")) == 2
