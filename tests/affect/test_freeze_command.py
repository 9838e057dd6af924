"""freeze-spotify as a command: what it says without credentials or with lists that are none."""

from pathlib import Path

import pytest

from pipelines.affect import spotify
from pipelines.cli import main


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "unique_tracks.txt"
    path.write_text("TRAAAAA0000000000F<SEP>SOAAAAA00000000000<SEP>The Band<SEP>The Song\n")
    return path


def test_without_credentials_one_sentence_says_what_to_do(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SPOTIPY_CLIENT_ID", raising=False)
    monkeypatch.delenv("SPOTIPY_CLIENT_SECRET", raising=False)
    assert main(["freeze-spotify", str(listed), "--out", str(tmp_path / "t.parquet")]) == 1
    error = capsys.readouterr().err.strip()
    assert "SPOTIPY_CLIENT_ID" in error and "frozen label table" in error and len(error.splitlines()) == 1
    assert not (tmp_path / "t.parquet").exists()


def test_a_refusal_by_spotify_says_what_to_use_instead(
    listed: Path, tmp_path: Path, fake_spotify: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command against a server that answers 403, as Spotify does to new apps."""
    api = spotify.SpotifyApi
    url = fake_spotify.url  # type: ignore[attr-defined]
    monkeypatch.setattr(
        "pipelines.freeze.SpotifyApi", lambda manners: api(manners, lambda _: None, f"{url}/v1/", f"{url}/api/token")
    )
    # The search is answered, the features are not.
    fake_spotify.tricks, fake_spotify.always = [None], 403  # type: ignore[attr-defined]
    fake_spotify.tracks = {"0" * 22: ("The Song", ["The Band"], "", 200.0)}  # type: ignore[attr-defined]
    assert main(["freeze-spotify", str(listed), "--out", str(tmp_path / "t.parquet")]) == 1
    error = capsys.readouterr().err.strip()
    assert "403" in error and "frozen label table" in error


@pytest.mark.parametrize(("name", "text"), [("t.txt", "no separators"), ("t.csv", "a,b\n1,2\n"), ("t.h5", "no HDF5")])
def test_a_list_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert main(["freeze-spotify", str(tmp_path / name), "--out", str(tmp_path / "t.parquet")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
