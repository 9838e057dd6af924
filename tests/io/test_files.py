import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from apache_beam.io.filesystem import FileMetadata, MatchResult
from apache_beam.io.filesystems import FileSystems

from pipelines.io import files
from pipelines.io.files import BeamFiles


def test_walk_is_sorted_and_follows_links_once(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.npz").write_bytes(b"12")
    (tmp_path / "a.npz").mkdir()
    (tmp_path / "b" / "back").symlink_to(tmp_path)
    (tmp_path / "gone.npz").symlink_to(tmp_path / "nowhere")
    found = [(info.path, info.n_bytes) for info in BeamFiles().walk(str(tmp_path))]
    assert found == [("a.npz", None), ("b/two.npz", 2), ("gone.npz", None)]


def test_a_folder_that_cannot_be_read_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shut").mkdir()
    scandir = os.scandir

    def refuse(folder: str) -> Iterator[os.DirEntry[str]]:
        if str(folder).endswith("shut"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        BeamFiles().walk(str(tmp_path))


def test_what_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file"

    def fail() -> None:
        with files.atomic(str(target)) as stream:
            stream.write(b"half")
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    files.write_text(str(target), "whole")
    files.write_text(str(target), "again")
    assert target.read_text() == "again" and list(tmp_path.iterdir()) == [target]


def test_a_scheme_is_listed_through_beam(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def match(patterns: list[str]) -> list[MatchResult]:
        asked.extend(patterns)
        found = [
            FileMetadata("gs://bucket/lpd/b/2.npz", 2),
            FileMetadata("gs://bucket/lpd/a/1.npz", 1),
        ]
        return [MatchResult(patterns[0], found)]

    monkeypatch.setattr(FileSystems, "match", match)
    found = [(info.path, info.n_bytes) for info in BeamFiles().walk("gs://bucket/lpd")]
    assert asked == ["gs://bucket/lpd/**"] and found == [("a/1.npz", 1), ("b/2.npz", 2)]


def test_a_scheme_is_read_through_beam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        FileSystems, "open", lambda path, compression_type: io.BytesIO(path.encode())
    )
    monkeypatch.setattr(FileSystems, "join", lambda *parts: "/".join(parts))
    assert BeamFiles().read("gs://bucket/lpd", "a/1.npz") == b"gs://bucket/lpd/a/1.npz"
    assert files.is_local("/data/lpd") and not files.is_local("gs://bucket/lpd")
