"""Melody: the top line of a crop's first melodic track, a step a sixteenth, as VAEs of
melodies read it, and back.

A step is the pitch that begins there, HOLD while it lasts or REST. Of notes that begin
together the highest is heard, until the next begins; bars are of 4/4, as tokens have it.
"""

import numpy as np

from schemas.remi import LOWEST_PITCH, N_BEATS, N_PITCHES, PAD, decode
from schemas.song import BASS, GUITAR, PIANO, STRINGS, TICKS_PER_SIXTEENTH, TRACKS, Song
from training.parts.performance import OFF, ON, SHIFT, song_of_events

HOLD, REST = N_PITCHES, N_PITCHES + 1
N_STEPS = N_PITCHES + 2
MELODIC = np.array([PIANO, GUITAR, STRINGS, BASS])


def melody(tokens: np.ndarray) -> np.ndarray:
    """Steps, int64 (B, T, 16), of REMI tokens (B, T, L)."""
    (pieces, bars, _), length = tokens.shape, tokens.shape[1] * N_BEATS
    notes = decode(tokens[tokens != PAD]).notes
    start = notes["start"].astype(np.int64) // TICKS_PER_SIXTEENTH
    has_notes = np.zeros((pieces, len(TRACKS)), bool)
    has_notes[start // length, notes["track"]] = True
    track = MELODIC[has_notes[:, MELODIC].argmax(1)]
    own = notes["track"] == track[start // length]
    notes, start = notes[own], start[own]
    order = np.lexsort((-notes["pitch"].astype(int), start))
    notes, start = notes[order], start[order]
    top = np.append(True, np.diff(start) > 0)[: len(start)]
    notes, start = notes[top], start[top]
    stop = np.minimum(
        start + notes["duration"] // TICKS_PER_SIXTEENTH, (start // length + 1) * length
    )
    stop[:-1] = np.minimum(stop[:-1], start[1:])
    edges = np.zeros(pieces * length + 1, np.int64)
    edges[start] += 1
    np.add.at(edges, stop, -1)
    steps = np.where(edges.cumsum()[:-1] > 0, HOLD, REST)
    steps[start] = notes["pitch"].astype(np.int64) - LOWEST_PITCH
    return steps.reshape(pieces, bars, N_BEATS)


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
