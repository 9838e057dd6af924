"""ABC tunes: what is written, against what sounds; music21's own streams are the oracle
for the notes."""

import math
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music21 import abcFormat
from music21.abcFormat import translate
from music21.common import getCorpusFilePath

from pipelines.formats.abc import AbcTune, read_tune
from pipelines.formats.abc_chords import chord_pitches
from pipelines.formats.abc_header import read_header, split_tunes
from pipelines.formats.abc_measures import Measure
from pipelines.formats.abc_repeats import play_order
from schemas.contracts import Limits
from schemas.reject import BadInput, Reason
from schemas.song import GUITAR, PIANO, Song

LIMITS = Limits()


def tune(music: str, meter: str = "4/4", unit: str = "1/4", key: str = "C") -> AbcTune:
    return read_tune(f"X:1\nT:t\nM:{meter}\nL:{unit}\nK:{key}\n{music}\n", LIMITS)


def melody(of: AbcTune) -> list[tuple[int, int, int]]:
    """(start, duration, pitch) of the piano track."""
    return [tuple(row)[:3] for row in of.notes.tolist() if row[4] == PIANO]


def pitches(music: str, **fields: str) -> list[int]:
    return [pitch for _, _, pitch in melody(tune(music, **fields))]


def letters(music: str) -> str:
    """What sounds of a tune that has each letter once: C is 60, D 62, ..."""
    return "".join("C.D.EF.G.A.Bc.d.ef.g.a.b"[pitch - 60] for pitch in pitches(music))


def chords(of: AbcTune) -> list[tuple[int, int, int]]:
    return [tuple(row)[:3] for row in of.notes.tolist() if row[4] == GUITAR]


def reason(text: str, limits: Limits = LIMITS) -> Reason:
    with pytest.raises(BadInput) as caught:
        read_tune(text, limits)
    return caught.value.reason


class TestSplit:
    def test_tunes_and_the_files_own_fields(self) -> None:
        blob = b"% a book\nM:6/8\nL:1/8\n\nX:1\nT:One\nK:G\nABc|\n\n\nX: 2\nT:Two\nM:3/4\nK:D\ndef|\n"
        first, second = split_tunes(blob)
        assert read_header(first).meter == (6, 8) and read_header(first).title == "One"
        assert read_header(second).meter == (3, 4) and read_header(second).number == 2
        assert "Two" not in first

    def test_decoding(self) -> None:
        for text in ("utf-8", "utf-8-sig", "latin-1"):
            (one,) = split_tunes("X:1\r\nT:Blåklinten\r\nK:G\r\nABc|\r\n".encode(text))
            assert read_header(one).title == "Blåklinten"
            assert len(read_tune(one, LIMITS).notes) == 3

    def test_no_tune(self) -> None:
        assert (
            split_tunes(b"")
            == split_tunes(b"hello\nT:no number\n")
            == split_tunes(bytes(range(256)))
            == []
        )


class TestHeader:
    def test_fields(self) -> None:
        text = "X:12\nT:First\nT:Second\nC:Trad.\nR: Slip Jig\nM:9/8 % as printed\nL:1/8\nQ:3/8=100\nK:Ador\nABc|"
        header = read_header(text)
        assert (header.number, header.title, header.composer, header.rhythm) == (
            12,
            "First",
            "Trad.",
            "Slip Jig",
        )
        assert (header.meter, header.unit, header.key, header.tempo_bpm) == (
            (9, 8),
            "1/8",
            "Ador",
            150.0,
        )

    @pytest.mark.parametrize(
        ("text", "meter"), [("C", (4, 4)), ("C|", (2, 2)), ("none", None), ("5/4", (5, 4))]
    )
    def test_meters(self, text: str, meter: tuple[int, int] | None) -> None:
        assert read_header(f"X:1\nM:{text}\nK:G\nA|").meter == meter

    @pytest.mark.parametrize(
        ("text", "bpm"),
        [
            ("1/4=90", 90),
            ("120", 120),
            ('"Slowly" 1/8=120', 60),
            ('"Slowly"', None),
            ("1/4=0", None),
            ("x", None),
        ],
    )
    def test_tempi(self, text: str, bpm: float | None) -> None:
        assert read_header(f"X:1\nQ:{text}\nK:G\nA|").tempo_bpm == bpm

    def test_fields_after_the_key_and_text_between_fields(self) -> None:
        """Nottingham puts M: after K:; O'Neill's has histories that run on."""
        text = "X:1\nM:4/4\nH:A tune that\nBaggage made.\nK:A\nM:6/8\nP:A\nf|ecc|\n"
        assert read_header(text).meter == (6, 8)
        assert pitches("", key="A\nM:6/8\nP:A\nf|ecc|") == [78, 76, 73, 73]
        assert len(read_tune(text, LIMITS).notes) == 4


