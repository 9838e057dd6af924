"""Key: one key a bar, how sure of it, and the key of the song.

`hmm` (the default) takes the song's key from a linear model of its pitch classes and bass
(song_key.py), and follows the key through the song with a hidden Markov model of 24 keys,
one step a bar (after Temperley 2007, Music and Probability, and Nápoles López et al. 2019,
Key-Finding Based on a Hidden Markov Model and Key Profiles). What a bar says for a key is
the mean log-likelihood of its pitch classes under six published profiles, what stands in
its bass, and what the song model hears in the bars around it; keys seldom change, and
mostly to neighbours and where a phrase of eight bars begins. A song whose path says little
more than one key does has the song's key in every bar. `ks_bar` is the plain way,
Krumhansl-Schmuckler on every bar alone. tests/bench/key_accuracy.py measures both.
"""

from typing import Any

import numpy as np

from pipelines.features.key import path
from pipelines.features.key.pitch_classes import pitch_class_weights
from pipelines.features.key.reading import lowered, raised_keys, read
from pipelines.features.key.settings import KeyConfig
from pipelines.features.key.song_weights import FITTED
from schemas.grid import Grid
from schemas.keys import N_KEYS, NO_KEY
from schemas.krumhansl import krumhansl_schmuckler
from schemas.song import Song

COLUMNS = ("key", "key_confidence", "song_key")


def compute(song: Song, grid: Grid, config: KeyConfig) -> dict[str, Any]:
    """The key columns: key uint8[n_bars] (schemas.keys), key_confidence float32[n_bars] of
    0-1, song_key int.

    The confidence of `hmm` is the probability of the key given: the song's, where it has
    one key throughout, else the posterior of the path; of `ks_bar` its lead in correlation;
    both to four places. Without a pitched note all is 24 and 0; an empty bar is 24 in
    `ks_bar` and carried through in `hmm`. A song moved by k semitones has its keys of `hmm`
    moved by exactly k.
    """
    if config.method == "ks_bar":
        return _plain(pitch_class_weights(song, grid))
    found = follow(song, grid, config)
    if found.song == NO_KEY:
        return _columns(found.key, np.zeros(len(found.key)), NO_KEY)
    confidence = found.chance[np.arange(len(found.key)), found.key]
    return _columns(found.key, confidence, found.song)


def follow(song: Song, grid: Grid, config: KeyConfig) -> path.Keys:
    """Keys by `hmm`; 24 and no chance of any where no pitched note sounds."""
    reading = read(song, grid)
    if reading is None:
        n_bars = len(song.bars)
        return path.Keys(np.full(n_bars, NO_KEY), np.zeros((n_bars, N_KEYS)), NO_KEY)
    # Everything is worked out as though the song ended on C, so that the same song in
    # another key goes through the same numbers to the last bit, equals included.
    home = reading.bass.last
    found = path.follow(lowered(reading, home), config, FITTED)
    raised, at_home = raised_keys(home), raised_keys(-home)
    return path.Keys(raised[found.key], found.chance[:, at_home], int(raised[found.song]))


def _plain(weights: np.ndarray) -> dict[str, Any]:
    """Krumhansl-Schmuckler on each bar and on the whole."""
    key, confidence = krumhansl_schmuckler(weights)
    whole_song = weights.sum(axis=0)[None]
    song_keys, _ = krumhansl_schmuckler(whole_song)
    return _columns(key, confidence, int(song_keys[0]))


def _columns(key: np.ndarray, confidence: np.ndarray, song_key: int) -> dict[str, Any]:
    return {
        "key": key.astype(np.uint8),
        "key_confidence": np.round(confidence, 4).astype(np.float32),
        "song_key": song_key,
    }
