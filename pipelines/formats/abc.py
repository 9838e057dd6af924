"""ABC's music: folk tunes as text, read with music21's tokeniser; chord symbols are sounded
as guitar chords.

music21 reads notes, lengths, keys, tuplets and ties. Bars, repeats and chords are worked
out in measures.py: its streams and its expansion of repeats take some fifty times as long
as its tokeniser; the expansion goes back to the beginning of the tune at every repeat sign
without a start sign, and takes a second ending to last one bar.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from music21 import abcFormat
from music21.exceptions21 import Music21Exception
from music21.pitch import Pitch

from pipelines.formats.abc_header import (
    QUOTED,
    AbcHeader,
    meter_of,
    split_header,
    tempo_bpm_of,
)
from pipelines.formats.abc_measures import Measure, Meter, lay_out, play_order
from schemas.contracts import Limits
from schemas.reject import BadInput, Reason

# One pass over the music: what music21's tokeniser misreads is left out, or spelt in the
# one way that it knows.
_MUSIC = re.compile(
    r"""(?P<keep> "[^"\n]*" | \(\d:\d?:?\d? | ^[KLMQV]:(?![|:]).*$)
    | \[(?P<inline> [KLMQV]:[^\]\n]*)\]
    | (?P<part> ^P:(?![|:]).*$ | \[P:[^\]\n]*\])
    | (?P<bar> :*\[?\|[|\]]*:* | ::+) (?: (?:[ \t]*\[[ ]*)? (?P<ending>\d[\d,.-]*) )?
    | (?P<rest>x(?=[\d/]))
    | (?P<tied>\[[A-Ga-gz\d/,'^=_ ]+-[A-Ga-gz\d/,'^=_ -]*\][\d/]*)
    | \[[ ]*(?P<lone>\d[\d,.-]*)
    | ^[A-Za-z]:(?![|:]).*$ | \[[A-Za-z]:[^\]\n]*\] | %.*$ | ![^!\n|]*! | \{[^}\n]*\}
    | y\d* | \((?!\d) | [:.~HLMOPSTuvx"`$*)]
    """,
    re.MULTILINE | re.VERBOSE,
)
_PITCHED = re.compile("[a-gA-Gz]")
# Quarters; more is beyond any limit, and need not be a number that a fraction can hold
_LONGEST_NOTE = 1 << 20
_DOUBLE_BAR, _ENDING = "||", " [1 "


@dataclass(frozen=True, eq=False)
class AbcTune:
    """One tune as it sounds: melody on the piano track, chord symbols on the guitar track,
    repeats played out.

    notes: NOTE, bars: BAR, tempi: TEMPO (schemas.song). unknown_chords: chord symbols that
    name no chord (fingerings, "D.C."); voices_left_out: V: voices after the first, which
    are not read.
    """

    header: AbcHeader
    notes: np.ndarray
    bars: np.ndarray
    tempi: np.ndarray
    unknown_chords: int
    voices_left_out: int


def read_tune(tune: str, limits: Limits, carry_accidentals: bool = True) -> AbcTune:
    """One tune (see split_tunes), repeats played out, ties joined, grace notes left out, in
    ticks of 1/24 quarter.

    carry_accidentals: an accidental holds to the end of its bar (ABC 2.1; the tunes' own
    naturals show that their writers meant it so), else for its note alone, as music21 does
    by itself. See measures.lay_out for bars and chords. Raises BadInput: MALFORMED for what
    music21 cannot read or what has no notes, TOO_LARGE beyond the limits.
    """
    header, music = split_header(tune)
    builder = _tokens_to_measures(header, music, carry_accidentals)
    if not any(measure.notes for measure in builder.measures):
        raise BadInput(Reason.MALFORMED, "no notes")
    played = lay_out(
        [builder.measures[i] for i in play_order(builder.measures)],
        header.tempo_bpm,
        limits,
    )
    return AbcTune(
        header,
        played.notes,
        played.bars,
        played.tempi,
        played.unknown_chords,
        len(builder.other_voices),
    )


def _spell(music: str) -> tuple[str, list[frozenset[int]]]:
    """The music in music21's spelling, and the numbers of its endings, each of which is
    spelt `[1`."""
    endings: list[frozenset[int]] = []

    def spell(match: re.Match[str]) -> str:
        if match["keep"] is not None:
            return match["keep"]
        if match["inline"] or match["part"]:
            return f"\n{match['inline']}\n" if match["inline"] else _DOUBLE_BAR
        if match["tied"]:
            return match["tied"].replace("-", "") + "-"
        ending = _ending_numbers(match["ending"] or match["lone"] or "")
        if ending:
            endings.append(ending)
        if match["bar"] or ending:
            return _spell_bar(match["bar"] or "") + (_ENDING if ending else "")
        return "z" if match["rest"] else " "

    return _MUSIC.sub(spell, music), endings


def _ending_numbers(text: str) -> frozenset[int]:
    """The numbers in `1`, `1,3` or `1-3`."""
    spans = [
        (int(first), int(last or first))
        for first, last in re.findall(r"(\d{1,2})(?:-(\d{1,2}))?", text)
    ]
    return frozenset(number for first, last in spans for number in range(first, last + 1))


def _spell_bar(bar: str) -> str:
    repeats = (":|" if bar.startswith(":") else "") + ("|:" if bar.endswith(":") else "")
    if repeats or bar in ("", "|", "[|]"):
        return repeats or bar.strip("[]")
    return _DOUBLE_BAR


def _tokens_to_measures(
    header: AbcHeader, music: str, carry_accidentals: bool
) -> "_Builder":
    text, endings = _spell(music)
    meter = "{}/{}".format(*header.meter) if header.meter else "none"
    unit = f"L:{header.unit}\n" if header.unit else ""
    builder = _Builder(header.meter, iter(endings))
    for token in _tokens(f"M:{meter}\n{unit}K:{header.key}\n{text}", carry_accidentals):
        builder.add(token)
    builder.close()
    return builder


def _tokens(text: str, carry_accidentals: bool) -> list[abcFormat.ABCToken]:
    """music21's tokens of one tune, without those that are neither note, rest, bar nor
    field."""
    handler = abcFormat.ABCHandler(abcVersion=(2, 1, 0))
    handler.abcDirectives["propagate-accidentals"] = "pitch" if carry_accidentals else "not"
    try:
        handler.tokenize(text)
        # music21 would take a note token without a pitch for a C.
        handler.tokens = [token for token in handler.tokens if not _is_stray(token)]
        handler.tokenProcess()
    except Exception as error:  # a parser of free text fails in too many ways to list
        raise BadInput(
            Reason.MALFORMED, f"music21: {type(error).__name__}: {error}"[:200]
        ) from error
    return handler.tokens


def _is_stray(token: abcFormat.ABCToken) -> bool:
    return isinstance(token, abcFormat.ABCNote) and not _PITCHED.search(
        QUOTED.sub("", token.src)
    )


class _Builder:
    """Gathers tokens into measures; one call of `add` a token, then `close`."""

    def __init__(self, meter: Meter | None, endings: Iterator[frozenset[int]]) -> None:
        self.measures: list[Measure] = []
        self.other_voices: set[str] = set()
        self._meter, self._endings = meter, endings
        self._measure = Measure(meter)
        self._voice: str | None = None
        self._in_first_voice = True

    def add(self, token: abcFormat.ABCToken) -> None:
        """Take one token; those of voices after the first are passed over."""
        if isinstance(token, abcFormat.ABCMetadata):
            self._add_field(token)
        elif isinstance(token, abcFormat.ABCBar):
            ending = next(self._endings, None) if token.repeatForm == "first" else None
            if self._in_first_voice:
                self._add_bar(token, ending)
        elif isinstance(token, abcFormat.ABCNote) and self._in_first_voice:
            self._add_note(token)

    def close(self) -> None:
        """End the last measure."""
        if self._measure.length:
            self.measures.append(self._measure)
            self._measure = Measure(self._meter)

    def _add_field(self, token: abcFormat.ABCMetadata) -> None:
        if token.tag == "V":
            name = token.data.split()[0] if token.data.split() else ""
            if self._voice is None:
                self._voice = "1" if self.measures or self._measure.length else name
            self._in_first_voice = name == self._voice
            self.other_voices |= set() if self._in_first_voice else {name}
        elif token.tag == "M" and self._in_first_voice:
            self._meter = meter_of(token.data)
            if not self._measure.length:
                self._measure.meter = self._meter
        elif token.tag == "Q" and self._in_first_voice:
            bpm = tempo_bpm_of(token.data)
            self._measure.tempi += [(self._measure.length, bpm)] if bpm else []

    def _add_bar(self, token: abcFormat.ABCBar, ending: frozenset[int] | None) -> None:
        self.close()
        if ending:
            self._measure.endings = ending
        if token.src == "|:":
            self._measure.opens = True
        if self.measures:
            self.measures[-1].closes |= token.src == ":|"
            self.measures[-1].section_end |= token.src == _DOUBLE_BAR

    def _add_note(self, token: abcFormat.ABCNote) -> None:
        measure = self._measure
        measure.chords += [
            (measure.length, symbol.strip('" ')) for symbol in token.chordSymbols
        ]
        if not token.quarterLength <= _LONGEST_NOTE:
            raise BadInput(
                Reason.TOO_LARGE, f"a note of {float(token.quarterLength):.4g} quarters"
            )
        length = Fraction(token.quarterLength).limit_denominator(1 << 12)
        if token.activeTuplet is not None:
            length *= Fraction(
                token.activeTuplet.numberNotesNormal, token.activeTuplet.numberNotesActual
            )
        tokens = token.subTokens if isinstance(token, abcFormat.ABCChord) else [token]
        names = sorted(
            {
                part.pitchName
                for part in tokens
                if isinstance(part, abcFormat.ABCNote) and part.pitchName
            }
        )
        tied = token.tie in ("stop", "continue")
        measure.notes += [
            (measure.length, length, _midi_pitch(name), tied) for name in names
        ]
        measure.length += length


@lru_cache(maxsize=1024)
def _midi_pitch(name: str) -> int:
    try:
        pitch = int(Pitch(name).ps)
    except (Music21Exception, ValueError) as error:
        raise BadInput(Reason.MALFORMED, f"music21: {error}"[:200]) from error
    if not 0 <= pitch <= 127:
        raise BadInput(Reason.MALFORMED, f"no MIDI pitch: {name[:20]}")
    return pitch
