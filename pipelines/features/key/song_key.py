"""The key of a song: a linear model of its pitch classes and its bass.

The score of a key is a sum over 38 weights of what stands on which degree of it, so that a
song that is moved by some semitones has its scores moved by as many. The chance of a key is
the softmax of the scores over the 24 keys. tests/bench/key_fit.py fits the weights.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipelines.features.key.bass import NO_BASS, Bass
from pipelines.features.key.pitch_classes import shares, window_means
from pipelines.features.key.reading import Reading
from schemas.keys import N_KEYS
from schemas.krumhansl import profiles_by_key

# Degrees (semitones above the tonic) that a bass note may be weighed on.
OPENING_DEGREES = (0, 2, 5, 7, 10)
EDGE_DEGREES = (0, 5, 7)


@dataclass(frozen=True)
class SongWeights:
    """What counts for a key, and how much.

    major, minor: root of the mean share of each degree, for keys of that mode.
    opening_bass: share of the bars that open over a degree of OPENING_DEGREES. first_bass,
    last_bass: for a song that begins, ends over a degree of EDGE_DEGREES. melody_phrase:
    share of phrases that end on the tonic; melody_last: for a last note that is the tonic;
    both where there is one voice alone. minor_key: for every minor key.
    """

    major: tuple[float, ...]
    minor: tuple[float, ...]
    opening_bass: tuple[float, ...]
    first_bass: tuple[float, ...]
    last_bass: tuple[float, ...]
    melody_phrase: float
    melody_last: float
    minor_key: float


def song_scores(reading: Reading, weights: SongWeights) -> np.ndarray:
    """What a song says for each key as its own, natural logarithms up to a constant:
    float64[24]."""
    bass = reading.bass
    sounds = reading.weights.any(axis=1)
    mean_shares = shares(reading.weights[sounds]).mean(axis=0)
    scores = profile_scores(mean_shares, weights)
    if bass.polyphonic:
        scores += opening_shares(bass) @ _opening_by_key(weights)
        scores += _edge_by_key(weights.first_bass)[bass.first]
        scores += _edge_by_key(weights.last_bass)[bass.last]
    else:
        tonic = points_to(0)
        phrase_ends = np.append(reading.phrase_start[1:], True)
        ends = bass.closing[phrase_ends]
        ends = ends[ends != NO_BASS]
        if len(ends):
            scores += weights.melody_phrase * tonic[ends].mean(axis=0)
        scores += weights.melody_last * tonic[bass.last]
    return scores


def window_scores(reading: Reading, weights: SongWeights) -> np.ndarray:
    """What the bars around each bar say for each key, as though they were a song's middle:
    float64[n_bars, 24]."""
    sounds: np.ndarray = np.any(reading.weights, axis=1)
    mean_shares = window_means(shares(reading.weights), sounds)
    scores = profile_scores(mean_shares, weights)
    bass = reading.bass
    if bass.polyphonic:
        has_bass = bass.opening != NO_BASS
        opening = np.eye(NO_BASS + 1)[bass.opening][:, :NO_BASS]
        scores += window_means(opening, has_bass) @ _opening_by_key(weights)
    return scores


def chances(scores: np.ndarray) -> np.ndarray:
    """Softmax over keys: float64, the shape of scores."""
    likelihood = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return likelihood / likelihood.sum(axis=-1, keepdims=True)


def profile_scores(mean_shares: np.ndarray, weights: SongWeights) -> np.ndarray:
    """What shares of pitch classes, float64[..., 12], say for each key: float64[..., 24]."""
    return np.sqrt(mean_shares) @ _profiles(weights).T + _minor_keys(weights)


def opening_shares(bass: Bass) -> np.ndarray:
    """Share of the bars with a bass that open over each pitch class: float64[12]."""
    counts = np.bincount(bass.opening, minlength=NO_BASS + 1)[:NO_BASS]
    return counts / max(1, counts.sum())


@lru_cache(maxsize=12)
def points_to(degree: int) -> np.ndarray:
    """1 where a bass note is that degree (semitones above the tonic) of a key:
    float64[13, 24], the last row for no bass."""
    bass = np.arange(12)[:, None]
    key = np.arange(N_KEYS)
    is_degree = (bass - key) % 12 == degree
    no_bass = np.zeros(N_KEYS, bool)
    return np.vstack([is_degree, no_bass]).astype(float)


@lru_cache(maxsize=64)
def _profiles(weights: SongWeights) -> np.ndarray:
    return profiles_by_key((weights.major, weights.minor))


@lru_cache(maxsize=64)
def _minor_keys(weights: SongWeights) -> np.ndarray:
    return np.repeat([0.0, weights.minor_key], 12)


@lru_cache(maxsize=64)
def _opening_by_key(weights: SongWeights) -> np.ndarray:
    """float64[12, 24]"""
    degrees = zip(OPENING_DEGREES, weights.opening_bass, strict=True)
    by_key = sum(weight * points_to(degree) for degree, weight in degrees)
    return np.asarray(by_key)[:NO_BASS]


@lru_cache(maxsize=64)
def _edge_by_key(edge: tuple[float, ...]) -> np.ndarray:
    """float64[13, 24]"""
    degrees = zip(EDGE_DEGREES, edge, strict=True)
    return np.asarray(sum(weight * points_to(degree) for degree, weight in degrees))
