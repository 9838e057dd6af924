"""Keys bar by bar: what each bar says, how keys move, and whether a song moves at all."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipelines.features.key.bass import NO_BASS, Bass
from pipelines.features.key.hmm import posterior, viterbi
from pipelines.features.key.pitch_classes import shares
from pipelines.features.key.profiles import KEY_PROFILES, key_profile, neighbour_costs
from pipelines.features.key.reading import Reading
from pipelines.features.key.settings import KeyConfig
from pipelines.features.key.song_key import (
    SongWeights,
    chances,
    points_to,
    song_scores,
    window_scores,
)
from schemas.keys import N_KEYS


@dataclass(frozen=True, eq=False)
class Keys:
    """key: int64[n_bars]; chance: probability of each key in each bar, float64[n_bars, 24];
    song: the song's key."""

    key: np.ndarray
    chance: np.ndarray
    song: int


def follow(reading: Reading, config: KeyConfig, weights: SongWeights) -> Keys:
    """The likeliest path of keys, or the song's key in every bar where a path says little
    more than one key does."""
    n_bars = len(reading.weights)
    of_song = chances(song_scores(reading, weights) / config.song_temperature)
    song = int(of_song.argmax())

    evidence = bar_evidence(reading, config, weights)
    moves = transitions(config)
    log_moves = np.log(moves)
    table = reading.phrase_start.astype(np.int64)
    key = viterbi(evidence, log_moves, table)
    if path_gain(key, evidence, log_moves, table) < _least_gain(reading.bass, config):
        return Keys(np.full(n_bars, song), np.tile(of_song, (n_bars, 1)), song)
    chance = posterior(evidence / config.path_temperature, moves, table)
    return Keys(key, chance, song)


def path_gain(
    key: np.ndarray, evidence: np.ndarray, log_moves: np.ndarray, table: np.ndarray
) -> float:
    """How much likelier a path is than the best single key throughout, natural logarithm a
    bar; infinitely little where it is one key itself."""
    if (key == key[0]).all():
        return -np.inf
    into, before, after = table[1:], key[:-1], key[1:]
    path = evidence[np.arange(len(key)), key].sum()
    path += log_moves[into, before, after].sum()
    stays = log_moves[into, 0, 0].sum()
    one_key = evidence.sum(axis=0).max() + stays
    return float(path - one_key) / len(key)


def _least_gain(bass: Bass, config: KeyConfig) -> float:
    return config.gain if bass.polyphonic else config.melody_gain


def bar_evidence(reading: Reading, config: KeyConfig, weights: SongWeights) -> np.ndarray:
    """What each bar says for each key: log-likelihood up to a constant; float64[n_bars,
    24]."""
    likelihood = shares(reading.weights) @ _log_profiles(config.uniform).T
    evidence = config.evidence * likelihood
    evidence += config.around * window_scores(reading, weights)
    if reading.bass.polyphonic:
        _add_bass(evidence, reading, config)
    else:
        _add_melody(evidence, reading, config)
    return evidence


def _add_bass(evidence: np.ndarray, reading: Reading, config: KeyConfig) -> None:
    bass = reading.bass
    tonic, fourth = points_to(0), points_to(5)
    evidence += config.bass_tonic * tonic[bass.opening]
    evidence += config.bass_subdominant * fourth[bass.opening]
    phrase_bass = np.where(reading.phrase_start, bass.opening, NO_BASS)
    evidence += config.phrase_bass * tonic[phrase_bass]
    evidence[0] += config.first_bass * tonic[bass.first]
    evidence[-1] += config.last_bass * tonic[bass.last]


def _add_melody(evidence: np.ndarray, reading: Reading, config: KeyConfig) -> None:
    bass = reading.bass
    tonic = points_to(0)
    ends_phrase = np.append(reading.phrase_start[1:], False)
    phrase_end = np.where(ends_phrase, bass.closing, NO_BASS)
    evidence += config.melody_phrase * tonic[phrase_end]
    evidence[-1] += config.melody_last * tonic[bass.last]


@lru_cache(maxsize=8)
def transitions(config: KeyConfig) -> np.ndarray:
    """Chance of each move at any bar and at the start of a phrase: float64[2, 24 from,
    24 to], rows of sum 1."""
    costs = neighbour_costs(
        config.fifths_cost, config.mode_cost, config.parallel_cost, config.relative_cost
    )
    change = np.array([config.change, config.phrase_change])
    moves = np.exp(-costs) * change[:, None, None]
    # However the chances are set, a key stays with at least one in ten.
    moves *= np.minimum(1.0, 0.9 / moves.sum(axis=2, keepdims=True))
    stays = 1.0 - moves.sum(axis=2)
    return moves + np.eye(N_KEYS) * stays[:, :, None]


@lru_cache(maxsize=8)
def _log_profiles(uniform: float) -> np.ndarray:
    """Mean over the published profiles of their log-probabilities, mixed with an even one:
    float64[24, 12]."""
    profiles = np.array([key_profile(name) for name in KEY_PROFILES])
    profiles /= profiles.sum(axis=2, keepdims=True)
    mixed = (1 - uniform) * profiles + uniform / 12
    return np.log(mixed).mean(axis=0)
