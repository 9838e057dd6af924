"""Melody: the top line of a crop's first melodic track, a step a sixteenth, as VAEs of
melodies read it, and back.

A step is the pitch that begins there, HOLD while it lasts or REST. Of notes that begin
together the highest is heard, until the next begins; bars are of 4/4, as tokens have it.
"""

import numpy as np

from schemas.remi import LOWEST_PITCH, N_BEATS, N_PITCHES, PAD, decode
from schemas.runs import run_begins
from schemas.song import BASS, GUITAR, PIANO, STRINGS, TICKS_PER_SIXTEENTH, TRACKS, Song
from training.parts.performance import OFF, ON, SHIFT, song_of_events

HOLD, REST = N_PITCHES, N_PITCHES + 1
N_STEPS = N_PITCHES + 2
MELODIC = np.array([PIANO, GUITAR, STRINGS, BASS])


def melody(tokens: np.ndarray) -> np.ndarray:
    """Steps, int64 (B, T, 16), of REMI tokens (B, T, L)."""
    pieces, bars, _ = tokens.shape
    length = bars * N_BEATS
    notes = _top_line(decode(tokens[tokens != PAD]).notes, pieces, length)
    start = _sixteenth(notes)
    piece_end = (start // length + 1) * length
    stop = np.minimum(start + notes["duration"] // TICKS_PER_SIXTEENTH, piece_end)
    stop[:-1] = np.minimum(stop[:-1], start[1:])
    changes = np.zeros(pieces * length + 1, np.int64)
    changes[start] += 1
    np.add.at(changes, stop, -1)
    sounding = changes.cumsum()[:-1]
    steps = np.where(sounding > 0, HOLD, REST)
    steps[start] = notes["pitch"].astype(np.int64) - LOWEST_PITCH
    return steps.reshape(pieces, bars, N_BEATS)


def _sixteenth(notes: np.ndarray) -> np.ndarray:
    return notes["start"].astype(np.int64) // TICKS_PER_SIXTEENTH


def _top_line(notes: np.ndarray, pieces: int, length: int) -> np.ndarray:
    """Of each piece of `length` sixteenths the notes of its first melodic track, the
    highest of those that begin together, in order."""
    piece = _sixteenth(notes) // length
    has_notes = np.zeros((pieces, len(TRACKS)), bool)
    has_notes[piece, notes["track"]] = True
    melodic = MELODIC[has_notes[:, MELODIC].argmax(1)]
    notes = notes[notes["track"] == melodic[piece]]
    height = notes["pitch"].astype(int)
    notes = notes[np.lexsort((-height, _sixteenth(notes)))]
    return notes[run_begins(_sixteenth(notes))]


def song_of_melody(steps: np.ndarray) -> Song:
    """The song, for piano at 120 BPM, that steps (T, 16) say; a HOLD of nothing is a
    rest."""
    events: list[int] = []
    sounding: int | None = None
    for step in steps.ravel().tolist():
        if step != HOLD and sounding is not None:
            events.append(OFF + sounding)
            sounding = None
        if step < HOLD:
            events.append(ON + step)
            sounding = step
        events.append(SHIFT)
    return song_of_events(np.array(events))
