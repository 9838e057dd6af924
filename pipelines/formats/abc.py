"""ABC's music: folk tunes as text (ABC 2.1, and what older files hold); chord symbols are sounded
as guitar chords.

The page reads a tune from top to bottom: its fields (abc_header), the signs of each line (abc_scan),
which a reader gathers into measures; then the parts, repeats and bars in the order in which they
sound (abc_parts, abc_repeats, abc_layout).
"""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from re import Match

import numpy as np

from pipelines.formats.abc_chords import is_annotation
from pipelines.formats.abc_header import (
    FIELD,
    QUOTED,
    AbcHeader,
    meter_of,
    split_header,
    tempo_bpm_of,
    unit_of,
)
from pipelines.formats.abc_key import ACCIDENTALS, accidentals_of
from pipelines.formats.abc_layout import lay_out
from pipelines.formats.abc_measures import Measure, Note
from pipelines.formats.abc_repeats import played_measures
from pipelines.formats.abc_scan import (
    IN_CHORD,
    ending_numbers,
    is_words,
    length_of,
    note_parts,
    tokens,
    tuplet_of,
)
from schemas.contracts import Limits
from schemas.reject import BadInput, Reason

# Quarters; more is beyond any limit
_LONGEST_NOTE = 1 << 20
_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_MIDDLE_C = 60


@dataclass(frozen=True, eq=False)
class AbcTune:
    """One tune as it sounds: melody on the piano track, chord symbols on the guitar track, parts
    and repeats played out.

    notes: NOTE, bars: BAR, tempi: TEMPO (schemas.song). unknown_chords: chord symbols that name no
    chord (fingerings, "D.C."); voices_left_out: V: voices after the first, which are not read;
    unread: what else is passed over, by kind ("sign", "words", "quarter tone", "tempo").
    """

    header: AbcHeader
    notes: np.ndarray
    bars: np.ndarray
    tempi: np.ndarray
    unknown_chords: int
    voices_left_out: int
    unread: dict[str, int]


def read_tune(tune: str, limits: Limits, carry_accidentals: bool = True) -> AbcTune:
    """One tune (see split_tunes), parts and repeats played out, ties joined, grace notes left out,
    in ticks of 1/24 quarter.

    carry_accidentals: an accidental holds to the end of its bar (ABC 2.1; the tunes' own naturals
    show that their writers meant it so), else for its note alone, as music21 does by itself. See
    abc_layout.lay_out for bars and chords. Raises BadInput: MALFORMED for what cannot be read or
    has no notes, TOO_LARGE beyond the limits.
    """
    header, lines = split_header(tune)
    reader = _Reader(header, carry_accidentals, limits)
    for line in lines:
        reader.read_line(line)
    reader.close()
    if not any(measure.notes for measure in reader.measures):
        raise BadInput(Reason.MALFORMED, "no notes")
    played = lay_out(
        played_measures(reader.measures, header.parts, limits), header.tempo_bpm, limits
    )
    unread = reader.unread
    if header.tempo_bpm is None and QUOTED.sub("", header.tempo).strip():
        unread["tempo"] += 1
    return AbcTune(
        header=header,
        notes=played.notes,
        bars=played.bars,
        tempi=played.tempi,
        unknown_chords=played.unknown_chords,
        voices_left_out=len(reader.other_voices),
        unread=dict(unread),
    )


