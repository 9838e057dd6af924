"""freeze-spotify as a command: what it says without credentials or with lists that are
none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.cli import main
from pipelines.freeze import given_ids
from pipelines.labels.msd import write_track
from pipelines.labels.spotify import client as spotify


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "unique_tracks.txt"
    path.write_text("TRAAAAA0000000000F<SEP>SOAAAAA00000000000<SEP>The Band<SEP>The Song\n")
    return path


def test_without_credentials_one_sentence_says_what_to_do(
    listed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("SPOTIPY_CLIENT_ID", raising=False)
    monkeypatch.delenv("SPOTIPY_CLIENT_SECRET", raising=False)
    assert main(["freeze-spotify", str(listed), "--out", str(tmp_path / "t.parquet")]) == 1
    error = capsys.readouterr().err.strip()
    assert (
        "SPOTIPY_CLIENT_ID" in error
        and "frozen label table" in error
        and len(error.splitlines()) == 1
    )
    assert not (tmp_path / "t.parquet").exists()


def test_a_refusal_by_spotify_says_what_to_use_instead(
    listed: Path,
    tmp_path: Path,
    fake_spotify: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command against a server that answers 403, as Spotify does to new apps."""
    api = spotify.SpotifyApi
    url = fake_spotify.url
    monkeypatch.setattr(
        "pipelines.freeze.SpotifyApi",
        lambda manners: api(manners, lambda _: None, f"{url}/v1/", f"{url}/api/token"),
    )
    # The search is answered, the features are not.
    fake_spotify.tricks, fake_spotify.always = [None], 403
    fake_spotify.tracks = {"0" * 22: ("The Song", ["The Band"], "", 200.0)}
    assert main(["freeze-spotify", str(listed), "--out", str(tmp_path / "t.parquet")]) == 1
    error = capsys.readouterr().err.strip()
    assert "403" in error and "frozen label table" in error


@pytest.mark.parametrize(
    ("name", "text"),
    [("t.txt", "no separators"), ("t.csv", "a,b\n1,2\n"), ("t.h5", "no HDF5")],
)
def test_a_list_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    assert (
        main(["freeze-spotify", str(tmp_path / name), "--out", str(tmp_path / "t.parquet")])
        == 2
    )
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "journal",
    [b"not a journal\n", b"\xff\xfe\n", b"[]\n", b'{"config": {"min_similarity": 0.5}}\n'],
)
def test_a_journal_that_is_none_or_of_other_settings(
    listed: Path,
    tmp_path: Path,
    fake_spotify: Any,
    capsys: pytest.CaptureFixture[str],
    journal: bytes,
) -> None:
    (tmp_path / "t.parquet.journal").write_bytes(journal)
    assert main(["freeze-spotify", str(listed), "--out", str(tmp_path / "t.parquet")]) == 2
    error = capsys.readouterr().err.strip()
    assert "t.parquet.journal" in error and len(error.splitlines()) == 1
    assert (tmp_path / "t.parquet.journal").read_bytes() == journal


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [("--out", "none/t.parquet", "cannot write"), ("--min-similarity", "7", "[0, 1]")],
)
def test_what_cannot_be_meant_is_one_sentence(
    listed: Path,
    tmp_path: Path,
    fake_spotify: Any,
    capsys: pytest.CaptureFixture[str],
    flag: str,
    value: str,
    says: str,
) -> None:
    value = str(tmp_path / value) if flag == "--out" else value
    assert (
        main(
            [
                "freeze-spotify",
                str(listed),
                "--out",
                str(tmp_path / "t.parquet"),
                flag,
                value,
            ]
        )
        == 2
    )
    error = capsys.readouterr().err.strip()
    assert says in error and len(error.splitlines()) == 1


def test_damaged_files_of_a_folder_are_named_and_the_rest_is_fetched(
    tmp_path: Path,
    fake_spotify: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    api, url = spotify.SpotifyApi, fake_spotify.url
    monkeypatch.setattr(
        "pipelines.freeze.SpotifyApi",
        lambda manners: api(manners, lambda _: None, f"{url}/v1/", f"{url}/api/token"),
    )
    fake_spotify.tracks, fake_spotify.values = (
        {"0" * 22: ("The Song", ["The Band"], "", 200.0)},
        {"0" * 22: (0.25, 0.75)},
    )
    (tmp_path / "msd" / "B").mkdir(parents=True)
    row = {
        "track_id": "TRAAAAA0000000000F",
        "artist": "The Band",
        "title": "The Song",
        "duration": 200.0,
    }
    write_track(
        str(tmp_path / "msd" / "B" / "good.h5"), row, np.arange(3.0), np.zeros((3, 12))
    )
    for number in range(30):
        (tmp_path / "msd" / f"bad{number:02d}.h5").write_bytes(b"no HDF5")
    (tmp_path / "msd" / "folder.h5").mkdir()
    assert (
        main(
            ["freeze-spotify", str(tmp_path / "msd"), "--out", str(tmp_path / "t.parquet")]
        )
        == 0
    )
    said, errors = capsys.readouterr()
    assert "1 tracks, 1 with values" in said
    lines = errors.strip().splitlines()
    assert (
        lines[0].startswith("31 files are no MSD tracks")
        and "bad00.h5: not an HDF5 file" in lines[1]
    )
    assert lines[-1].strip() == "and 11 more" and len(lines) == 22


def test_a_folder_of_damaged_files_alone_is_refused(
    tmp_path: Path, fake_spotify: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.h5").write_bytes(b"no HDF5")
    assert (
        main(["freeze-spotify", str(tmp_path), "--out", str(tmp_path / "t.parquet")]) == 2
    )
    errors = capsys.readouterr().err
    assert (
        "bad.h5: not an HDF5 file" in errors
        and "no track of" in errors
        and not fake_spotify.asked
    )


def test_given_ids_are_taken_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "given.csv"
    path.write_text(f"track_id,spotify_id\nTRAAAAA0000000000F,{'0' * 21}7\n")
    assert given_ids(str(path)) == {"TRAAAAA0000000000F": f"{'0' * 21}7"}
