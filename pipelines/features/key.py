"""Key: one key a bar, how sure of it, and the key of the song.

`hmm` (the default) follows the key through the song with a hidden Markov model of 24 keys, one step a bar (after Temperley
2007, Music and Probability, and Nápoles López et al. 2019, Key-Finding Based on a Hidden Markov Model and Key Profiles).
What a bar says for a key is the mean log-likelihood of its pitch classes under six published profiles, and what stands in
its bass; keys seldom change, and mostly to neighbours and where a phrase of four or eight bars begins. `ks_bar` is the
plain way, Krumhansl-Schmuckler on every bar alone. tests/bench/key_accuracy.py measures both and chose the defaults.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np

from schemas.bass import NO_BASS, Bass, bass_notes, phrase_levels
from schemas.grid import Grid
from schemas.hmm import posterior, viterbi
from schemas.keys import KEY_PROFILES, N_KEYS, NO_KEY, key_profile, neighbour_costs
from schemas.song import DRUMS, TICKS_PER_SIXTEENTH, Song

COLUMNS = ("key", "key_confidence", "song_key")
# Correlations nearer than this count as equal: rounding must not choose a key.
TIE = 1e-9
# music21's order among equals: the higher pitch class first, then minor before major.
_KS_ORDER = np.array([key for tonic in range(11, -1, -1) for key in (tonic + 12, tonic)])


@dataclass(frozen=True)
class KeyConfig:
    """How keys are found; all but `method` are for `hmm`, natural logarithms or probabilities, chosen by measurement.

    method: "hmm" or "ks_bar". uniform: share of an even profile mixed into each published one.
    evidence: weight of a bar's pitch classes. bass_tonic, bass_subdominant: for a bar whose first bass note is the tonic
    or the fourth degree. phrase_bass: for an eight-bar phrase that starts on the tonic in the bass. first_bass, last_bass:
    for a song that does, and ends so. melody_phrase, melody_last: for an eight-bar phrase and a song that end on
    the tonic, where there is one voice alone. change, change_4, change_8: chance of moving to the key a fifth away at
    a bar, at each fourth, at each eighth; other keys are less likely by fifths_cost a step of the circle, mode_cost
    for a change of mode, and exactly parallel_cost, relative_cost for the parallel and the relative key.
    song_evidence, song_first, song_last, song_minor: weights of the song's key: pitch classes of the whole, first and last
    bass, and the minor keys' handicap.
    """

    method: Literal["hmm", "ks_bar"] = "hmm"
    uniform: float = 0.0759
    evidence: float = 1.5417
    bass_tonic: float = 0.1493
    bass_subdominant: float = -0.3231
    phrase_bass: float = 1.4627
    first_bass: float = 0.1891
    last_bass: float = 0.2075
    melody_phrase: float = 0.5009
    melody_last: float = 0.7832
    change: float = 0.004
    change_4: float = 0.0068
    change_8: float = 0.0436
    fifths_cost: float = 0.1959
    mode_cost: float = 0.8266
    parallel_cost: float = 2.8722
    relative_cost: float = 1.7226
    song_evidence: float = 19.0
    song_first: float = 1.5
    song_last: float = 2.0
    song_minor: float = 0.3

    def __post_init__(self) -> None:
        methods = get_args(KeyConfig.__annotations__["method"])
        if self.method not in methods:
            raise ValueError(f"unknown key method {self.method!r}: known are {', '.join(methods)}")


def compute(song: Song, grid: Grid, config: KeyConfig) -> dict[str, Any]:
    """The key columns: key uint8[n_bars] (schemas.keys), key_confidence float32[n_bars] of 0-1, song_key int.

    The confidence of `hmm` is the posterior probability of the key given, of `ks_bar` its lead in correlation; both
    to four places. Without a pitched note all is 24 and 0; an empty bar is 24 in `ks_bar` and carried through in `hmm`.
    """
    weights = pitch_class_weights(song, grid)
    if not weights.any():
        return _columns(np.full(len(weights), NO_KEY), np.zeros(len(weights)), NO_KEY)
    if config.method == "ks_bar":
        return _columns(*krumhansl_schmuckler(weights), int(krumhansl_schmuckler(weights.sum(axis=0)[None])[0][0]))
    bass = bass_notes(song, grid)
    level = phrase_levels(bass)
    evidence = bar_evidence(weights, bass, level, config)
    moves = transitions(config)
    key = viterbi(evidence, np.log(moves), level)
    confidence = posterior(evidence, moves, level)[np.arange(len(key)), key]
    return _columns(key, confidence, int(song_evidence(weights, bass, config).argmax()))


def _columns(key: np.ndarray, confidence: np.ndarray, song_key: int) -> dict[str, Any]:
    return {
        "key": key.astype(np.uint8),
        "key_confidence": np.round(confidence, 4).astype(np.float32),
        "song_key": song_key,
    }


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

    def add(bar: np.ndarray, pitch_class: np.ndarray, ticks: np.ndarray | None = None) -> np.ndarray:
        size = (len(bar_start) + 1) * 12
        return np.bincount(bar * 12 + pitch_class, weights=ticks, minlength=size).reshape(-1, 12)[:-1]

    heads = add(first, pitch_class, np.maximum(np.minimum(end, bar_end[first]) - onset, 0))
    tails = add(last[over], pitch_class[over], end[over] - bar_start[last[over]])
    # Bars that a note fills from line to line: up after its first, down at its last, and the running sum between.
    throughout = np.cumsum(add(first[over] + 1, pitch_class[over]) - add(last[over], pitch_class[over]), axis=0)
    return heads + tails + throughout * song.bars["length"][:, None]


def bar_evidence(weights: np.ndarray, bass: Bass, level: np.ndarray, config: KeyConfig) -> np.ndarray:
    """What each bar says for each key: log-likelihood up to a constant; float64[n_bars, 24]."""
    total = weights.sum(axis=1, keepdims=True)
    shares = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    evidence = config.evidence * (shares @ _log_profiles(config.uniform).T)
    tonic, fourth = _points_to(0), _points_to(5)
    if bass.polyphonic:
        evidence += config.bass_tonic * tonic[bass.opening] + config.bass_subdominant * fourth[bass.opening]
        evidence += config.phrase_bass * tonic[np.where(level == 2, bass.opening, NO_BASS)]
        evidence[0] += config.first_bass * tonic[bass.first]
        evidence[-1] += config.last_bass * tonic[bass.last]
    else:
        ends_phrase = np.append(level[1:] == 2, False)
        evidence += config.melody_phrase * tonic[np.where(ends_phrase, bass.closing, NO_BASS)]
        evidence[-1] += config.melody_last * tonic[bass.last]
    return evidence


def song_evidence(weights: np.ndarray, bass: Bass, config: KeyConfig) -> np.ndarray:
    """What the song says for each key as its own: pitch classes of the whole, first bass, last note; float64[24]."""
    tonic = _points_to(0)
    evidence = config.song_evidence * (_log_profiles(config.uniform) @ (weights.sum(axis=0) / weights.sum()))
    evidence += config.song_first * tonic[bass.first] + config.song_last * tonic[bass.last]
    evidence[12:] -= config.song_minor
    return evidence


@lru_cache(maxsize=8)
def transitions(config: KeyConfig) -> np.ndarray:
    """Chance of each move at any bar, at a phrase of four, at one of eight: float64[3, 24 from, 24 to], rows of sum 1."""
    costs = neighbour_costs(config.fifths_cost, config.mode_cost, config.parallel_cost, config.relative_cost)
    moves = np.exp(-costs) * np.array([config.change, config.change_4, config.change_8])[:, None, None]
    # However the chances are set, a key stays with at least one in ten.
    moves *= np.minimum(1.0, 0.9 / moves.sum(axis=2, keepdims=True))
    return moves + np.eye(N_KEYS) * (1.0 - moves.sum(axis=2))[:, :, None]


@lru_cache(maxsize=8)
def _log_profiles(uniform: float) -> np.ndarray:
    """Mean over the published profiles of their log-probabilities, mixed with an even one: float64[24, 12]."""
    profiles = np.array([key_profile(name) for name in KEY_PROFILES])
    profiles /= profiles.sum(axis=2, keepdims=True)
    return np.log((1 - uniform) * profiles + uniform / 12).mean(axis=0)


@lru_cache(maxsize=2)
def _points_to(degree: int) -> np.ndarray:
    """1 where a bass note is that degree (semitones above the tonic) of a key: float64[13, 24], the last row for no bass."""
    bass, key = np.arange(12)[:, None], np.arange(N_KEYS)
    return np.vstack([(bass - key) % 12 == degree, np.zeros(N_KEYS, bool)]).astype(float)


def krumhansl_schmuckler(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Key of each row by correlation with the Krumhansl-Kessler profiles (Krumhansl 1990): uint8[n], float64[n].

    Equal to music21's KrumhanslSchmuckler; of keys that correlate alike the higher tonic, then minor. The confidence is
    the lead in correlation over the next best key, at most 1. An empty row has no key (24) and confidence 0.
    """
    profiles = key_profile("krumhansl_kessler")
    profiles -= profiles.mean(axis=1, keepdims=True)
    rows = weights - weights.mean(axis=1, keepdims=True)
    scale = np.sqrt((rows**2).sum(axis=1, keepdims=True) * (profiles**2).sum(axis=1))
    ordered = np.divide(rows @ profiles.T, scale, out=np.zeros_like(scale), where=scale > 0)[:, _KS_ORDER]
    second, first = np.partition(ordered, -2, axis=1)[:, -2:].T
    key = _KS_ORDER[np.argmax(ordered >= first[:, None] - TIE, axis=1)].astype(np.uint8)
    confidence = np.minimum(first - second, 1.0)
    empty = ~weights.any(axis=1)
    key[empty], confidence[empty] = NO_KEY, 0.0
    return key, confidence
