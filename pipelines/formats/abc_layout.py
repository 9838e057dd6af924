"""Measures in the order in which they sound, laid out as notes, bars and tempi."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pipelines.formats.abc_chords import (
    chord_pitches,
    is_bass_alone,
    is_no_chord,
    leaves_chord_on,
)
from pipelines.formats.abc_measures import Measure, Meter, PlayedMeasure
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

Sounding = list[tuple[Fraction, Fraction, int]]  # start and end in quarters, MIDI pitch


@dataclass(frozen=True, eq=False)
class Played:
    """What sounds: NOTE, BAR and TEMPO arrays (schemas.song), and how many chord symbols
    name no chord."""

    notes: np.ndarray
    bars: np.ndarray
    tempi: np.ndarray
    unknown_chords: int


def lay_out(played: list[PlayedMeasure], tempo_bpm: float | None, limits: Limits) -> Played:
    """Measures, in the order in which they sound, as notes, bars and tempi in ticks of 1/24
    quarter.

    Melody on the piano track, ties joined; a chord symbol sounds on the guitar track until
    the next one or the end. Bars are as long as written: pick-ups stay short; the two parts
    of a bar about a repeat sign or double bar become one; what is longer than its meter is
    cut there. Raises BadInput(TOO_LARGE) beyond the limits.
    """
    measures = [one.measure for one in played]
    starts = [Fraction(0)]
    for measure in measures:
        starts.append(starts[-1] + measure.length)
    _check_size(measures, starts[-1], limits)
    chords, unknown_chords = _sounding_chords(played, starts)
    notes = _notes(_joined_notes(measures, starts), chords)
    bars = _bars(measures, starts, covered_ticks(notes))
    return Played(notes, bars, _tempi(tempo_bpm, measures, starts), unknown_chords)


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
    tied: dict[int, int] = {}  # pitch to the place in notes of one that is tied on
    for measure, at in zip(played, starts, strict=False):
        for note in measure.notes:
            start = at + note.offset
            end = start + note.length
            place = tied.pop(note.pitch, None)
            if place is not None and notes[place][1] == start:
                notes[place] = (notes[place][0], end, note.pitch)
            else:
                place = len(notes)
                notes.append((start, end, note.pitch))
            if note.ties_on:
                tied[note.pitch] = place
    return notes


def _sounding_chords(
    played: list[PlayedMeasure], starts: list[Fraction]
) -> tuple[Sounding, int]:
    """(start, end, pitch) of the chords, each until the next, and how many symbols name none.

    A symbol that looks like a chord and is none ends the one before it; a remark does not.
    """
    unknown = 0
    chords: list[tuple[Fraction, tuple[int, ...]]] = []
    for one, at in zip(played, starts, strict=False):
        for offset, symbols in one.measure.chords:
            symbol = symbols[min(one.time, len(symbols)) - 1]
            pitches = chord_pitches(symbol)
            unknown += not pitches and not is_no_chord(symbol) and not is_bass_alone(symbol)
            if pitches or not leaves_chord_on(symbol):
                chords.append((at + offset, pitches))
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
    at_sign = first.closes or first.section_end or second.opens or second.endings
    return (
        bool(at_sign)
        and first.meter == second.meter
        and first.length + second.length == first.full
    )


def _tempi(
    tempo_bpm: float | None, played: list[Measure], starts: list[Fraction]
) -> np.ndarray:
    """TEMPO array from the tempo at the start (or the default) and those between the notes."""
    first = tempo_bpm or DEFAULT_TEMPO_BPM
    changes = {0: first}
    for measure, at in zip(played, starts, strict=False):
        changes[int(_ticks([at])[0])] = measure.bpm or first
        for offset, bpm in measure.tempi:
            tick = int(_ticks([at + offset])[0])
            changes[tick] = bpm
    return make_tempi(list(changes), list(changes.values()))
