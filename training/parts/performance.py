"""Performance events (Oore et al. 2018): notes as note-on, note-off, velocity and
time-shift, one instrument, and back.

Time is counted in sixteenths of bars of 4/4, as tokens have it, not in seconds; at 120 BPM
a bar is the two seconds that EmotionBox looks ahead. Tempo, tracks and drums are left out:
of one pitch one note sounds at a time (see views.separate).
"""

from dataclasses import dataclass

import numpy as np

from schemas.remi import LOWEST_PITCH, N_BEATS, N_PITCHES, PAD, decode
from schemas.runs import run_begins
from schemas.song import (  # fmt: skip
    DRUMS,
    PIANO,
    TICKS_PER_SIXTEENTH,
    Song,
    covered_ticks,
    make_notes,
    make_tempi,
    regular_bars,
)
from training.data.views import separate

NONE, ON = 0, 1
OFF = ON + N_PITCHES
LOUDNESS = OFF + N_PITCHES
N_LOUDNESS, LOUDNESS_STEP = 32, 4
SHIFT = LOUDNESS + N_LOUDNESS
N_SHIFTS = 32
N_EVENTS = SHIFT + N_SHIFTS
BPM = 120.0


@dataclass(frozen=True, eq=False)
class Performance:
    """Of B pieces of one length: event, int64 (B, N), NONE after the last; time, int64
    (B, N): the sixteenth at which each event comes, a shift's before it; onsets, int64
    (B, sixteenths, 12): notes of each pitch class that begin in each."""

    event: np.ndarray
    time: np.ndarray
    onsets: np.ndarray


def perform(tokens: np.ndarray) -> Performance:
    """REMI tokens (B, T, L), all tracks but the drums as one instrument, each piece
    closed by a shift to its end."""
    pieces = len(tokens)
    length = tokens.shape[1] * N_BEATS
    notes = decode(tokens[tokens != PAD]).notes
    notes = notes[notes["track"] != DRUMS].copy()
    notes["track"] = PIANO
    notes = separate(notes)
    # All pieces stand one behind the other; a note that would sound into the next ends with
    # its own.
    start = notes["start"].astype(np.int64) // TICKS_PER_SIXTEENTH
    piece_end = (start // length + 1) * length
    end = np.minimum(start + notes["duration"] // TICKS_PER_SIXTEENTH, piece_end)
    height = notes["pitch"].astype(np.int64) - LOWEST_PITCH
    onsets = np.zeros((pieces * length, 12), np.int64)
    np.add.at(onsets, (start, notes["pitch"] % 12), 1)
    return Performance(
        *_events(start, end, height, notes["velocity"], pieces, length),
        onsets.reshape(pieces, length, 12),
    )


def _events(
    start: np.ndarray,
    end: np.ndarray,
    height: np.ndarray,
    velocity: np.ndarray,
    pieces: int,
    length: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Event and time (B, N): at each time what ends, then what begins, from the lowest
    pitch up."""
    n = len(start)
    closing = (np.arange(pieces) + 1) * length
    time = np.concatenate([end, closing, start])
    piece = np.concatenate([start // length, np.arange(pieces), start // length])
    event = np.concatenate([OFF + height, np.full(pieces, NONE), ON + height])
    loudness = np.concatenate(
        [np.full(n + pieces, -1), (velocity.astype(np.int64) - 1) // LOUDNESS_STEP]
    )
    order = np.lexsort((event % N_PITCHES, event == NONE, loudness >= 0, time, piece))
    time = time[order]
    piece = piece[order]
    event = event[order]
    loudness = loudness[order]
    previous = np.append(0, time[:-1])
    before = np.where(run_begins(piece), piece * length, previous)
    gap = time - before
    shifts = -(-gap // N_SHIFTS)
    begins = np.flatnonzero(loudness >= 0)
    changes = np.zeros(len(time), bool)
    changes[begins] = run_begins(piece[begins], loudness[begins])
    # Each row becomes its shifts, its loudness where that changes, and itself.
    count = shifts + changes + (event != NONE)
    at = np.cumsum(count) - count
    events = np.full(count.sum(), SHIFT + N_SHIFTS - 1)
    events[(at + shifts - 1)[shifts > 0]] = SHIFT + (gap[shifts > 0] - 1) % N_SHIFTS
    events[(at + shifts)[changes]] = LOUDNESS + loudness[changes]
    events[(at + count - 1)[event != NONE]] = event[event != NONE]
    row = np.repeat(np.arange(len(time)), count)
    place = np.arange(len(events)) - at[row]
    is_shift = place < shifts[row]
    shifted = before[row] + place * N_SHIFTS
    when = np.where(is_shift, shifted, time[row]) - piece[row] * length
    n_events = np.bincount(piece, count, pieces).astype(np.int64)
    inside = np.arange(n_events.max()) < n_events[:, None]
    padded = np.full(inside.shape, NONE)
    times = np.full(inside.shape, length)
    padded[inside] = events
    times[inside] = when
    return padded, times


def song_of_events(events: np.ndarray, name: str = "generated") -> Song:
    """The song, for piano at 120 BPM, that events (N) say; a note without its end ends
    with the piece."""
    now = 0
    loudness = N_LOUDNESS // 2
    sounding: dict[int, tuple[int, int]] = {}
    rows: list[tuple[int, int, int, int]] = []
    ends = [OFF + pitch for pitch in range(N_PITCHES)]
    for event in [*events.tolist(), *ends]:
        if ON <= event < OFF and event - ON not in sounding:
            sounding[event - ON] = (now, loudness)
        elif OFF <= event < LOUDNESS and event - OFF in sounding:
            start, loud = sounding.pop(event - OFF)
            duration = max(1, now - start)
            pitch = event - OFF + LOWEST_PITCH
            velocity = loud * LOUDNESS_STEP + LOUDNESS_STEP // 2 + 1
            rows.append((start, duration, pitch, velocity))
        elif LOUDNESS <= event < SHIFT:
            loudness = event - LOUDNESS
        elif event >= SHIFT:
            now += event - SHIFT + 1
    starts, durations, pitches, velocities = np.array(rows, np.int64).reshape(-1, 4).T
    ticks = (starts * TICKS_PER_SIXTEENTH, durations * TICKS_PER_SIXTEENTH)
    notes = make_notes(*ticks, pitches, velocities, np.full(len(rows), PIANO))
    bars = regular_bars(max(now * TICKS_PER_SIXTEENTH, covered_ticks(notes)))
    return Song("generated", name, notes, bars, make_tempi([0], [BPM]), "assumed_4_4")
