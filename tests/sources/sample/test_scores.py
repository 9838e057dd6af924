"""Scores: against music21's own streams on real pieces, and a small score whose notes
are known by hand."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from music21 import common, converter

from pipelines.formats.npz import read_npz
from pipelines.formats.npz_write import write_npz
from pipelines.sources.sample.arrange import assign_tracks, detach, kind_of
from pipelines.sources.sample.scores import read_score
from schemas.contracts import Limits
from schemas.reject import BadInput, Reason
from schemas.song import (
    BASS,
    DRUMS,
    GUITAR,
    PIANO,
    STRINGS,
    Song,
    covered_ticks,
    make_notes,
)

CORPUS = Path(common.getCorpusFilePath())
PIECES = [
    "bach/bwv10.7.mxl", "bach/bwv123.6.mxl", "bach/bwv130.6.mxl", "mozart/k80/movement3.mxl", "corelli/opus3no1/1grave.xml",
]  # fmt: skip


def note(
    step: str, octave: int, duration: int, extra: str = "", alter: int = 0, voice: int = 1
) -> str:
    pitch = (
        f"<pitch><step>{step}</step><alter>{alter}</alter><octave>{octave}</octave></pitch>"
    )
    return (
        f"<note>{extra}{pitch}<duration>{duration}</duration><voice>{voice}</voice></note>"
    )


def tied(step: str, octave: int, duration: int, kind: str) -> str:
    return note(step, octave, duration).replace("<voice>", f'<tie type="{kind}"/><voice>')


def score(*parts: tuple[str, list[str]]) -> str:
    """A MusicXML score of (name, measures), divisions of 2 to the quarter."""
    names = "".join(
        f'<score-part id="P{i}"><part-name>{name}</part-name></score-part>'
        for i, (name, _) in enumerate(parts)
    )
    bodies = "".join(
        f'<part id="P{i}">'
        + "".join(
            f'<measure number="{n}">{text}</measure>' for n, text in enumerate(measures)
        )
        + "</part>"
        for i, (_, measures) in enumerate(parts)
    )
    return f'<?xml version="1.0"?><score-partwise version="3.1"><part-list>{names}</part-list>{bodies}</score-partwise>'


def attributes(
    beats: int, fifths: int = 0, mode: str = "major", extra: str = "", unit: int = 4
) -> str:
    return (
        f"<attributes><divisions>2</divisions><key><fifths>{fifths}</fifths><mode>{mode}</mode></key>"
        f"<time><beats>{beats}</beats><beat-type>{unit}</beat-type></time>{extra}</attributes>"
    )


def metronome(bpm: int) -> str:
    return (
        '<direction placement="above"><direction-type><metronome><beat-unit>quarter</beat-unit>'
        f"<per-minute>{bpm}</per-minute></metronome></direction-type></direction>"
    )


def dynamic(mark: str) -> str:
    return f"<direction><direction-type><dynamics><{mark}/></dynamics></direction-type></direction>"


def rows(notes: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(map(int, row)) for row in notes]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Pick-up, a tie over a bar line, a mark of tempo and of loudness, a change of meter, a
    clarinet in B flat, a bass."""
    transpose = "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>"
    clarinet = [
        attributes(3, -1, "minor", transpose) + metronome(90) + note("D", 5, 2),
        dynamic("ff") + note("E", 5, 4) + tied("G", 5, 2, "start"),
        attributes(2, -1, "minor")
        + metronome(60)
        + tied("G", 5, 2, "stop")
        + note("C", 5, 1)
        + note("C", 5, 1),
    ]
    bass = [
        attributes(3) + note("C", 3, 2),
        note("C", 3, 6) + note("G", 3, 6, "<chord/>"),
        attributes(2) + note("C", 3, 4),
    ]
    path = tmp_path / "small.musicxml"
    path.write_text(score(("Clarinet", clarinet), ("Bass", bass)))
    return path


def test_small_score_by_hand(small: Path) -> None:
    found = read_score(small, 111.0)
    mf, ff = 70, round(127 * 0.85)
    expected = [
        (0, 24, 72, mf, PIANO), (24, 48, 74, ff, PIANO), (72, 48, 77, ff, PIANO), (120, 11, 70, ff, PIANO),
        (132, 12, 70, ff, PIANO), (0, 23, 48, mf, BASS), (24, 71, 48, mf, BASS), (24, 72, 55, mf, BASS), (96, 48, 48, mf, BASS),
    ]  # fmt: skip
    assert rows(found.notes) == sorted(expected, key=lambda row: (row[0], row[4], row[2]))
    assert rows(found.bars) == [(0, 24, 3, 4), (24, 72, 3, 4), (96, 48, 2, 4)]
    assert found.tempi.tolist() == [(0, 90.0), (96, 60.0)]
    assert (found.tempo_source, found.mode) == ("printed", "minor")


def test_default_tempo_and_missing_names(tmp_path: Path) -> None:
    path = tmp_path / "plain.musicxml"
    path.write_text(score(("Violin", [attributes(4) + note("C", 5, 8)])))
    found = read_score(path, 77.0)
    assert (found.tempi.tolist(), found.tempo_source) == ([(0, 77.0)], "default")
    assert (found.title, found.composer, found.tonic, found.mode) == (
        None,
        None,
        0,
        "major",
    )


def test_a_word_of_tempo_counts_where_there_is_no_number(tmp_path: Path) -> None:
    words = "<direction><direction-type><words>Adagio cantabile</words></direction-type></direction>"
    path = tmp_path / "words.musicxml"
    path.write_text(score(("Violin", [attributes(4) + words + note("C", 5, 8)])))
    found = read_score(path, 77.0)
    assert (found.tempi.tolist(), found.tempo_source) == ([(0, 56.0)], "words")


