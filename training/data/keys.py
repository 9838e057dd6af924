"""Keys of songs, and pitches written relative to the tonic and back.

Transposed so that the tonic is C, a model of few songs hears one scale instead of twelve,
and with it the mode, which carries valence (functional representation: Huang et al.,
EMO-Disentanger, ISMIR 2024).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from schemas.grid import quantise
from schemas.keys import N_KEYS, NO_KEY
from schemas.krumhansl import krumhansl_schmuckler
from schemas.labels import QUADRANTS
from schemas.remi import HIGHEST_PITCH, LOWEST_PITCH, N_PITCHES
from schemas.song import DRUMS, Song, make_notes

N_TONICS = 12
ANY = "any"


def chroma(song: Song) -> np.ndarray:
    """Sounding ticks of each pitch class in each bar (by onset), without drums: float
    (n_bars, 12)."""
    notes, grid = song.notes, quantise(song)
    pitched = notes["track"] != DRUMS
    at = grid.bar[pitched] * 12 + notes["pitch"][pitched] % 12
    return np.bincount(at, notes["duration"][pitched], len(song.bars) * 12).reshape(-1, 12)


def keys_of(song: Song) -> np.ndarray:
    """Key of each bar by Krumhansl and Schmuckler over the bar and its neighbours: 0-23, 24
    without pitched notes."""
    wide = chroma(song)
    padded = np.pad(wide, ((1, 1), (0, 0)))
    wide = padded[:-2] + padded[1:-1] + padded[2:]
    key, _ = krumhansl_schmuckler(wide)
    return key.astype(np.int64)


def song_key_of(song: Song) -> int:
    """Key of a whole song by Krumhansl and Schmuckler, 24 without pitched notes."""
    key, _ = krumhansl_schmuckler(chroma(song).sum(0)[None])
    return int(key[0])


def tonics_of(key: np.ndarray, song_key: int, by_bar: bool) -> np.ndarray:
    """Pitch class of the tonic that each bar is written relative to, uint8 (n_bars).

    The song's on every bar, C where it has none; by_bar: the bar's own, and of a bar
    without key that of the bar before it, or at the start the song's.
    """
    of_song = 0 if song_key == NO_KEY else song_key % N_TONICS
    if not by_bar:
        return np.full(len(key), of_song, np.uint8)
    last_keyed = np.maximum.accumulate(np.where(key < N_KEYS, np.arange(len(key)), -1))
    own = key[np.maximum(last_keyed, 0)] % N_TONICS
    return np.where(last_keyed < 0, of_song, own).astype(np.uint8)


def relative_key(key: np.ndarray, tonic: np.ndarray) -> np.ndarray:
    """Keys as they are where the tonic is C, uint8: 0 major and 12 minor on it; none stays
    none."""
    degree = (key.astype(int) - tonic) % N_TONICS
    return np.where(key < N_KEYS, degree + key // N_TONICS * N_TONICS, NO_KEY).astype(
        np.uint8
    )


def turned(pitch: np.ndarray, semitones: np.ndarray) -> np.ndarray:
    """Pitches that have a token moved by semitones, each to one of its own: what leaves the
    vocabulary at one end comes in at the other, so that the way back is exact. Others stay.
    """
    inside = (pitch >= LOWEST_PITCH) & (pitch <= HIGHEST_PITCH)
    moved = (pitch.astype(int) - LOWEST_PITCH + semitones) % N_PITCHES + LOWEST_PITCH
    return np.where(inside, moved, pitch)


def to_tonic(song: Song, tonic: np.ndarray) -> Song:
    """The song with each bar's tonic (n_bars) brought to C by the nearest way, six
    semitones down at most and five up; drums stay."""
    return _transposed(song, (6 - tonic.astype(int)) % N_TONICS - 6)


def from_tonic(song: Song, tonic: np.ndarray) -> Song:
    """The song that `to_tonic` took to this one; the last tonic also holds for bars after
    it."""
    missing = max(len(song.bars) - len(tonic), 0)
    tonic = np.pad(tonic.astype(int), (0, missing), mode="edge")
    return _transposed(song, 6 - (6 - tonic) % N_TONICS)


def _transposed(song: Song, semitones: np.ndarray) -> Song:
    """Pitched notes moved by the semitones (n_bars) of the bar they are drawn to."""
    notes = song.notes
    moved = turned(notes["pitch"], semitones[quantise(song).bar])
    pitch = np.where(notes["track"] == DRUMS, notes["pitch"], moved)
    columns = {name: notes[name] for name in notes.dtype.names or ()}
    return replace(song, notes=make_notes(**columns | {"pitch": pitch}))


@dataclass(frozen=True, eq=False)
class KeyTable:
    """How many training songs of each quadrant, and of all together (`any`), have each of
    twelve tonics; which tonic a piece is written in is drawn from it."""

    counts: Mapping[str, list[int]]

    @staticmethod
    def of(tonic: np.ndarray, label: np.ndarray) -> "KeyTable":
        """Of a song's tonic (n) and labels (n, 2), arousal and valence."""
        groups = {name: (label == levels).all(1) for levels, name in QUADRANTS.items()} | {
            ANY: np.ones(len(tonic), bool)
        }
        return KeyTable(
            {
                name: np.bincount(tonic[rows], minlength=N_TONICS).tolist()
                for name, rows in groups.items()
            }
        )

    def draw(self, classes: Mapping[str, int | None], n: int, seed: int) -> np.ndarray:
        """Tonics (n) as songs of the classes have them; of a quadrant without songs, or of
        one class alone, as all have."""
        levels = (classes["arousal"], classes["valence"])
        name = QUADRANTS.get(levels, ANY)  # type: ignore[arg-type]  # None is no level
        counts: Any = self.counts[name if sum(self.counts[name]) else ANY]
        share = np.array(counts) / max(sum(counts), 1)
        if not share.any():
            return np.zeros(n, np.uint8)
        return np.random.default_rng(seed).choice(N_TONICS, n, p=share).astype(np.uint8)