class _Reader:
    """Gathers the signs of a tune into measures; one call of `read_line` a line, then `close`."""

    def __init__(self, header: AbcHeader, carry_accidentals: bool, limits: Limits) -> None:
        self.measures: list[Measure] = []
        self.other_voices: set[str] = set()
        self.unread: Counter[str] = Counter()
        self._limits = limits
        self._n_notes = 0
        self._carry = carry_accidentals
        self._meter = header.meter
        self._unit = unit_of(header.unit, header.meter)
        self._key = accidentals_of(header.key) or {}
        self._bpm: float | None = None
        self._part = ""
        self._voice: str | None = None
        self._in_first_voice = True
        self._measure = self._new_measure()
        # Where in the measure the next note starts: in an overlay, before the measure's end
        self._at = Fraction(0)
        self._overlaid = Fraction(0)
        # Measures that an overlay of several bars has still to run through
        self._ahead: list[Measure] = []
        # The number of the measure in which `(&` stood, until `&)`
        self._overlay_opened: int | None = None
        self._in_bar: dict[str, int] = {}
        self._symbols: list[str] = []
        self._tuplet = (Fraction(1), 0)
        self._next_factor = Fraction(1)
        self._last_notes: list[Note] = []
        self._last_length = Fraction(0)
        self._tied: dict[tuple[str, int], int] = {}
        self._tied_before_endings: dict[tuple[str, int], int] = {}
        self._sounded: list[tuple[str, int, int]] = []

    def _new_measure(self) -> Measure:
        return Measure(self._meter, part=self._part, bpm=self._bpm)

    def read_line(self, line: str) -> None:
        """Take one line of music or one field."""
        field = FIELD.match(line)
        if field:
            self._read_field(field[1], field[2].strip())
        elif is_words(line):
            self.unread["words"] += 1
        else:
            for token in tokens(line):
                self._read(token)

    def close(self) -> None:
        """End the last measure."""
        self._leave_overlay()
        self._end_measure()

    def _leave_overlay(self) -> None:
        """Out of an overlay of several bars, to the bar in which it began."""
        if self._ahead:
            self._measure = self._ahead[-1]
            self._ahead = []

    def _read(self, token: Match[str] | str) -> None:
        if isinstance(token, str):
            self.unread["sign"] += self._in_first_voice
            return
        kind = token.lastgroup
        if token["inline"]:
            name, _, value = token["inline"][1:-1].partition(":")
            self._read_field(name, value.strip())
        elif not self._in_first_voice:
            return
        elif token["bar"]:
            self._read_bar(token["bar"], token["ending"])
        elif token["lone"] or token["quoted"]:
            self._read_bar("", token["lone_ending"] or token["quoted_ending"])
        elif token["chord"]:
            self._read_chord(token["inside"] or token["plus"], token["chord_length"])
        elif token["note"]:
            self._read_note(token["note"])
        elif token["symbol"]:
            self._symbols.append(token["symbol"].strip('" \t'))
        elif token["rest"]:
            self._add([], length_of(token["rest"][1:]) * self._unit)
        elif token["bars_of_rest"]:
            self._read_bars_of_rest(token["bars_of_rest"][1:])
        elif token["tuplet"]:
            self._read_tuplet(token["tuplet"])
        elif token["broken"]:
            self._read_broken(token["broken"])
        elif token["overlay_opens"]:
            self._overlay_opened = len(self.measures)
        elif token["overlay_closes"]:
            self._close_overlay()
        elif token["overlay"]:
            self._read_overlay(len(token["overlay"]))
        elif token["tie"]:
            self._tie_last()
        elif token["cut_chord"]:
            self.unread["sign"] += 1
            self._read_chord(token["cut_chord"], "")
        elif token["open_chord"]:
            raise BadInput(Reason.MALFORMED, "a chord that does not end")
        elif kind == "open_symbol":
            self.unread["sign"] += 1

    def _read_field(self, name: str, value: str) -> None:
        if name == "V":
            self._read_voice(value)
        elif not self._in_first_voice:
            return
        elif name == "P":
            self._part = value[:1]
            self._leave_overlay()
            self._bar_line("||")
            self._measure.part = self._part
            self._measure.starts_part = True
        elif name == "K":
            self._key = self._key if (key := accidentals_of(value)) is None else key
        elif name == "L":
            self._unit = unit_of(value, self._meter)
        elif name == "M":
            self._meter = meter_of(value)
            if not self._measure.length:
                self._measure.meter = self._meter
        elif name == "Q":
            self._read_tempo(value)

    def _read_voice(self, value: str) -> None:
        name = value.split()[0] if value.split() else ""
        if self._voice is None:
            has_music = self.measures or self._measure.length
            self._voice = "1" if has_music else name
        self._in_first_voice = name == self._voice
        if not self._in_first_voice:
            self.other_voices.add(name)

    def _read_tempo(self, value: str) -> None:
        bpm = tempo_bpm_of(value, self._unit)
        if bpm is None:
            self.unread["tempo"] += bool(QUOTED.sub("", value).strip())
            return
        self._bpm = bpm
        self._measure.tempi.append((self._at, bpm))

    def _read_bar(self, bar: str, ending: str | None) -> None:
        self._bar_line(bar.lstrip("."))
        if not ending:
            return
        self._measure.endings = ending_numbers(ending)
        # Each ending follows the same bar, whose last notes may be tied to its first.
        if 1 in self._measure.endings:
            self._tied_before_endings = self._tied
        else:
            self._tied = self._tied_before_endings

    def _bar_line(self, bar: str) -> None:
        self._in_bar = {}
        self._last_length = Fraction(0)
        if self._ahead and bar:
            self._measure = self._ahead.pop(0)
            self._at = Fraction(0)
            self._overlaid = self._measure.length
            return
        self._end_measure()
        repeats_before = len(bar) - len(bar.lstrip(":"))
        repeats_after = len(bar) - len(bar.rstrip(":"))
        if not bar.strip(":"):  # `::` stands for `:||:`
            repeats_before = len(bar) - len(bar) // 2
            repeats_after = len(bar) // 2
        if repeats_after:
            self._measure.opens = repeats_after
        is_double = (
            not repeats_before and not repeats_after and bar not in ("", "|", "[|]", "[]")
        )
        if self.measures:
            last = self.measures[-1]
            last.closes = max(last.closes, repeats_before)
            last.section_end |= is_double

    def _end_measure(self) -> None:
        if self._measure.length:
            self.measures.append(self._measure)
            self._measure = self._new_measure()
        if len(self.measures) > self._limits.max_bars:
            raise BadInput(Reason.TOO_LARGE, f"more than {self._limits.max_bars} bars")
        self._at = Fraction(0)
        self._overlaid = Fraction(0)

    def _read_overlay(self, n_signs: int) -> None:
        """Go back to the start of the bar, with `&&` of the bar before it and so on; after `(&`,
        to the start of the bar in which that stood."""
        n_bars = n_signs
        if self._overlay_opened is not None:
            n_bars = len(self.measures) - self._overlay_opened + 1
        if not self._ahead:
            self._measure, *self._ahead = [*self.measures, self._measure][-n_bars:]
        self._overlaid = self._measure.length
        self._at = Fraction(0)
        self._in_bar = {}
        self._tied = {}

    def _close_overlay(self) -> None:
        """`&)`: on from the end of the bar in which the overlay began."""
        self._overlay_opened = None
        if self._ahead:
            self._leave_overlay()
            self._at = self._measure.length

    def _read_bars_of_rest(self, number: str) -> None:
        n_bars = int(number[:7] or 1)
        self._add([], n_bars * (self._measure.full or Fraction(4)))

    def _read_tuplet(self, text: str) -> None:
        is_compound = self._meter is not None and self._meter[0] in (6, 9, 12)
        self._tuplet = tuplet_of(text, is_compound)

    def _read_broken(self, signs: str) -> None:
        short = Fraction(1, 1 << min(len(signs), 8))
        first, second = (2 - short, short) if signs[0] == ">" else (short, 2 - short)
        if not self._last_length:  # a bar line stands between, or nothing before
            return
        change = self._last_length * (first - 1)
        self._last_length += change
        for note in self._last_notes:
            note.length += change
        self._at += change
        self._measure.length = max(self._overlaid, self._at)
        self._next_factor = second

    def _read_note(self, text: str) -> None:
        letter, octave, pitch = self._pitch(text)
        length = length_of(note_parts(text)[4]) * self._unit
        self._add([(letter, octave, pitch, False)], length)

    def _read_chord(self, inside: str, outer: str) -> None:
        """A chord lasts as long as its first note."""
        parts = list(IN_CHORD.finditer(inside))
        lengths = []
        notes = []
        for part in parts:
            if part["symbol"]:
                self._symbols.append(part["symbol"].strip('" '))
            elif part["note"]:
                letter, octave, pitch = self._pitch(part["note"])
                notes.append((letter, octave, pitch, bool(part["tie"])))
                lengths.append(length_of(note_parts(part["note"])[4]))
            elif part["rest"]:
                lengths.append(length_of(part["rest"][1:]))
        if lengths:
            self._add(notes, lengths[0] * length_of(outer) * self._unit)

    def _pitch(self, text: str) -> tuple[str, int, int]:
        """Letter, octave and MIDI pitch of a note, its accidental remembered."""
        accidental, fraction, letter, octave, _ = note_parts(text)
        tied = self._tied.get((letter, octave))
        if fraction:
            # A quarter tone has no MIDI pitch: the one towards the natural note is taken.
            self.unread["quarter tone"] += 1
            sign = ACCIDENTALS.get(accidental, 0)
            shift = int(sign * length_of(fraction))
        elif accidental:
            if accidental not in ACCIDENTALS:
                raise BadInput(Reason.MALFORMED, f"no accidental: {accidental[:20]}")
            shift = ACCIDENTALS[accidental]
        elif tied is not None:
            return letter, octave, tied
        else:
            shift = self._in_bar.get(letter, self._key.get(letter, 0))
        if accidental and self._carry:
            self._in_bar[letter] = shift
        pitch = _MIDDLE_C + 12 * octave + _SEMITONES[letter] + shift
        if not 0 <= pitch <= 127:
            raise BadInput(Reason.MALFORMED, f"no MIDI pitch: {text[:20]}")
        return letter, octave, pitch

    def _add(self, notes: list[tuple[str, int, int, bool]], length: Fraction) -> None:
        """A note, a chord or (without notes) a rest, with the chord symbols before it."""
        factor, left = self._tuplet
        if left:
            length *= factor
            self._tuplet = (factor, left - 1)
        length *= self._next_factor
        self._next_factor = Fraction(1)
        if length > _LONGEST_NOTE:
            raise BadInput(Reason.TOO_LARGE, f"a note of {float(length):.4g} quarters")
        # Here, and not when all is read: a line may hold a million notes.
        self._n_notes += len(notes)
        if self._n_notes > self._limits.max_notes:
            raise BadInput(Reason.TOO_LARGE, f"more than {self._limits.max_notes} notes")
        measure = self._measure
        symbols = tuple(symbol for symbol in self._symbols if not is_annotation(symbol))
        self._symbols = []
        if symbols:
            measure.chords.append((self._at, symbols))
        self._last_notes = []
        self._tied = {}
        self._sounded = []
        pitches: set[int] = set()
        for letter, octave, pitch, is_tied in notes:
            if pitch in pitches or not length:
                continue
            pitches.add(pitch)
            self._last_notes.append(Note(self._at, length, pitch, is_tied))
            self._sounded.append((letter, octave, pitch))
            if is_tied:
                self._tied[letter, octave] = pitch
        measure.notes += self._last_notes
        self._last_length = length
        self._at += length
        measure.length = max(measure.length, self._at)

    def _tie_last(self) -> None:
        """A tie after a note or chord."""
        for note in self._last_notes:
            note.ties_on = True
        self._tied = {(letter, octave): pitch for letter, octave, pitch in self._sounded}