class TestNotes:
    def test_lengths_key_and_accidentals(self) -> None:
        assert melody(tune("C D/ E3/2 F|f'2 B,, z|", unit="1/4")) == [
            (0, 24, 60), (24, 12, 62), (36, 36, 64), (72, 24, 65), (96, 48, 89), (144, 24, 47),
        ]  # fmt: skip
        assert pitches("FCG|=F^G_B|", key="D") == [66, 61, 67, 65, 68, 70]

    def test_an_accidental_holds_to_the_end_of_its_bar(self) -> None:
        text = "X:1\nM:4/4\nL:1/4\nK:C\n^FFfF|F4|\n"
        carried, single = (
            read_tune(text, LIMITS, carry).notes["pitch"].tolist()
            for carry in (True, False)
        )
        assert carried == [66, 66, 78, 66, 65] and single == [66, 65, 77, 65, 65]

    def test_broken_rhythm_also_across_slurs_and_grace_notes(self) -> None:
        for music in (
            "A>B c<d|",
            "(A>B) c<d|",
            "A>(B c)<d|",
            "A>{c}B c<.d|",
            "!trill!A>~B uc<d|",
        ):
            assert [row[1] for row in melody(tune(music))] == [36, 12, 12, 36], music

    def test_tuplets(self) -> None:
        assert [row[:2] for row in melody(tune("(3ABc d|", unit="1/8"))] == [
            (0, 8),
            (8, 8),
            (16, 8),
            (24, 12),
        ]
        assert [row[1] for row in melody(tune("(3{a}ABc d|", unit="1/8"))] == [8, 8, 8, 12]
        assert [row[1] for row in melody(tune("(6::2AB d|", unit="1/4"))] == [8, 8, 24]

    def test_ties_join_notes_of_one_pitch_alone(self) -> None:
        assert melody(tune('A4-|"D"A2 B -c|[CE]4-|[CE]4|')) == [
            (0, 144, 69), (144, 24, 71), (168, 24, 72), (192, 192, 60), (192, 192, 64),
        ]  # fmt: skip

    def test_ties_of_chords_from_within_and_without(self) -> None:
        for music in ("[C2-E2-][CE]z|", "[C2E2]-[CE]z|", "[C-E-]2[CE]z|"):
            assert melody(tune(music)) == [(0, 72, 60), (0, 72, 64)], music

    def test_grace_notes_remarks_and_lyrics_are_silent(self) -> None:
        assert (
            letters('{gf}C "^Fine"D !fermat!E F % AAA\nw:A-A-A B\nN:A A\n|\\\nG|')
            == "CDEFG"
        )

    def test_inline_fields(self) -> None:
        assert pitches("F [K:D] F | [M:2/4][L:1/8] F2 F2|") == [65, 66, 66, 66]

    def test_voices_after_the_first_are_counted_not_read(self) -> None:
        read = tune("V:1\nCDEF|\nV:2\nGGGG|\nV:1\nGABc|\nV:2\nCCCC|")
        assert [pitch for _, _, pitch in melody(read)] == [
            60,
            62,
            64,
            65,
            67,
            69,
            71,
            72,
        ] and read.voices_left_out == 1


