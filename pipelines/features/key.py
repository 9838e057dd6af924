"""Key: one key a bar, how sure of it, and the key of the song."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.grid import Grid
from schemas.keys import NO_KEY
from schemas.song import DRUMS, TICKS_PER_SIXTEENTH, Song

COLUMNS = ("key", "key_confidence", "song_key")

# Krumhansl & Kessler (1982); the figures of music21's KrumhanslSchmuckler. Major, then minor.
KRUMHANSL_KESSLER = (
    (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
)
# Correlations nearer than this count as equal: rounding must not choose a key.
TIE = 1e-9
# music21's order among equals: the higher pitch class first, then minor before major.
_KS_ORDER = np.array([key for tonic in range(11, -1, -1) for key in (tonic + 12, tonic)])


@dataclass(frozen=True)
class KeyConfig:
    """How keys are found."""

    method: str = "ks_bar"


def compute(song: Song, grid: Grid, config: KeyConfig) -> dict[str, Any]:
    """The key columns: key uint8[n_bars], key_confidence float32[n_bars], song_key int."""
    weights = pitch_class_weights(song, grid)
    key, confidence = krumhansl_schmuckler(weights)
    song_key, _ = krumhansl_schmuckler(weights.sum(axis=0, keepdims=True))
    return {"key": key, "key_confidence": confidence, "song_key": int(song_key[0])}


def pitch_class_weights(song: Song, grid: Grid) -> np.ndarray:
    """Ticks that each pitch class sounds in each bar, drums left out; float64[n_bars, 12].

    Notes stand on the sixteenths of the grid, so that one played a tick early does not count in the bar before; a note
    counts in every bar it sounds in, and one that outlasts the song is cut at its end.
    """
    pitched = song.notes["track"] != DRUMS
    pitch_class = song.notes["pitch"][pitched].astype(np.int64) % 12
    bar_start = song.bars["start"].astype(np.int64)
    bar_end = bar_start + song.bars["length"]
    first = grid.bar[pitched]
    onset = bar_start[first] + grid.position[pitched] * TICKS_PER_SIXTEENTH
    end = np.minimum(onset + grid.sixteenths[pitched] * TICKS_PER_SIXTEENTH, bar_end[-1])
    last = np.maximum(np.searchsorted(bar_start, end, side="left") - 1, first)
    over = last > first

    def add(bar: np.ndarray, of: np.ndarray, ticks: np.ndarray | None = None) -> np.ndarray:
        size = (len(bar_start) + 1) * 12
        return np.bincount(bar * 12 + pitch_class[of], weights=ticks, minlength=size).reshape(-1, 12)[:-1]

    everyone = np.ones(len(first), bool)
    heads = add(first, everyone, np.maximum(np.minimum(end, bar_end[first]) - onset, 0))
    tails = add(last[over], over, end[over] - bar_start[last[over]])
    # Bars a note fills from line to line: up after its first, down at its last, and a running sum between.
    throughout = np.cumsum(add(first[over] + 1, over) - add(last[over], over), axis=0)
    return heads + tails + throughout * song.bars["length"][:, None]


def krumhansl_schmuckler(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Key of each row by correlation with the Krumhansl-Kessler profiles (Krumhansl 1990): uint8[n], float32[n].

    Equal to music21's KrumhanslSchmuckler; of keys that correlate alike the higher tonic, then minor. The confidence is
    the lead in correlation over the next best key, clipped to 0-1. An empty row has no key (24) and confidence 0.
    """
    ordered = _correlations(weights, _key_profiles(KRUMHANSL_KESSLER))[:, _KS_ORDER]
    top = np.partition(ordered, -2, axis=1)[:, -2:]
    key = _KS_ORDER[np.argmax(ordered >= top[:, 1:] - TIE, axis=1)].astype(np.uint8)
    confidence = np.clip(top[:, 1] - top[:, 0], 0.0, 1.0).astype(np.float32)
    empty = weights.sum(axis=1) == 0
    key[empty], confidence[empty] = NO_KEY, 0.0
    return key, confidence


def _key_profiles(major_minor: tuple[tuple[float, ...], tuple[float, ...]]) -> np.ndarray:
    """A profile on each of its 24 tonics and modes, in the order of key numbers: float64[24, 12]."""
    return np.array([np.roll(profile, tonic) for profile in major_minor for tonic in range(12)])


def _correlations(weights: np.ndarray, profiles: np.ndarray) -> np.ndarray:
    """Pearson correlation of each row of weights with each profile, 0 where a row is flat: float64[n, n_profiles]."""
    rows = weights - weights.mean(axis=1, keepdims=True)
    centred = profiles - profiles.mean(axis=1, keepdims=True)
    scale = np.sqrt((rows**2).sum(axis=1, keepdims=True) * (centred**2).sum(axis=1))
    return np.divide(rows @ centred.T, scale, out=np.zeros_like(scale), where=scale > 0)
