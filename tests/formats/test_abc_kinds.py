"""ABC as it is found: for every kind of sign that a reader may take wrongly, small tunes and what
sounds of them."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.beam.sandbox import Sandbox
from pipelines.formats.abc import AbcTune, read_tune
from pipelines.formats.abc_chords import chord_pitches, leaves_chord_on
from pipelines.formats.abc_header import meter_of, read_header, split_tunes, tempo_bpm_of
from pipelines.formats.abc_key import accidentals_of
from pipelines.formats.abc_parts import part_order, sections_in_order
from schemas.contracts import Limits
from schemas.reject import BadInput, Reason
from schemas.song import GUITAR, PIANO, Song

LIMITS = Limits()


def read(music: str, fields: str = "", meter: str = "4/4", key: str = "C") -> AbcTune:
    return read_tune(f"X:1\nT:t\nM:{meter}\nL:1/4\n{fields}K:{key}\n{music}\n", LIMITS)


def melody(tune: AbcTune) -> list[tuple[float, float, int]]:
    """(start, length in quarters, pitch) of the piano track."""
    rows = tune.notes.tolist()
    return [(row[0] / 24, row[1] / 24, row[2]) for row in rows if row[4] == PIANO]


def letters(music: str, fields: str = "", meter: str = "4/4") -> str:
    """What sounds of a tune in C major: C is 60, c 72."""
    names = dict(
        zip(
            (60, 62, 64, 65, 67, 69, 71, 72, 74, 76, 77, 79, 81, 83),
            "CDEFGABcdefgab",
            strict=True,
        )
    )
    return "".join(names[pitch] for _, _, pitch in melody(read(music, fields, meter)))


def chords(music: str) -> list[tuple[float, float, int]]:
    """(start, length in quarters, root) of the chords."""
    found = {}
    for row in read(music).notes.tolist():
        if row[4] == GUITAR:
            found.setdefault(row[0], (row[0] / 24, row[1] / 24, row[2]))
    return list(found.values())


def reason(music: str, fields: str = "") -> Reason:
    with pytest.raises(BadInput) as caught:
        read(music, fields)
    assert "music21" not in caught.value.detail
    return caught.value.reason


class TestParts:
    @pytest.mark.parametrize(
        ("order", "parts"),
        [
            ("ABA", "ABA"), ("A2B", "AAB"), ("(AB)3", "ABABAB"), ("(AB)2A3", "ABABAAA"), ("((AB)2C)2", "ABABCABABC"),
            ("A.B. A", "ABA"), ("A ABB", "AABB"), ("", ""), ("A0B", "B"), ("A12", "A" * 12),
        ],
    )  # fmt: skip
    def test_order(self, order: str, parts: str) -> None:
        assert part_order(order) == parts

    def test_orders_that_cannot_be(self) -> None:
        for order in ("(AB", "AB)", "((((A)99)99)99)99"):
            with pytest.raises(BadInput):
                part_order(order)

    def test_sections(self) -> None:
        assert sections_in_order(["A", "B"], "ABA") == [0, 1, 0]
        assert sections_in_order(["", "A", "B"], "BA") == [0, 2, 1]
        assert sections_in_order(["A", "B"], "XY") == [0, 1]
        assert sections_in_order(["A", "B", "A"], "ABA") == [0, 1, 2]
        assert sections_in_order(["A", "V", "V"], "AV") == [0, 1, 2]

    @pytest.mark.parametrize(
        ("fields", "music", "sounds"),
        [
            ("P:ABA\n", "P:A\nC4|\nP:B\nD4|", "CDC"),
            ("Y:ABA\n", "P:A\nC4|\nP:B\nD4|", "CDC"),
            ("P:A2B\n", "P:A\nC4|\nP:B\nD4|", "CCD"),
            ("P:(AB)2\n", "[P:A]C4|[P:B]D4|", "CDCD"),
            ("P:BA\n", "P:A\n|:C4:|\nP:B\nD4:|", "DDCC"),
            ("P:AB\n", "E4|\nP:A\nC4|\nP:B\nD4|", "ECD"),
            ("P:AABB\n", "C4|D4|", "CD"),
            ("", "P:A\nC4|\nP:B\nD4|", "CD"),
            ("P:AC\n", "P:A\nC4|\nP:B\nD4|", "C"),
        ],
    )
    def test_what_sounds(self, fields: str, music: str, sounds: str) -> None:
        assert letters(music, fields) == sounds

    def test_tempo_of_a_part_comes_back_with_it(self) -> None:
        tune = read("P:A\nC4|\nP:B\nQ:1/4=60\nD4|", "P:ABA\n")
        assert tune.tempi.tolist() == [(0, 120.0), (96, 60.0), (192, 120.0)]


class TestWords:
    def test_a_tune_ends_at_an_empty_line(self) -> None:
        assert (
            letters("CDEF|GABc|]\n\nThe above came from a book, and is good.") == "CDEFGABc"
        )
        assert letters("CDEF|\n \t\nGABc|") == "CDEF"

    def test_blocks_of_text(self) -> None:
        for kind in ("text", "ps", "svg"):
            music = f"CDEF|\n%%begin{kind}\na bad cab\n\nX:2\n%%end{kind}\nGABc|"
            (text,) = split_tunes(f"X:1\nM:4/4\nL:1/4\nK:C\n{music}\n".encode())
            assert len(read_tune(text, LIMITS).notes) == 8
        assert letters("CDEF|\n%%begintext\nGABc|") == "CDEFGABc"

    def test_fields_that_go_on(self) -> None:
        for words in (
            "w:la la\n+:a bad cab",
            "N:a note\\\na bad cab",
            "H:one\n+:bad\n+:cab",
        ):
            assert letters(f"CDEF|\n{words}\nGABc|") == "CDEFGABc", words
        assert read_header("X:1\nT:A long\n+:title\nK:C\nC|").title == "A long title"

    def test_comments_with_odd_bytes(self) -> None:
        for byte in (b"\x85", b"\x0b", b"\x0c", b"\x1c", b"\xff", "\u2028".encode()):
            blob = (
                b"X:1\nT:Bl\xc3\xa5\nM:4/4\nL:1/4\nK:C\nCDEF| % a"
                + byte
                + b"bad cab\nGABc|\n"
            )
            (text,) = split_tunes(blob)
            assert len(read_tune(text, LIMITS).notes) == 8, byte
            assert read_header(text).title == "Blå"

    def test_prose_is_told_from_music_and_counted(self) -> None:
        tune = read("CDEF|\nThis one is from the other book\nGABc|")
        assert len(melody(tune)) == 8 and tune.unread == {"words": 1}
        assert letters("vCuD kE.F|~GHA SB Tc|") == "CDEFGABc"


class TestRests:
    @pytest.mark.parametrize(
        ("music", "meter", "start"),
        [
            ("CxCC|x4|Z2|D4|", "4/4", 16),
            ("Z|D|", "3/4", 3),
            ("Z2|D|", "6/8", 6),
            ("X4|D|", "4/4", 16),
            ("Z3|D|", "2+3/8", 7.5),
            ("x/x/z2x|D|", "4/4", 4),
            ("Z|D|", "none", 4),
            ("y8 z y4|D|", "4/4", 1),
        ],
    )
    def test_keep_time(self, music: str, meter: str, start: float) -> None:
        assert melody(read(music, meter=meter))[-1][::2] == (start, 62)

    def test_bars_of_rest_are_bars(self) -> None:
        assert read("C4|Z2|D4|").bars["length"].tolist() == [96] * 4


class TestOldChords:
    def test_plus_chords(self) -> None:
        wanted = [
            (0, 1, 60),
            (0, 1, 64),
            (0, 1, 67),
            (1, 1, 62),
            (1, 1, 65),
            (2, 1, 64),
            (3, 1, 65),
        ]
        assert melody(read("+CEG+ +DF+ E F|")) == wanted
        assert melody(read("+C2E2G2+ +^DF+|"))[3:] == [(2, 1, 63), (2, 1, 65)]
        assert melody(read("+CE+2 F|"))[2] == (2, 1, 65)

    def test_plus_decorations(self) -> None:
        for sign in (
            "+trill+",
            "+ff+",
            "+mf+",
            "+fermata+",
            "!f!",
            "!trill!",
            "!D.C.!",
            "!<(!",
            "+D.C.+",
        ):
            assert letters(f"C{sign}D E{sign}F|") == "CDEF", sign

    def test_brackets_with_odd_contents(self) -> None:
        assert melody(read('["Am"C.E !f!G]2 D2|'))[:3] == [
            (0, 2, 60),
            (0, 2, 64),
            (0, 2, 67),
        ]
        assert letters("[+GB]C|") == "GBC"


class TestRepeats:
    @pytest.mark.parametrize(
        ("music", "sounds"),
        [
            ("|::Bcd::|", "BcdBcdBcd"),
            ("|::C4:|D4|", "CCCD"),
            ("|:::C4:::|", "CCCC"),
            ("|:C4::D4:|", "CCDD"),
            ("|:C4|1D4:|2E4:|3F4|]", "CDCECF"),
            ("|:C4|1,2D4:|3E4:|", "CDCDCE"),
            ('|:C4|["1"D4:|["2"E4|', "CDCE"),
            ('|:C4|[1"D"D4:|[2"E"E4|', "CDCE"),
            ("|:C4.|D4:|", "CDCD"),
            # fingerings
            ('C4|"4"D4|["2"E]4:|', "CDECDE"),
        ],
    )
    def test_what_sounds(self, music: str, sounds: str) -> None:
        assert letters(music) == sounds


class TestOverlays:
    def test_a_second_voice_over_the_bar(self) -> None:
        tune = read("CDEF&c4|G4|]")
        assert tune.bars["length"].tolist() == [96, 96]
        assert (0, 4, 72) in melody(tune) and (4, 4, 67) in melody(tune)

    def test_several_and_with_rests(self) -> None:
        tune = read("C4&z2e2&x3g|D4|")
        assert melody(tune) == [(0, 4, 60), (2, 2, 76), (3, 1, 79), (4, 4, 62)]

    def test_shorter_and_broken_ones_leave_the_bar(self) -> None:
        assert read("CDEF&c<d|G4|").bars["length"].tolist() == [96, 96]

    def test_over_two_bars(self) -> None:
        tune = read("C4|D4&&e4|f4|G4|")
        assert melody(tune) == [(0, 4, 60), (0, 4, 76), (4, 4, 62), (4, 4, 77), (8, 4, 67)]

    def test_over_bars_in_brackets(self) -> None:
        tune = read("B4|(&C4|D4&e4|f4&)|G4|")
        assert melody(tune) == [
            (0, 4, 71), (4, 4, 60), (4, 4, 76), (8, 4, 62), (8, 4, 77), (12, 4, 67)
        ]  # fmt: skip

    def test_in_brackets_from_inside_a_bar_twice_and_cut_short(self) -> None:
        assert melody(read("C2(&D2&e2&)|G4|")) == [
            (0, 2, 60),
            (0, 2, 76),
            (2, 2, 62),
            (4, 4, 67),
        ]
        assert melody(read("(&C4|D4&e4|f4&g4|a4&)|")) == [
            (0, 4, 60), (0, 4, 76), (0, 4, 79), (4, 4, 62), (4, 4, 77), (4, 4, 81)
        ]  # fmt: skip
        assert melody(read("(&C4|D4&e4&)|G4|")) == [
            (0, 4, 60),
            (0, 4, 76),
            (4, 4, 62),
            (8, 4, 67),
        ]

    def test_its_accidentals_are_its_own(self) -> None:
        assert melody(read("^C4&C4|"))[0][2] == 60

    def test_in_another_voice(self) -> None:
        tune = read("V:1\nC4|\nV:2\nE4&G4|\nV:1\nD4|")
        assert melody(tune) == [(0, 4, 60), (4, 4, 62)]


class TestTies:
    @pytest.mark.parametrize(
        ("music", "wanted"),
        [
            ("^c4-|c2 z2|", [(0, 6, 73)]),
            ("^c4-|c4-|c2 z2|", [(0, 10, 73)]),
            ("^c4-|[ce]4|", [(0, 8, 73), (4, 4, 76)]),
            ("[^ce]4-|[ce]4|", [(0, 8, 73), (0, 8, 76)]),
            ("^c4-|c2 c2|", [(0, 6, 73), (6, 2, 72)]),
            ("^c4|c4|", [(0, 4, 73), (4, 4, 72)]),
            ("_B4-|=B4|", [(0, 4, 70), (4, 4, 71)]),
            ("^c4-|z4|c4|", [(0, 4, 73), (8, 4, 72)]),
        ],
    )
    def test_carry_the_accidental(
        self, music: str, wanted: list[tuple[float, float, int]]
    ) -> None:
        assert melody(read(music)) == wanted

    def test_into_the_second_ending(self) -> None:
        assert melody(read("|:^c4-|1c4:|2c4|"))[-1] == (8, 8, 73)

    def test_accidentals_of_one_note_alone(self) -> None:
        text = "X:1\nM:4/4\nL:1/4\nK:C\n^c-c c2|\n"
        assert read_tune(text, LIMITS, False).notes["pitch"].tolist() == [73, 72]


class TestChords:
    def test_two_symbols_on_a_note(self) -> None:
        assert chords('"Am""C"A2"G"B2|') == [(0, 2, 45), (2, 2, 43)]
        assert chords('|:"Am""C"A4:|') == [(0, 4, 45), (4, 4, 36)]
        assert chords('|::"Am""C"A4::|') == [(0, 4, 45), (4, 4, 36), (8, 4, 36)]
        assert chords('"^slow""Am"A4|') == [(0, 4, 45)]

    @pytest.mark.parametrize(
        ("symbol", "wanted"),
        [
            ("CM7", (36, 40, 43, 47)), ("Cadd9", (36, 40, 43, 50)), ("C7sus4", (36, 41, 43, 46)), ("C°", (36, 39, 42)),
            ("C-7", (36, 39, 43, 46)), ("C5", (36, 43)), ("Ca", (36, 40, 44)), ("Fa7", (41, 45, 49, 51)),
            ("D/f+", (38, 42, 45)), ("Am/g+", (45, 48, 52)), ("Em/d+", (40, 43, 47)), ("Cø7", (36, 39, 42, 46)),
            ("Bbmaj7", (46, 50, 53, 57)), ("B♭", (46, 50, 53)), ("Csus2", (36, 38, 43)), ("C6/9", (36, 40, 43, 45, 50)),
            ("C9", (36, 40, 43, 46, 50)), ("C+", (36, 40, 44)), ("Cm(maj7)", (36, 39, 43, 47)), ("Cdim7/e", (36, 39, 42, 45)),
        ],
    )  # fmt: skip
    def test_names(self, symbol: str, wanted: tuple[int, ...]) -> None:
        assert chord_pitches(symbol) == wanted

    def test_one_that_cannot_be_read_ends_the_one_before_and_is_counted(self) -> None:
        assert chords('"Am"A2"Cxyz"B2|c4|') == [(0, 2, 45)]
        for symbol in ("Cxyz", "am", "H7", "xyz", "Amm7", "C?"):
            assert chords(f'"Am"A2"{symbol}"B2|') == [(0, 2, 45)], symbol
            assert read(f'"Am"A2"{symbol}"B2|').unknown_chords == 1, symbol
        assert chords('"Am"A2"N.C."B2|') == [(0, 2, 45)]
        assert read('"Am"A2"N.C."B2|').unknown_chords == 0

    def test_remarks_and_a_bass_alone_let_it_sound(self) -> None:
        for remark in (
            "D.C.",
            "D.C. al Fine",
            "Fine",
            "Coda",
            "4",
            "Segno",
            "/f+",
            "mf",
            "cresc.",
            "Solo part",
        ):
            assert leaves_chord_on(remark), remark
            assert chords(f'"Am"A2"{remark}"B2|') == [(0, 4, 45)], remark


class TestTempiMetersKeys:
    @pytest.mark.parametrize(
        ("text", "bpm"),
        [
            ("C=100", 50), ("C2=100", 100), ("C3=100", 150), ("C3/2=80", 60), ("C/=200", 50), ("1/4 3/8=40", 100),
            ("1/8 1/8 1/8=40", 60), ("120", 120), ('"Allegro" 1/4=120', 120), ('1/4=120 "Allegro"', 120), ("1/4 = ca. 96", 96),
            ("3/8=100-120", 150), ("1/2=60", 120), ("Allegro", None), ("1/4", None),
        ],
    )  # fmt: skip
    def test_tempi(self, text: str, bpm: float | None) -> None:
        assert tempo_bpm_of(text) == bpm

    def test_a_tempo_by_notes_is_of_the_unit_length(self) -> None:
        assert read_header("X:1\nM:4/4\nL:1/4\nQ:C=100\nK:C\nC|").tempo_bpm == 100
        assert read("C4|", "Q:fast\n").unread == {"tempo": 1}

    @pytest.mark.parametrize(
        ("text", "meter"),
        [
            ("2+3/8", (5, 8)), ("(2+3+2)/8", (7, 8)), ("2+2+3/16", (7, 16)), ("3/4+2/4", (5, 4)), ("3/4+3/8", (9, 8)),
            ("C", (4, 4)), ("C|", (2, 2)), ("none", None), ("free", None), (" 6 / 8 ", (6, 8)),
        ],
    )  # fmt: skip
    def test_meters(self, text: str, meter: tuple[int, int] | None) -> None:
        assert meter_of(text) == meter

    def test_bars_of_added_meters(self) -> None:
        for meter in ("2+3/8", "(2+3)/8"):
            assert read("A/B/c/d/e/|A/B/c/d/e/|", meter=meter).bars["length"].tolist() == [
                60,
                60,
            ]

    @pytest.mark.parametrize(
        ("key", "moved"),
        [
            ("D exp ^c", {"C": 1}), ("D", {"F": 1, "C": 1}), ("D ^g", {"F": 1, "C": 1, "G": 1}), ("Am ^g", {"G": 1}),
            ("D =c", {"F": 1, "C": 0}), ("Ador", {"F": 1}), ("A Mixolydian", {"F": 1, "C": 1}), ("Bbm", dict.fromkeys("BEADG", -1)),
            ("F#m", dict.fromkeys("FCG", 1)), ("Eb", dict.fromkeys("BEA", -1)), ("HP", {"F": 1, "C": 1}), ("none", {}), ("", {}),
            ("G clef=bass", {"F": 1}), ("E minor", {"F": 1}), ("DM", {"F": 1, "C": 1}),
            ("clef=bass", None), ("D phr ^f", {"B": -1, "E": -1, "F": 1}),
        ],
    )  # fmt: skip
    def test_keys(self, key: str, moved: dict[str, int] | None) -> None:
        assert accidentals_of(key) == moved

    def test_a_new_clef_leaves_the_key(self) -> None:
        assert [
            pitch for _, _, pitch in melody(read("F|[K:clef=bass]F|[K:C]F|", key="G"))
        ] == [
            66,
            66,
            65,
        ]


class TestLengths:
    @pytest.mark.parametrize(
        ("note", "length"),
        [
            ("C////", 1 / 16),
            ("C//", 0.25),
            ("C/4", 0.25),
            ("C3/2", 1.5),
            ("C/", 0.5),
            ("C3//", 0.75),
        ],
    )
    def test_slashes(self, note: str, length: float) -> None:
        assert melody(read(f"{note} D|"))[1][0] == pytest.approx(length, abs=1 / 48)

    def test_quarter_tones_are_no_lengths_and_counted(self) -> None:
        tune = read("^/c2 _/d ^3/2e|")
        assert [note[:2] for note in melody(tune)] == [(0, 2), (2, 1), (3, 1)]
        assert tune.unread == {"quarter tone": 3}

    def test_quoted_printable(self) -> None:
        assert melody(read("=3DF2 F2|=20", key="G"))[0] == (0, 2, 65)

    def test_refusals_are_in_our_words(self) -> None:
        for music in (
            "[CEG|",
            "C/0|",
            "(0CDE|",
            "^^^c|",
            "c'''''''|",
            "L:zz\nC|",
            "K:Q\nC|",
            "M:5/7\nC|",
        ):
            assert reason(music) == Reason.MALFORMED, music
        assert reason("Z9999999|C|") == Reason.TOO_LARGE
        assert reason("P:A\nC|", "P:((((A)99)99)99)99\n") == Reason.TOO_LARGE


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet="ABcz|:[]12(3)/->\"^_=,'KPV: \n{}!%&+xyXZ~\\", max_size=60),
    st.text("AB()23.", max_size=12),
)
def test_any_text_is_a_song_or_bad_input(music: str, order: str) -> None:
    text = f"X:1\nM:6/8\nL:1/8\nP:{order}\nK:G\n{music}\n"
    try:
        tune = read_tune(text, LIMITS)
    except BadInput:
        return
    Song("test", "x", tune.notes, tune.bars, tune.tempi, "score")


@given(st.binary(max_size=80))
def test_any_bytes_are_cut_into_tunes(blob: bytes) -> None:
    for text in split_tunes(b"X:1\n" + blob):
        with contextlib.suppress(BadInput):
            read_header(text)


def read_in_time(line: str) -> AbcTune:
    """A tune of one line, read in a child process that is ended after 20 s."""
    sandbox = Sandbox(20.0)
    try:
        return sandbox.call(read_tune, f"X:1\nL:1/64\nK:C\n{line}\n", Limits())
    finally:
        sandbox.close()


@pytest.mark.parametrize("line", ["[" + "C1111" * 40, "[" + "^C/2" * 300])
def test_a_chord_that_does_not_end_is_no_endless_search(line: str) -> None:
    with pytest.raises(BadInput) as bad:
        read_in_time(line)
    assert bad.value.reason == Reason.MALFORMED


def test_an_old_chord_that_does_not_end_is_a_sign_before_notes() -> None:
    tune = read_in_time("+" + "C11" * 40)
    assert len(tune.notes) == 40 and tune.unread == {"sign": 1}


def test_a_part_that_its_order_repeats_takes_the_second_chord_the_second_time() -> None:
    text = 'X:1\nM:4/4\nL:1/4\nP:ABAA\nK:C\nP:A\n"Am""C"A4|\nP:B\n"G"B4|\n'
    tune = read_tune(text, Limits())
    chords = tune.notes[tune.notes["track"] == GUITAR]
    roots = [
        chords["pitch"][chords["start"] == bar].min() % 12 for bar in (0, 96, 192, 288)
    ]
    assert roots == [9, 7, 0, 9]  # Am, G, C, Am


@pytest.mark.parametrize(
    "mark", ["{", '"', "!", "[A:", "+", "[C", "[", "(", "&", "y", "[K:"]
)
def test_a_line_of_open_marks_takes_time_by_its_length(mark: str) -> None:
    def seconds(n: int) -> float:
        begin = time.process_time()
        with contextlib.suppress(BadInput):
            read("C4|" + mark * n)
        return time.process_time() - begin

    # Eight times as long a line: 8 where time goes by length, 64 where by its square.
    assert seconds(40_000) < 30 * max(seconds(5_000), 0.01)
