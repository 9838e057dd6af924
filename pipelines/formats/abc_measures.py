"""Measures: what stands between the bar lines of a tune, played out to notes, bars and
tempi."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from schemas.contracts import Limits
from schemas.reject import BadInput, Reason
from schemas.song import (
    BAR,
    GUITAR,
    PIANO,
    TICKS_PER_QUARTER,
    covered_ticks,
    make_notes,
    make_tempi,
)

# Quarters a minute where none is stated, whatever the meter: what MIDI itself assumes
DEFAULT_TEMPO_BPM = 120.0
VELOCITY = 90
# Chord roots lie in C2-B2, thirds above, slash basses ignored: as the Nottingham MIDI has
# them
LOWEST_ROOT = 36
MAX_TIMES = 9  # the most times a repeated part is played

Meter = tuple[int, int]
Sounding = list[tuple[Fraction, Fraction, int]]  # start and end in quarters, MIDI pitch

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_QUALITIES = {
    "": (0, 4, 7),
    "maj": (0, 4, 7),
    "m": (0, 3, 7),
    "min": (0, 3, 7),
    "d": (0, 3, 6),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
    "+": (0, 4, 8),
    "sus": (0, 5, 7),
    "sus4": (0, 5, 7),
    "6": (0, 4, 7, 9),
    "m6": (0, 3, 7, 9),
    "7": (0, 4, 7, 10),
    "m7": (0, 3, 7, 10),
    "min7": (0, 3, 7, 10),
    "maj7": (0, 4, 7, 11),
    "dim7": (0, 3, 6, 9),
    "m7b5": (0, 3, 6, 10),
    "9": (0, 4, 7, 10, 14),
    "7b9": (0, 4, 7, 10, 13),
}
_CHORD = re.compile(rf"([A-G])([#b]?)({'|'.join(map(re.escape, _QUALITIES))})(?:/[A-Ga-g][#b+]?)?")


@dataclass
class Measure:
    """What stands between two bar lines; offsets and lengths in quarters.

    notes: (offset, length, pitch, tie to the note before); chords: (offset, symbol); tempi:
    (offset, bpm). opens, closes: a repeat starts before it, ends after it; section_end: a
    double bar or a new part follows; endings: which times through it is played, where an
    ending starts.
    """

    meter: Meter | None
    length: Fraction = Fraction(0)
    notes: list[tuple[Fraction, Fraction, int, bool]] = field(default_factory=list)
    chords: list[tuple[Fraction, str]] = field(default_factory=list)
    tempi: list[tuple[Fraction, float]] = field(default_factory=list)
    opens: bool = False
    closes: bool = False
    section_end: bool = False
    endings: frozenset[int] = frozenset()

    @property
    def full(self) -> Fraction | None:
        """Quarters of a whole bar of its meter, None where it is free."""
        return Fraction(4 * self.meter[0], self.meter[1]) if self.meter else None


@dataclass(frozen=True, eq=False)
class Played:
    """What sounds: NOTE, BAR and TEMPO arrays (schemas.song), and how many chord symbols
    name no chord."""

    notes: np.ndarray
    bars: np.ndarray
    tempi: np.ndarray
    unknown_chords: int


def play_order(measures: list[Measure]) -> list[int]:
    """Indices of the measures in the order in which they sound, repeats and endings
    followed.

    A repeat without a start sign goes back to the last double bar or end of a repeat,
    failing these to the beginning (ABC 2.1, section 4.8).
    """
    endings = [*_ending_of_each(measures), frozenset[int]()]
    order: list[int] = []
    i = start = 0
    time, explicit = 1, False
    while i < len(measures):
        measure = measures[i]
        if measure.opens and (i != start or time == 1):
            start, time, explicit = i, 1, True
        # An ending of a later time that is come upon at the first has no repeat before it:
        # a slip; it is played.
        if endings[i] and time not in endings[i] and (time > 1 or i in order):
            i += 1
            continue
        order.append(i)
        times = max([2, *(max(ending) for ending in endings[start : i + 2] if ending)])
        if measure.closes and time < min(times, MAX_TIMES):
            i, time = start, time + 1
            continue
        i += 1
        if measure.closes or (measure.section_end and (endings[i - 1] or not explicit)):
            start, time, explicit = i, 1, False
    return order


def _ending_of_each(measures: list[Measure]) -> list[frozenset[int]]:
    """For each measure the times through it is played, empty for all; an ending lasts to
    the next sign of any kind."""
    current: frozenset[int] = frozenset()
    endings = []
    for measure in measures:
        current = frozenset() if measure.opens else current
        current = measure.endings or current
        endings.append(current)
        if measure.closes or measure.section_end:
            current = frozenset()
    return endings


def lay_out(played: list[Measure], tempo_bpm: float | None, limits: Limits) -> Played:
    """Measures, in the order in which they sound, as notes, bars and tempi in ticks of 1/24
    quarter.

    Melody on the piano track, ties joined; a chord symbol sounds on the guitar track until
    the next one or the end. Bars are as long as written: pick-ups stay short; the two parts
    of a bar about a repeat sign or double bar become one; what is longer than its meter is
    cut there. Raises BadInput(TOO_LARGE) beyond the limits.
    """
    starts = [Fraction(0)]
    for measure in played:
        starts.append(starts[-1] + measure.length)
    _check_size(played, starts[-1], limits)
    chords, unknown_chords = _sounding_chords(played, starts)
    notes = _notes(_joined_notes(played, starts), chords)
    return Played(
        notes,
        _bars(played, starts, covered_ticks(notes)),
        _tempi(tempo_bpm, played, starts),
        unknown_chords,
    )


def _check_size(played: list[Measure], quarters: Fraction, limits: Limits) -> None:
    n_notes = sum(len(measure.notes) + 5 * len(measure.chords) for measure in played)
    if quarters * TICKS_PER_QUARTER > limits.max_ticks or n_notes > limits.max_notes:
        raise BadInput(Reason.TOO_LARGE, f"{float(quarters):.4g} quarters, {n_notes} notes")


def _ticks(quarters: list[Fraction]) -> np.ndarray:
    """Nearest ticks, halves up."""
    return np.array([(2 * TICKS_PER_QUARTER * q + 1) // 2 for q in quarters], np.int64)


def _notes(melody: Sounding, chords: Sounding) -> np.ndarray:
    rows = melody + chords
    start = _ticks([start for start, _, _ in rows])
    end = _ticks([end for _, end, _ in rows])
    duration = np.maximum(end - start, 1)
    pitch = [pitch for _, _, pitch in rows]
    velocity = [VELOCITY] * len(rows)
    track = [PIANO] * len(melody) + [GUITAR] * len(chords)
    return make_notes(start, duration, pitch, velocity, track)


def _joined_notes(played: list[Measure], starts: list[Fraction]) -> Sounding:
    """(start, end, pitch) of the melody, a tied note joined to the one of its pitch that
    ends where it starts."""
    notes: Sounding = []
    last_of_pitch: dict[int, int] = {}
    for measure, at in zip(played, starts, strict=False):
        for offset, length, pitch, tied in measure.notes:
            start = at + offset
            before = last_of_pitch.get(pitch)
            if tied and before is not None and notes[before][1] == start:
                notes[before] = (notes[before][0], start + length, pitch)
            else:
                last_of_pitch[pitch] = len(notes)
                notes.append((start, start + length, pitch))
    return notes


def chord_pitches(symbol: str) -> tuple[int, ...]:
    """MIDI pitches of a chord symbol ("Am", "D7", "G/b", "(E7)"), root lowest, in C2-B2;
    empty for what is no chord."""
    match = _CHORD.fullmatch(symbol.strip("()"))
    if match is None:
        return ()
    root = (_STEPS[match[1]] + {"#": 1, "b": -1, "": 0}[match[2]]) % 12
    return tuple(LOWEST_ROOT + root + interval for interval in _QUALITIES[match[3]])


def _sounding_chords(played: list[Measure], starts: list[Fraction]) -> tuple[Sounding, int]:
    """(start, end, pitch) of the chords, each until the next, and how many symbols name none
    (remarks not counted)."""
    unknown = 0
    chords: list[tuple[Fraction, tuple[int, ...]]] = []
    for measure, at in zip(played, starts, strict=False):
        for offset, symbol in measure.chords:
            pitches = chord_pitches(symbol)
            if pitches:
                chords.append((at + offset, pitches))
            elif symbol[:1] not in "^_<>@":
                unknown += 1
    ends = [start for start, _ in chords[1:]] + [starts[-1]]
    sounding: Sounding = []
    for (start, pitches), end in zip(chords, ends, strict=False):
        if end > start:
            sounding += [(start, end, pitch) for pitch in pitches]
    return sounding, unknown


def _bars(played: list[Measure], starts: list[Fraction], end: int) -> np.ndarray:
    """BAR array of the played measures, parts of a bar joined, too long bars cut, until
    `end` ticks are covered."""
    lines: list[Fraction] = []
    meters: list[Meter] = []
    for start, stop, measure in _bars_as_written(played, starts):
        full = measure.full or stop - start
        n_bars = math.ceil((stop - start) / full)
        lines += [start + k * full for k in range(n_bars)]
        meters += [measure.meter or (4, 4)] * n_bars
    ticks = _ticks([*lines, starts[-1]])
    while ticks[-1] < end:
        numerator, denominator = meters[-1]
        length = max(1, TICKS_PER_QUARTER * 4 * numerator // denominator)
        ticks = np.append(ticks, ticks[-1] + length)
        meters.append(meters[-1])
    bars = np.empty(len(meters), BAR)
    bars["start"] = ticks[:-1]
    bars["length"] = np.diff(ticks)
    bars["numerator"] = [numerator for numerator, _ in meters]
    bars["denominator"] = [denominator for _, denominator in meters]
    return bars[bars["length"] > 0]


def _bars_as_written(
    played: list[Measure], starts: list[Fraction]
) -> Iterator[tuple[Fraction, Fraction, Measure]]:
    """(start, stop, first measure) of each bar, two measures being one where a sign
    stands in the middle of a bar."""
    i = 0
    while i < len(played):
        n = 2 if i + 1 < len(played) and _are_halves(played[i], played[i + 1]) else 1
        yield starts[i], starts[i + n], played[i]
        i += n


def _are_halves(first: Measure, second: Measure) -> bool:
    at_sign = first.closes or first.section_end or second.opens or bool(second.endings)
    return (
        at_sign
        and first.meter == second.meter
        and first.length + second.length == first.full
    )


def _tempi(
    tempo_bpm: float | None, played: list[Measure], starts: list[Fraction]
) -> np.ndarray:
    """TEMPO array from the tempo at the start (or the default) and those between the
    notes."""
    changes = {0: tempo_bpm or DEFAULT_TEMPO_BPM}
    for measure, at in zip(played, starts, strict=False):
        for offset, bpm in measure.tempi:
            tick = int(_ticks([at + offset])[0])
            changes[tick] = bpm
    return make_tempi(list(changes), list(changes.values()))