def test_bar_divided_by_a_repeat_sign_is_one_bar(tmp_path: Path) -> None:
    measures = [
        attributes(4) + note("C", 5, 8),
        note("D", 5, 6),
        note("E", 5, 2),
        note("F", 5, 8),
    ]
    path = tmp_path / "halves.musicxml"
    path.write_text(score(("Violin", measures)))
    # music21 takes a short measure for a whole one unless it is said to be implicit.
    path.write_text(path.read_text().replace('number="2"', 'number="X1" implicit="yes"'))
    assert read_score(path, 100.0).bars["length"].tolist() == [96, 96, 96]


@pytest.mark.parametrize("name", PIECES)
def test_notes_equal_music21s(name: str) -> None:
    """Each part's (start, end, pitch) with ties joined, from music21's own flattening,
    before `detach`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed = converter.parse(CORPUS / name, forceSource=True, storePickle=False)
    expected = set()
    for part in parsed.parts:
        for element in part.toSoundingPitch().stripTies().flatten().notes:
            if element.quarterLength:
                expected |= {
                    (round(element.offset * 24), pitch.midi) for pitch in element.pitches
                }
    found = read_score(CORPUS / name, 100.0)
    assert {(start, pitch) for start, _, pitch, _, _ in rows(found.notes)} == expected


@pytest.mark.parametrize("name", PIECES)
def test_bars_are_a_songs_and_equal_music21s(name: str) -> None:
    found = read_score(CORPUS / name, 100.0)
    song = Song("sample", "x", found.notes, found.bars.copy(), found.tempi, "score")
    assert song.bars["start"][-1] + song.bars["length"][-1] >= covered_ticks(found.notes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed = converter.parse(CORPUS / name, forceSource=True, storePickle=False)
    measures = {
        round(measure.offset * 24)
        for measure in parsed.parts[0].getElementsByClass("Measure")
    }
    assert set(found.bars["start"].tolist()) <= measures
    full = (
        found.bars["length"]
        == 96 * found.bars["numerator"].astype(int) // found.bars["denominator"]
    )
    assert full[1:-1].all()


def test_quartet_has_four_tracks_from_the_top_down() -> None:
    found = read_score(CORPUS / "mozart/k80/movement3.mxl", 100.0)
    means = {
        track: found.notes["pitch"][found.notes["track"] == track].mean()
        for track in (PIANO, GUITAR, STRINGS, BASS)
    }
    assert sorted(means, key=means.__getitem__, reverse=True) == [
        PIANO,
        GUITAR,
        STRINGS,
        BASS,
    ]
    assert not (found.notes["track"] == DRUMS).any()


@pytest.mark.parametrize(
    ("kinds", "means", "tracks"),
    [
        (["", "", "", ""], [70, 65, 60, 50], [PIANO, GUITAR, STRINGS, BASS]),
        (
            ["", "", "", "", ""],
            [60, 72, 65, 55, 48],
            [STRINGS, PIANO, GUITAR, STRINGS, BASS],
        ),
        (["", "", "Bass"], [70, 65, 50], [PIANO, STRINGS, BASS]),
        (["", ""], [50, 60], [BASS, PIANO]),
        ([""], [60], [PIANO]),
        (["", "Piano", "Piano", "Bass"], [70, 60, 40, 45], [STRINGS, PIANO, PIANO, BASS]),
        (["Drums", "", "", "Guitar"], [40, 70, 50, 60], [DRUMS, PIANO, BASS, GUITAR]),
        (
            ["", "", "", "", ""],
            [70, 65, np.nan, 60, 50],
            [PIANO, GUITAR, STRINGS, STRINGS, BASS],
        ),
    ],
)
def test_tracks(kinds: list[str], means: list[float], tracks: list[int]) -> None:
    assert assign_tracks(kinds, np.array(means, float)).tolist() == tracks


def test_kinds_by_name() -> None:
    names = {
        "Violoncello": "Bass", "Contrabass": "Bass", "Violone e Organo": "Bass", "Bassoon": "", "Basset Horn": "",
        "Harp": "Guitar", "Harpsichord": "Piano", "Pianoforte": "Piano", "Bass Drum": "Drums", "Soprano": "",
        "Sharp Singers": "",
    }  # fmt: skip
    assert {name: kind_of(name) for name in names} == names


@given(
    st.lists(
        st.tuples(
            st.integers(0, 60),
            st.integers(1, 30),
            st.integers(60, 62),
            st.integers(1, 2),
            st.integers(0, 1),
        ),
        min_size=1,
    )
)
def test_detached_notes_survive_a_roll(columns: list[tuple[int, ...]]) -> None:
    notes = detach(make_notes(*(np.array(column) for column in zip(*columns, strict=True))))
    tempi = np.array([(0, 120.0)], [("start", "<i4"), ("bpm", "<f4")])
    assert np.array_equal(
        read_npz(write_npz(notes, tempi, 100, "x"), Limits()).notes, notes
    )
    first = min(start for start, *_ in columns)
    assert notes["start"].min() == first


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<score-partwise/>",
        b"PK\x03\x04 not a zip",
        b'<?xml version="1.0"?><score-partwise><part-list>',
    ],
)
def test_bad_files_are_bad_input(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.musicxml"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        read_score(path, 100.0)
    assert caught.value.reason == Reason.MALFORMED


def test_score_without_notes_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "silent.musicxml"
    path.write_text(
        score(("Violin", [attributes(4) + "<note><rest/><duration>8</duration></note>"]))
    )
    with pytest.raises(BadInput):
        read_score(path, 100.0)