class TestRepeats:
    @pytest.mark.parametrize(
        ("music", "sounds"),
        [
            ("|:C4:|D4|", "CCD"),
            ("C4:|D4|", "CCD"),
            ("C4|:D4:|", "CDD"),
            ("C4::D4:|", "CCDD"),
            ("C4:||:D4:|", "CCDD"),
            ("C4:|D4:|E4:|", "CCDDEE"),
            ("C4||D4:|E4|", "CDDE"),
            ("|:C4||D4:|", "CDCD"),
            ("C4||:D4:|", "CDD"),
            ("[|:C4:|]", "CC"),
            ("|:C4|1D4:|2E4||F4|", "CDCEF"),
            ("|:C4 [1D4:|[2E4|F4|", "CDCEF"),
            ("|:C4|[1D4|E4:|[2F4|G4||A4:|", "CDECFGAA"),
            ("C4|[1D4:|[2E4::F4:|", "CDCEFF"),
            ("|:C4|1,3D4:|2E4:|F4|", "CDCECDF"),
            ("|:C4|1-2D4:|3E4|", "CDCDCE"),
            ("|:C4|1D4:|2E4:|3F4||G4|", "CDCECFG"),
            ("C4|[1D4||[2E4||", "CDE"),
            ("P:A\nC4:|\nP:B\nD4|E4:|", "CCDEDE"),
            ("C4|D4\nP:B\nE4:|", "CDEE"),
        ],
    )
    def test_what_sounds(self, music: str, sounds: str) -> None:
        assert letters(music) == sounds

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.booleans(),
                st.booleans(),
                st.booleans(),
                st.frozensets(st.integers(1, 3), max_size=2),
            ),
            min_size=1,
            max_size=12,
        )
    )
    def test_ends_and_plays_every_measure(
        self, signs: list[tuple[bool, bool, bool, frozenset[int]]]
    ) -> None:
        measures = [
            Measure((4, 4), opens=a, closes=b, section_end=c, endings=d)
            for a, b, c, d in signs
        ]
        order = play_order(measures)
        assert len(order) <= 9 * len(measures)
        unnumbered = {
            i
            for i in range(len(measures))
            if not any(measure.endings for measure in measures[: i + 1])
        }
        assert unnumbered <= set(order)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    def test_parts_with_end_signs_alone_sound_twice_each(self, lengths: list[int]) -> None:
        measures = [
            Measure((4, 4), closes=i == length - 1)
            for length in lengths
            for i in range(length)
        ]
        wanted, at = [], 0
        for length in lengths:
            wanted += 2 * list(range(at, at + length))
            at += length
        assert play_order(measures) == wanted


class TestBars:
    def test_pick_up_and_a_bar_in_two_halves(self) -> None:
        bars = tune("C|DEFG|ABc::d|efga|b3:|").bars
        assert bars["length"].tolist() == [24, *[96] * 7, 72]
        assert bars["start"].tolist() == [0, *np.cumsum(bars["length"])[:-1].tolist()]

    def test_too_long_bars_are_cut_and_short_ones_stay(self) -> None:
        assert tune("CDEFGA|BcdE|FG|ABcd|").bars["length"].tolist() == [96, 48, 96, 48, 96]

    def test_changes_of_meter(self) -> None:
        bars = tune("GGG|\nM:2/4\nGG|\nM:6/8\nG3|G3|", meter="3/4").bars
        assert [tuple(bar)[1:] for bar in bars.tolist()] == [
            (72, 3, 4),
            (48, 2, 4),
            (72, 6, 8),
            (72, 6, 8),
        ]

    def test_free_meter_takes_the_bars_as_written(self) -> None:
        assert tune("CDEFGA|Bc|", meter="none").bars["length"].tolist() == [144, 48]

    def test_bars_cover_an_onset_that_rounds_to_the_end(self) -> None:
        read = tune("C3 D7/8 E/8|")
        assert read.bars["length"].tolist() == [96, 96] and read.notes["start"].max() == 93

    def test_tempi(self) -> None:
        assert tune("C4|").tempi.tolist() == [(0, 120.0)]
        assert tune("C4|\nQ:1/4=60\nD4|[Q:1/4=90]E4|").tempi.tolist() == [
            (0, 120.0),
            (96, 60.0),
            (192, 90.0),
        ]


class TestChords:
    @pytest.mark.parametrize(
        ("symbol", "wanted"),
        [
            # as in jukedeck's MIDI files
            ("C", (36, 40, 43)), ("Am", (45, 48, 52)), ("D7", (38, 42, 45, 48)), ("F#m", (42, 45, 49)),
            ("Bb", (46, 50, 53)), ("Ebd", (39, 42, 45)), ("C6", (36, 40, 43, 45)), ("D/f+", (38, 42, 45)),
            ("Gm/bb", (43, 46, 50)), ("(E7)", (40, 44, 47, 50)), ("Cm6", (36, 39, 43, 45)), ("Am7/g", (45, 48, 52, 55)),
            ("4", ()), ("D.C.", ()), ("SEGUE", ()), ("Fine", ()), ("", ()),
        ],
    )  # fmt: skip
    def test_pitches(self, symbol: str, wanted: tuple[int, ...]) -> None:
        assert chord_pitches(symbol) == wanted

    def test_each_sounds_until_the_next(self) -> None:
        read = tune('C2 "G"DE|FGAB|"Am"c2 "D.C."BA|')
        assert chords(read) == [
            (48, 144, 43), (48, 144, 47), (48, 144, 50), (192, 96, 45), (192, 96, 48), (192, 96, 52),
        ]  # fmt: skip
        assert read.unknown_chords == 1

    def test_remarks_are_no_unknown_chords(self) -> None:
        assert tune('"^Segno"C4|"_mf"D4|').unknown_chords == 0


