"""The page beside written pieces: what it says, and that it plays."""

import re

from schemas import mock
from schemas.midi import write_midi
from training.generation.listen import described, roll, write_page

from ...browser import assert_plays

SCALE = mock.song(
    "Piano: C4 D4 E4 F4 | G4 A4 B4 C5 | G4 F4 E4 D4 | C4 _ _ _\nDrums: C2 C2 C2 C2 | C2 C2 C2 C2 | C2 C2 C2 C2 | C2 - - -",
    bpm=90,
)


def test_a_piece_is_described_by_what_it_is() -> None:
    assert (
        described(SCALE)
        == "C major, 90 quarters a minute, 6.5 notes a bar, 4 bars of 11 seconds"
    )


def test_the_roll_has_every_note_and_the_tracks_that_play() -> None:
    drawn = roll(SCALE)
    paths = re.findall(r'<path d="([^"]*)" stroke="#(?:9aa5b1|4f7cac)"', drawn)
    assert [path.count("M") for path in paths] == [13, 13]
    assert ">Piano<" in drawn and ">Drums<" in drawn and ">Bass<" not in drawn
    assert drawn.count('id="frame"') == 1


def test_a_page_of_every_file_of_its_folder(tmp_path) -> None:
    for name in ("happy-0", "a-source"):
        write_midi(SCALE, tmp_path / f"{name}.mid")
    (tmp_path / "broken.mid").write_bytes(b"MThd")
    path = write_page(str(tmp_path))
    text = (tmp_path / "index.html").read_text()
    assert path == str(tmp_path / "index.html")
    assert re.findall("<h2>(.*?)</h2>", text) == ["a-source", "happy-0"]
    again = (tmp_path / "index.html").read_bytes()
    write_page(str(tmp_path))
    assert (tmp_path / "index.html").read_bytes() == again


def test_it_plays_in_a_browser(tmp_path) -> None:
    write_midi(SCALE, tmp_path / "piece.mid")
    write_page(str(tmp_path))
    assert_plays((tmp_path / "index.html").read_text(), tmp_path)
