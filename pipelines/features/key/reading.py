"""A song as its key is told from it: pitch classes, bass and phrases by bar."""

from dataclasses import dataclass, replace

import numpy as np

from pipelines.features.key.bass import NO_BASS, Bass, bass_notes, phrase_starts
from pipelines.features.key.pitch_classes import pitch_class_weights
from schemas.grid import Grid
from schemas.keys import N_KEYS
from schemas.song import Song


@dataclass(frozen=True, eq=False)
class Reading:
    """weights: ticks of each pitch class, float64[n_bars, 12]; bass; phrase_start:
    bool[n_bars]."""

    weights: np.ndarray
    bass: Bass
    phrase_start: np.ndarray


def read(song: Song, grid: Grid) -> Reading | None:
    """What tells the key of a song; None where no pitched note sounds."""
    weights = pitch_class_weights(song, grid)
    if not weights.any():
        return None
    bass = bass_notes(song, grid)
    return Reading(weights, bass, phrase_starts(bass))


def lowered(reading: Reading, semitones: int) -> Reading:
    """The same song so many semitones lower."""
    bass = reading.bass
    lower = (np.arange(12) - semitones) % 12
    lower = np.append(lower, NO_BASS)
    return Reading(
        np.roll(reading.weights, -semitones, axis=1),
        replace(
            bass,
            opening=lower[bass.opening],
            closing=lower[bass.closing],
            first=int(lower[bass.first]),
            last=int(lower[bass.last]),
        ),
        reading.phrase_start,
    )


def raised_keys(semitones: int) -> np.ndarray:
    """The number of each key so many semitones higher: int64[24]."""
    keys = np.arange(N_KEYS)
    return (keys + semitones) % 12 + keys // 12 * 12
