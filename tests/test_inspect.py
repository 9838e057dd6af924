"""inspect: what readers make of files, in words and as JSON."""

import json
from pathlib import Path

import pytest
import symusic

from pipelines.cli import main
from pipelines.formats.npz_write import write_npz
from schemas import mock

TUNES = (
    "X:1\nT:One\nM:3/4\nL:1/4\nK:D\nDFA|d3|\n\nX:2\nT:Two\nM:4/4\nL:1/4\nK:Am\nABcd|e4|\n"
)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A file of each kind."""
    score = symusic.Score(480)
    for program, is_drum, pitch in (
        (0, False, 60),
        (30, False, 55),
        (0, True, 38),
        (120, False, 70),
    ):
        track = symusic.Track(f"part {pitch}", program, is_drum)
        for beat in range(16):
            track.notes.append(symusic.Note(480 * beat + beat % 2, 400, pitch, 80))
        score.tracks.append(track)
    score.time_signatures.append(symusic.TimeSignature(0, 3, 4))
    score.time_signatures.append(symusic.TimeSignature(480 * 12, 4, 4))
    score.key_signatures.append(symusic.KeySignature(0, -1, 0))
    score.dump_midi(tmp_path / "song.mid")
    song = mock.songs(1, n_bars=8)[0]
    (tmp_path / "roll.npz").write_bytes(
        write_npz(song.notes, song.tempi, 8 * 96, song.source_key)
    )
    (tmp_path / "tunes.abc").write_text(TUNES)
    (tmp_path / "empty.mid").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no music at all")
    return {path.name: str(path) for path in tmp_path.iterdir()}


def test_every_kind_of_file_is_said_as_json(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    good = [files[name] for name in ("song.mid", "roll.npz", "tunes.abc")]
    assert main(["inspect", *good, "--json"]) == 0
    song, roll, *tunes = json.loads(capsys.readouterr().out)
    assert song["read_as"] == "midi" and song["title"] == "song"
    assert song["tracks"] == {"Drums": 16, "Piano": 16, "Guitar": 16}
    assert [one["track"] for one in song["in_the_file"]].count("none") == 1
    assert song["losses"]["unplaced_notes"] == 16 and song["losses"]["rounded_onsets"] == 32
    assert [(run["is"], run["from_bar"]) for run in song["meters"]] == [
        ("3/4", 1),
        ("4/4", 5),
    ]
    assert song["keys_of_the_file"][0]["is"] == "F major"
    assert sum(run["bars"] for run in song["keys"]) == song["bars"] == 5
    assert roll["read_as"] == "lpd5" and roll["bars"] == 8
    assert [(tune["title"], tune["meters"][0]["is"]) for tune in tunes] == [
        ("One", "3/4"),
        ("Two", "4/4"),
    ]


def test_a_refused_file_says_why_and_the_others_go_on(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("empty.mid", "notes.txt", "song.mid")
    assert main(["inspect", *(files[name] for name in names), "--set", "beats=track"]) == 1
    says = capsys.readouterr().out
    assert "refused   empty_file: it has no bytes" in says
    assert "refused   malformed: not a MIDI file: no MThd at its start" in says
    assert "bars from tracked (confidence" in says


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.mid"], "no file at nowhere.mid"),
        (["--set", "beat=file", "x"], "did you mean beats"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", *arguments]) == 2
    assert says in capsys.readouterr().err
