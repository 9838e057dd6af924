"""Measures: what stands between the bar lines of a tune, played out to notes, bars and
tempi."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from pipelines.formats.abc_chords import (
    chord_pitches,
    is_bass_alone,
    is_no_chord,
    leaves_chord_on,
)
from pipelines.formats.abc_parts import part_order, sections_in_order
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
MAX_TIMES = 9  # the most times a repeated part is played

Meter = tuple[int, int]
Sounding = list[tuple[Fraction, Fraction, int]]  # start and end in quarters, MIDI pitch


@dataclass
class Note:
    """A note of a measure; offset and length in quarters. ties_on: it is tied to the next one."""

    offset: Fraction
    length: Fraction
    pitch: int
    ties_on: bool = False


@dataclass
class Measure:
    """What stands between two bar lines; offsets and lengths in quarters.

    chords: (offset, symbols), of several symbols the first is for the first time through; tempi:
    (offset, bpm); bpm: in force at its start, None for the tune's first. opens, closes: a repeat
    starts before it, ends after it, as often as that; section_end: a double bar or a new part
    follows; endings: which times through it is played, where an ending starts; part: P: label.
    """

    meter: Meter | None
    length: Fraction = Fraction(0)
    notes: list[Note] = field(default_factory=list)
    chords: list[tuple[Fraction, tuple[str, ...]]] = field(default_factory=list)
    tempi: list[tuple[Fraction, float]] = field(default_factory=list)
    opens: int = 0
    closes: int = 0
    section_end: bool = False
    endings: frozenset[int] = frozenset()
    part: str = ""
    starts_part: bool = False
    bpm: float | None = None

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


@dataclass(frozen=True, eq=False)
class PlayedMeasure:
    """A measure as it sounds once; time: which time through it is, from 1."""

    measure: Measure
    time: int


def played_measures(
    measures: list[Measure], order: str, limits: Limits
) -> list[PlayedMeasure]:
    """The measures in the order in which they sound: parts in the order that P: gives, each with
    its repeats and endings.

    Where a part is not repeated by signs but by the order, its times alternate between first and
    second. Raises BadInput(TOO_LARGE).
    """
    sections = _sections(measures, by_part=bool(part_order(order)))
    labels = [section[0].part for section in sections]
    played: list[PlayedMeasure] = []
    visits: dict[int, int] = {}
    for index in sections_in_order(labels, part_order(order)):
        section = sections[index]
        visits[index] = visits.get(index, 0) + 1
        places = _places_and_times(section)
        loops = any(time > 1 for _, time in places)
        for place, time in places:
            through = time if loops else 2 - visits[index] % 2
            played.append(PlayedMeasure(section[place], through))
        if len(played) > limits.max_bars:
            raise BadInput(Reason.TOO_LARGE, f"more than {limits.max_bars} bars")
    return played


def _sections(measures: list[Measure], by_part: bool) -> list[list[Measure]]:
    """The measures cut where a new part begins, or all in one."""
    if not by_part:
        return [measures]
    sections: list[list[Measure]] = []
    for i, measure in enumerate(measures):
        if i == 0 or measure.starts_part:
            sections.append([])
        sections[-1].append(measure)
    return sections


def play_order(measures: list[Measure]) -> list[int]:
    """Indices of the measures in the order in which they sound, repeats and endings
    followed.

    A repeat without a start sign goes back to the last double bar or end of a repeat,
    failing these to the beginning (ABC 2.1, section 4.8).
    """
    return [place for place, _ in _places_and_times(measures)]


def _places_and_times(measures: list[Measure]) -> list[tuple[int, int]]:
    """play_order, each index with the time through: 1, then 2, ... in a repeat."""
    endings = [*_ending_of_each(measures), frozenset[int]()]
    order: list[tuple[int, int]] = []
    played: set[int] = set()
    i = start = 0
    time, explicit, repeats = 1, False, 1
    while i < len(measures):
        measure = measures[i]
        if measure.opens and (i != start or time == 1):
            start, time, explicit, repeats = i, 1, True, int(measure.opens)
        # An ending of a later time that is come upon at the first has no repeat before it: a slip;
        # it is played.
        if endings[i] and time not in endings[i] and (time > 1 or i in played):
            i += 1
            continue
        order.append((i, time))
        played.add(i)
        numbers = [max(ending) for ending in endings[start : i + 2] if ending]
        times = max([1 + repeats, 1 + int(measure.closes), *numbers])
        if measure.closes and time < min(times, MAX_TIMES):
            i, time = start, time + 1
            continue
        i += 1
        if measure.closes or (measure.section_end and (endings[i - 1] or not explicit)):
            start, time, explicit, repeats = i, 1, False, 1
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
