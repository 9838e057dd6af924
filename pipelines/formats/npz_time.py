"""LPD's time: steps to ticks, tempi and bar lines.

A step is 1/24 of a beat as pretty_midi counts beats: a dotted quarter in 6/8, a half in
2/2, an eighth in 3/8 (`beat_quarters`); where nothing says which, a quarter. The tempo of
beat b stands at steps b, b + n_beats, b + 2 n_beats, ...: LPD's converter tiled the beats'
tempi instead of repeating each.
"""

from fractions import Fraction

import numpy as np

from schemas.reject import BadInput, Reason
from schemas.runs import run_starts
from schemas.song import (
    BAR,
    TICKS_PER_QUARTER,
    TICKS_PER_SIXTEENTH,
    make_tempi,
)

LEAST_BPM, MOST_BPM = 1.0, 10_000.0


# Two tempi nearer than this share of one another are one: nobody hears half a per cent, and
# the times of beats that LPD's tempi are made of are rounded.
SAME_TEMPO = 0.005


QUARTER = Fraction(1)


SHORTEST_LONE_BAR = 2 * TICKS_PER_QUARTER


def beat_quarters(numerator: int, denominator: int) -> Fraction:
    """Quarters in a beat of a meter, as pretty_midi counts beats: three notes of the
    denominator where the numerator is a multiple of three over three, else one."""
    compound = numerator > 3 and numerator % 3 == 0
    return Fraction(4 * (3 if compound else 1), denominator)


def to_ticks(steps: np.ndarray, resolution: int, beat: Fraction = QUARTER) -> np.ndarray:
    """Steps of `resolution` to a beat as ticks, nearest, halves up."""
    ticks = 2 * TICKS_PER_QUARTER * beat.numerator
    per_tick = resolution * beat.denominator
    return (steps.astype(np.int64) * ticks + per_tick) // (2 * per_tick)


def tempi_of(tempo: np.ndarray, resolution: int, beat: Fraction) -> np.ndarray:
    """Change points of a tempo a step, in quarters a minute; an archive of no steps
    plays at MIDI's 120."""
    if not len(tempo):
        return make_tempi([0], [120.0])
    per_minute = tempo.astype(np.float64)
    if not ((per_minute >= LEAST_BPM) & (per_minute <= MOST_BPM)).all():
        raise BadInput(
            Reason.BAD_TEMPO, f"a tempo is not between {LEAST_BPM:g} and {MOST_BPM:g} bpm"
        )
    steps = np.arange(len(per_minute))
    if is_tiled(per_minute, resolution):
        per_minute = per_minute[: len(tempo) // resolution]
        steps = steps[::resolution]
    changes = tempo_changes(per_minute)
    ticks = to_ticks(steps[changes], resolution, beat)
    # Where two changes fall on one tick the later holds.
    last = np.append(ticks[1:] != ticks[:-1], True)
    return make_tempi(ticks[last], per_minute[changes[last]] * float(beat))


def is_tiled(tempo: np.ndarray, resolution: int) -> bool:
    """Whether a tempo a step is the tempi of the beats, laid end to end `resolution`
    times."""
    n_beats, rest = divmod(len(tempo), resolution)
    if rest or not n_beats:
        return False
    copies = tempo.reshape(resolution, n_beats)
    return bool((copies == copies[0]).all())


def tempo_changes(tempo: np.ndarray) -> np.ndarray:
    """Where a tempo differs by more than SAME_TEMPO from the one that holds, from 0; so
    a slow ritardando changes too, in steps that can just be told."""
    places = run_starts(tempo)
    kept = [0]
    for place, now in zip(places[1:].tolist(), tempo[places[1:]].tolist(), strict=True):
        held = tempo[kept[-1]]
        if abs(now - held) > SAME_TEMPO * held:
            kept.append(place)
    return np.array(kept, np.int64)


def downbeat_bars(downbeats: np.ndarray, end: int, max_bars: int) -> np.ndarray:
    """BAR array from one downbeat (tick) to the next; from the last one on, bars of a
    guessed length (`usual_length`), again and again until `end`. Raises BadInput(TOO_LARGE)
    before it lays more than max_bars."""
    usual = usual_length(downbeats)
    n_bars = len(downbeats) + max(0, end - int(downbeats[-1])) // usual
    if n_bars > max_bars:
        raise BadInput(Reason.TOO_LARGE, f"{n_bars} bars, max_bars {max_bars}")
    more = np.arange(downbeats[-1] + usual, end, usual)
    starts = np.unique(np.concatenate([[0], downbeats, more]))
    lengths = np.diff(np.append(starts, max(starts[-1] + usual, end)))
    bars = np.empty(len(starts), BAR)
    bars["start"], bars["length"] = starts, lengths
    # Ticks tell how long a bar is, not how it is counted: quarters where it is whole in
    # them, else sixteenths.
    whole = lengths % TICKS_PER_QUARTER == 0
    sixteenths = -(-lengths // TICKS_PER_SIXTEENTH)
    counted = np.where(whole, lengths // TICKS_PER_QUARTER, sixteenths)
    bars["numerator"] = np.minimum(counted, 255)
    bars["denominator"] = np.where(whole, 4, 16)
    return bars


def usual_length(downbeats: np.ndarray) -> int:
    """The length of the last bar between two downbeats; of a lone short one, which is a
    pick-up and says nothing of the others, 4/4's."""
    lengths = np.diff(downbeats)
    if len(lengths) == 1 and lengths[0] < SHORTEST_LONE_BAR:
        return 4 * TICKS_PER_QUARTER
    return int(lengths[-1])


def marked_to_the_end(downbeats: np.ndarray, end: int) -> bool:
    """Whether the last downbeat's bar reaches the end of the music; LPD marks none after
    the last change of meter."""
    return bool(downbeats[-1] + usual_length(downbeats) >= end)
