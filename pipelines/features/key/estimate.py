"""Key: one key a bar, how sure of it, and the key of the song.

`hmm` (the default) follows the key through the song with a hidden Markov model of 24 keys,
one step a bar (after Temperley 2007, Music and Probability, and Nápoles López et al. 2019,
Key-Finding Based on a Hidden Markov Model and Key Profiles). What a bar says for a key is
the mean log-likelihood of its pitch classes under six published profiles, and what stands
in its bass; keys seldom change, and mostly to neighbours and where a phrase of eight bars
begins. `ks_bar` is the plain way, Krumhansl-Schmuckler on every bar alone.
tests/bench/key_accuracy.py measures both and chose the defaults.
"""

import math
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np

from pipelines.features.key.bass import NO_BASS, Bass, bass_notes, phrase_starts
from pipelines.features.key.hmm import posterior, viterbi
from pipelines.features.key.profiles import KEY_PROFILES, key_profile, neighbour_costs
from schemas.grid import Grid
from schemas.keys import N_KEYS, NO_KEY
from schemas.krumhansl import krumhansl_schmuckler
from schemas.song import DRUMS, TICKS_PER_SIXTEENTH, Song

COLUMNS = ("key", "key_confidence", "song_key")


@dataclass(frozen=True)
class KeyConfig:
    """How keys are found; all but `method` are for `hmm`: natural logarithms or
    probabilities, chosen by measurement.

    method: "hmm" or "ks_bar". uniform: share of an even profile mixed into each published
    one. evidence: weight of a bar's pitch classes; at 20 the key follows passing
    modulations too, as an analyst of chorales does, at the default it changes where a new
    signature would stand. bass_tonic, bass_subdominant: for a bar whose first bass note is
    the tonic, the fourth degree. phrase_bass: for an eight-bar phrase that starts over its
    tonic. first_bass, last_bass: for a song that starts and ends so. melody_phrase,
    melody_last: for a phrase and a song that end on the tonic, where there is one voice
    alone. change, phrase_change: chance of moving to the key a fifth away at any bar, at
    the start of a phrase; others are less likely by fifths_cost a step of the circle and
    mode_cost for a change of mode, the parallel and relative keys by parallel_cost and
    relative_cost alone. song_evidence, song_first, song_last, song_minor: weights of the
    song's key: pitch classes of the whole, first and last bass, and the minor keys'
    handicap.
    """

    method: Literal["hmm", "ks_bar"] = "hmm"
    uniform: float = 0.103
    evidence: float = 1.36
    bass_tonic: float = 0.0751
    bass_subdominant: float = -0.273
    phrase_bass: float = 0.669
    first_bass: float = 0.436
    last_bass: float = 0.242
    melody_phrase: float = 0.299
    melody_last: float = 1.78
    change: float = 0.00394
    phrase_change: float = 0.0665
    fifths_cost: float = 0.224
    mode_cost: float = 8.4
    parallel_cost: float = 3.58
    relative_cost: float = 2.36
    song_evidence: float = 19.4
    song_first: float = 1.56
    song_last: float = 1.92
    song_minor: float = 0.35

    def __post_init__(self) -> None:
        methods = get_args(KeyConfig.__annotations__["method"])
        if self.method not in methods:
            raise ValueError(
                f"unknown key method {self.method!r}: known are {', '.join(methods)}"
            )
        for name in ("uniform", "change", "phrase_change"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be over 0 and under 1, not {getattr(self, name)}"
                )
        # A move must stay possible in numbers too, or a song that contradicts it has no
        # posterior.
        for name in ("fifths_cost", "mode_cost", "parallel_cost", "relative_cost"):
            if not 0 <= getattr(self, name) <= 50:
                raise ValueError(f"{name} must lie in [0, 50], not {getattr(self, name)}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "method" and not math.isfinite(value):
                raise ValueError(f"{field.name} must be a number, not {value}")


def compute(song: Song, grid: Grid, config: KeyConfig) -> dict[str, Any]:
    """The key columns: key uint8[n_bars] (schemas.keys), key_confidence float32[n_bars] of
    0-1, song_key int.

    The confidence of `hmm` is the posterior probability of the key given, of `ks_bar` its
    lead in correlation; both to four places. Without a pitched note all is 24 and 0; an
    empty bar is 24 in `ks_bar` and carried through in `hmm`.
    """
    weights = pitch_class_weights(song, grid)
    if not weights.any():
        return _columns(np.full(len(weights), NO_KEY), np.zeros(len(weights)), NO_KEY)
    if config.method == "ks_bar":
        key, confidence = krumhansl_schmuckler(weights)
        whole_song = weights.sum(axis=0)[None]
        song_keys, _ = krumhansl_schmuckler(whole_song)
        return _columns(key, confidence, int(song_keys[0]))
    key, sure, song_key = follow(song, grid, weights, config)
    confidence = sure[np.arange(len(key)), key]
    return _columns(key, confidence, song_key)


def follow(
    song: Song, grid: Grid, weights: np.ndarray, config: KeyConfig
) -> tuple[np.ndarray, np.ndarray, int]:
    """Keys by `hmm` of a song with a pitched note: int64[n_bars], their posteriors
    float64[n_bars, 24], the song's key.

    weights: those of pitch_class_weights.
    """
    bass = bass_notes(song, grid)
    phrase_start = phrase_starts(bass)
    evidence = bar_evidence(weights, bass, phrase_start, config)
    moves = transitions(config)
    table = phrase_start.astype(np.int64)
    key = viterbi(evidence, np.log(moves), table)
    sure = posterior(evidence, moves, table)
    song_key = int(song_evidence(weights, bass, config).argmax())
    return key, sure, song_key


def _columns(key: np.ndarray, confidence: np.ndarray, song_key: int) -> dict[str, Any]:
    return {
        "key": key.astype(np.uint8),
        "key_confidence": np.round(confidence, 4).astype(np.float32),
        "song_key": song_key,
    }


def pitch_class_weights(song: Song, grid: Grid) -> np.ndarray:
    """Ticks that each pitch class sounds in each bar, drums left out; float64[n_bars, 12].

    Notes stand on the sixteenths of the grid, so that one played a tick early does not
    count in the bar before; a note counts in every bar it sounds in, and one that outlasts
    the song is cut at its end.
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

    def add(
        bar: np.ndarray, pitch_class: np.ndarray, ticks: np.ndarray | None = None
    ) -> np.ndarray:
        size = (len(bar_start) + 1) * 12
        return np.bincount(bar * 12 + pitch_class, weights=ticks, minlength=size).reshape(
            -1, 12
        )[:-1]

    heads = add(first, pitch_class, np.maximum(np.minimum(end, bar_end[first]) - onset, 0))
    tails = add(last[over], pitch_class[over], end[over] - bar_start[last[over]])
    # Bars that a note fills from line to line: up after its first, down at its last, and
    # the running sum between.
    throughout = np.cumsum(
        add(first[over] + 1, pitch_class[over]) - add(last[over], pitch_class[over]), axis=0
    )
    return heads + tails + throughout * song.bars["length"][:, None]


def bar_evidence(
    weights: np.ndarray, bass: Bass, phrase_start: np.ndarray, config: KeyConfig
) -> np.ndarray:
    """What each bar says for each key: log-likelihood up to a constant; float64[n_bars,
    24]."""
    total = weights.sum(axis=1, keepdims=True)
    shares = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    likelihood = shares @ _log_profiles(config.uniform).T
    evidence = config.evidence * likelihood
    tonic = _points_to(0)
    fourth = _points_to(5)
    if bass.polyphonic:
        over_tonic = config.bass_tonic * tonic[bass.opening]
        over_fourth = config.bass_subdominant * fourth[bass.opening]
        evidence += over_tonic + over_fourth
        phrase_bass = np.where(phrase_start, bass.opening, NO_BASS)
        evidence += config.phrase_bass * tonic[phrase_bass]
        evidence[0] += config.first_bass * tonic[bass.first]
        evidence[-1] += config.last_bass * tonic[bass.last]
    else:
        ends_phrase = np.append(phrase_start[1:], False)
        phrase_end = np.where(ends_phrase, bass.closing, NO_BASS)
        evidence += config.melody_phrase * tonic[phrase_end]
        evidence[-1] += config.melody_last * tonic[bass.last]
    return evidence


def song_evidence(weights: np.ndarray, bass: Bass, config: KeyConfig) -> np.ndarray:
    """What the song says for each key as its own: pitch classes of the whole, first
    bass, last note; float64[24]."""
    tonic = _points_to(0)
    shares = weights.sum(axis=0) / weights.sum()
    likelihood = _log_profiles(config.uniform) @ shares
    evidence = config.song_evidence * likelihood
    evidence += config.song_first * tonic[bass.first] + config.song_last * tonic[bass.last]
    evidence[12:] -= config.song_minor
    return evidence


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
    return np.log((1 - uniform) * profiles + uniform / 12).mean(axis=0)


@lru_cache(maxsize=2)
def _points_to(degree: int) -> np.ndarray:
    """1 where a bass note is that degree (semitones above the tonic) of a key:
    float64[13, 24], the last row for no bass."""
    bass = np.arange(12)[:, None]
    key = np.arange(N_KEYS)
    is_degree = (bass - key) % 12 == degree
    no_bass = np.zeros(N_KEYS, bool)
    return np.vstack([is_degree, no_bass]).astype(float)