class TestHostile:
    def test_what_music21_refuses(self) -> None:
        for music in (
            "[CEG|",
            "A1/0|",
            "(0ABc|",
            "^^^^^^c|",
            "c''''''|",
            "A" + "9" * 400 + "|",
            "L:zz\nA|",
        ):
            assert reason(f"X:1\nM:4/4\nL:1/8\nK:C\n{music}\n") == Reason.MALFORMED, music

    def test_no_header_no_meter_no_notes(self) -> None:
        for text in (
            "",
            "X:1\nT:t\n",
            "X:1\nM:5/7\nK:C\nA|",
            "X:1\nM:0/4\nK:C\nA|",
            "X:1\nK:C\n",
            "X:1\nK:C\nz4|z4|\n",
        ):
            assert reason(text) == Reason.MALFORMED, text

    def test_too_large(self) -> None:
        assert reason("X:1\nM:4/4\nL:1/1\nK:C\nA999999|\n") == Reason.TOO_LARGE
        assert reason("X:1\nM:4/4\nL:1/1\nK:C\nA99999999999|\n") == Reason.TOO_LARGE
        assert (
            reason("X:1\nM:4/4\nL:1/4\nK:C\nABcd|\n", Limits(max_notes=3))
            == Reason.TOO_LARGE
        )

    @settings(max_examples=200, deadline=None)
    @given(st.text(alphabet="ABcdz|:[]12(3)/-<>\"^_=,'GmK: \n{}!%&xyZ~\\", max_size=60))
    def test_any_text_is_a_song_or_bad_input(self, music: str) -> None:
        try:
            read = read_tune(f"X:1\nM:6/8\nL:1/8\nK:G\n{music}\n", LIMITS)
        except BadInput:
            return
        Song("test", "x", read.notes, read.bars, read.tempi, "score")


def music21_notes(text: str) -> list[tuple[int, int]]:
    """(start, pitch) of every note as written, by music21's own streams: chord symbols,
    graces, tied ends left out."""
    handler = abcFormat.ABCHandler()
    handler.process(text)
    part = translate.abcToStreamScore(handler).parts[0]
    found = []
    for one in part.recurse().notes:
        tied = one.tie is not None and one.tie.type != "start"
        if not one.duration.isGrace and "ChordSymbol" not in one.classes and not tied:
            start = math.floor(one.getOffsetInHierarchy(part) * 24 + Fraction(1, 2))
            found += [(start, pitch.midi) for pitch in one.pitches]
    return sorted(found)


def without_repeats(text: str) -> str:
    """A tune without an order of parts whose repeat signs and endings are plain bar lines: what is
    written once sounds once."""
    head, key, music = re.sub(r"^[PY]:.*\n", "", text, flags=re.MULTILINE).partition("\nK:")
    lines = [
        line if line[1:2] == ":" else line.replace("::", "|").replace(":", "")
        for line in music.split("\n")
    ]
    return head + key + "\n".join(lines).replace("[1", "").replace("[2", "")


def test_notes_are_those_of_music21s_streams(nottingham_root: Path) -> None:
    """But for what its streams get wrong: ties of chords, ties of two pitches, bars lost
    about some double bars."""
    paths = sorted((nottingham_root / "ABC_cleaned").glob("*.abc"))
    tunes = [text for path in paths for text in split_tunes(path.read_bytes())]
    assert len(tunes) == 1034
    sample = [without_repeats(text) for text in tunes[::40]]
    equal = 0
    for text in sample:
        notes = read_tune(text, LIMITS, carry_accidentals=False).notes
        ours = [
            (start, pitch) for start, _, pitch, _, track in notes.tolist() if track == PIANO
        ]
        equal += sorted(ours) == music21_notes(text)
    assert equal >= 0.93 * len(sample)


def test_bundled_collections() -> None:
    """Every twentieth tune of music21's three ABC collections is read; what is refused
    is known."""
    refused: Counter[str] = Counter()
    n_tunes = 0
    for folder in ("ryansMammoth", "oneills1850", "airdsAirs"):
        paths = sorted((Path(getCorpusFilePath()) / folder).glob("*.abc"))
        tunes = [text for path in paths for text in split_tunes(path.read_bytes())]
        for text in tunes[::20]:
            n_tunes += 1
            try:
                read = read_tune(text, LIMITS)
            except BadInput as error:
                refused[error.detail] += 1
                continue
            Song("test", "x", read.notes, read.bars, read.tempi, "score")
            full = 96 * read.bars["numerator"].astype(int) // read.bars["denominator"]
            assert (read.bars["length"] <= full).all()
    assert n_tunes == 213 and not refused
