"""The same command again: what may have passed is tried again, and an edited file is noticed."""

import errno
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.beam import shards
from pipelines.cli import main
from pipelines.formats.npz_write import write_npz
from pipelines.io import files
from schemas import mock
from schemas.reject import BadInput, Reason

IN_PROCESS = ["--", "--runner=FnApiRunner"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Eight made-up songs and a build file over them, of two shards."""
    for song in mock.songs(8, n_bars=8):
        path = tmp_path / "lpd" / f"{song.source_key}.npz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(write_npz(song.notes, song.tempi, 8 * 96, song.source_key))
    (tmp_path / "build.toml").write_text(
        f'name = "t"\nshards = 2\nmax_reject_share = 1.0\n[sources.lpd5]\nroot = "{tmp_path}/lpd"\n'
    )
    return tmp_path


def ingest(folder: Path, *more: str) -> int:
    arguments = ["ingest", str(folder / "build.toml"), "--out", str(folder / "out"), *more]
    return main([*arguments, *IN_PROCESS])


def songs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "out" / "songs").iterdir()}


def rejects(folder: Path) -> dict[str, str]:
    return {
        row["song_id"]: row["reason"]
        for path in sorted((folder / "out" / "rejects").iterdir())
        for row in pq.read_table(path).to_pylist()
    }


@pytest.mark.parametrize("reason", [Reason.UNREADABLE, Reason.TIMEOUT])
def test_a_fault_that_passes_is_tried_twice_and_by_the_next_command_again(
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reason: Reason,
) -> None:
    assert ingest(corpus) == 0
    sound = songs(corpus)
    for path in (corpus / "out" / "songs").iterdir():
        path.unlink()
    unlucky = sorted((corpus / "lpd").iterdir())[0].stem
    tries: list[str] = []
    read = shards.read_blobs

    def faulty(item: Any, *rest: Any) -> Any:
        if item.key == unlucky:
            tries.append(item.key)
            raise BadInput(reason, "the machine is unwell")
        return read(item, *rest)

    monkeypatch.setattr(shards, "read_blobs", faulty)
    assert ingest(corpus) == 0
    assert rejects(corpus) == {f"lpd5:{unlucky}": reason} and len(tries) == 2
    # It has not passed: the shard stays as it is, and only that song is asked for.
    spoilt = songs(corpus)
    times = {path: path.stat().st_mtime_ns for path in (corpus / "out" / "songs").iterdir()}
    capsys.readouterr()
    assert ingest(corpus) == 0
    assert "1 songs of shard" in capsys.readouterr().err and len(tries) == 4
    assert {path: path.stat().st_mtime_ns for path in times} == times and songs(
        corpus
    ) == spoilt
    monkeypatch.undo()
    assert ingest(corpus) == 0
    assert rejects(corpus) == {} and songs(corpus) == sound
    assert ingest(corpus) == 0
    assert "tried again" in capsys.readouterr().err
    assert ingest(corpus) == 0
    assert capsys.readouterr().err == ""


def edit(path: Path, times: tuple[float, float] | None = None) -> None:
    """Change a file and not its size: the velocities of another song, as it were."""
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    if times:
        os.utime(path, times)


def test_an_edit_of_the_same_size_is_noticed(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(corpus) == 0
    sound = songs(corpus)
    path = sorted((corpus / "lpd").iterdir())[0]
    whole, before = path.read_bytes(), (path.stat().st_atime, path.stat().st_mtime)
    edit(path)
    capsys.readouterr()
    assert ingest(corpus) == 0
    assert "is read again, since files of theirs were edited" in capsys.readouterr().err
    assert songs(corpus) != sound or rejects(corpus)
    # An older time hides an edit from all but --check.
    path.write_bytes(whole)
    os.utime(path, before)
    assert ingest(corpus) == 0
    assert "read again" not in capsys.readouterr().err
    assert ingest(corpus, "--check") == 0
    assert "is read again" in capsys.readouterr().err
    assert songs(corpus) == sound and rejects(corpus) == {}


def test_a_new_time_alone_reads_nothing_again(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(corpus) == 0
    for path in (corpus / "lpd").iterdir():
        path.touch()
    capsys.readouterr()
    assert ingest(corpus) == 0
    assert ingest(corpus, "--check") == 0
    assert capsys.readouterr().err == ""


def test_a_shard_that_was_cut_is_read_again(corpus: Path) -> None:
    assert ingest(corpus) == 0
    sound = songs(corpus)
    first, second = sorted((corpus / "out" / "songs").iterdir())
    first.write_bytes(first.read_bytes()[:-20])
    (corpus / "out" / "signatures" / second.name.replace("songs", "signatures")).unlink()
    assert ingest(corpus) == 0
    assert songs(corpus) == sound


def test_a_reader_that_fails_is_counted_and_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from pipelines.ingest import _say_failures

    _say_failures(
        [("lpd5:b", "ValueError: negative seek value"), ("lpd5:a", "KeyError: 3")]
    )
    said = capsys.readouterr().err
    assert "the reader failed at 2 songs (reader_failed)" in said
    assert "  lpd5:a: KeyError: 3\n  lpd5:b: ValueError: negative seek value" in said


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_what_the_machine_refuses_is_a_sentence_and_the_same_command_goes_on(
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    create = files._create

    def full(path: str) -> Any:
        if "songs-00001" in path:
            raise OSError(number, os.strerror(number), path)
        return create(path)

    monkeypatch.setattr(files, "_create", full)
    assert ingest(corpus) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"moodroll-data ingest: {os.strerror(number)} (")
    assert said.endswith("mend that, and run the same command again")
    monkeypatch.undo()
    assert ingest(corpus) == 0
    assert len(songs(corpus)) == 2


def test_a_build_whose_folder_was_emptied_may_be_started_again(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(corpus) == 0
    sound = songs(corpus)
    # As workers leave it that went on after somebody had removed the folder
    (corpus / "out" / "ingest.lock.json").unlink()
    sorted((corpus / "out" / "songs").iterdir())[0].unlink()
    (corpus / "out" / "songs" / "songs-00000-of-00002.parquet.part-77-abcd").write_text("x")
    assert ingest(corpus) == 0
    assert songs(corpus) == sound
    (corpus / "out" / "ingest.lock.json").unlink()
    (corpus / "out" / "songs" / "letter.txt").write_text("dear")
    assert ingest(corpus) == 2
    assert "is not empty and holds no build" in capsys.readouterr().err


def test_what_stopped_commands_left_in_a_release_is_taken_away(corpus: Path) -> None:
    build = [str(corpus / "build.toml"), "--out", str(corpus / "out"), *IN_PROCESS]
    assert main(["build", *build]) == 0
    release = corpus / "out" / "release"
    for name in ("report.html", "manifest.json", "data/test-00000-of-00002.parquet"):
        (release / f"{name}.part-77-abcd").write_text("half")
    (corpus / "out" / "catalog" / "catalog-00000-of-00002.parquet.part-77-abcd").write_text(
        "half"
    )
    assert main(["build", *build]) == 0
    assert not list((corpus / "out").rglob("*.part-*"))
    assert not (corpus / "out" / "progress").exists() or not list(
        (corpus / "out" / "progress").iterdir()
    )
