"""Realism of written songs: how near a bar comes to one that was trained on, and how far
features lie from real songs'.

A generator can be hit in its class by copying, or by leaving real music altogether; both
show here. Features are compared class by class as distributions, for which Yang and Lerch
(2020) give the reasons.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from schemas.grid import quantise
from schemas.remi import BEAT, DURATION, N_BEATS, N_PITCHES, PITCH, TEMPO_TOKEN, encode
from schemas.song import TRACKS, Song
from training.data.cache import Split
from training.evaluation.metrics import mean

# Of fewer notes almost every bar has been written before.
LEAST_NOTES = 4
N_CODES = N_BEATS * len(TRACKS) * N_PITCHES


def note_codes(tokens: np.ndarray, bar_offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bar and code of each different note that legal tokens say, rising by bar, then code:
    int64, one a note.

    tokens: flat; bar_offset: n_bars + 1; a code is position · 440 + track · 88 + pitch −
    21, below N_CODES.
    """
    # A note is where its Duration is: a bar whose tail was cut may end in half a note.
    note = np.flatnonzero(tokens >= DURATION) - 2
    beat = np.flatnonzero((tokens >= BEAT) & (tokens < TEMPO_TOKEN))
    position = tokens[beat[np.searchsorted(beat, note) - 1]].astype(np.int64) - BEAT
    code = position * (N_CODES // N_BEATS) + tokens[note] - PITCH
    bar = np.searchsorted(bar_offset, note, side="right") - 1
    # np.unique hashes, which takes twenty times as long on a corpus.
    both = np.sort(bar * N_CODES + code)
    return np.divmod(both[np.append(True, both[1:] != both[:-1])[: len(both)]], N_CODES)


class TrainingBars:
    """The bars that a generator may hear, as sets of (position, track, pitch), among which
    written bars are looked up."""

    def __init__(self, split: Split) -> None:
        """The songs of a split that are not for judges."""
        bar, code = note_codes(split.tokens, split.bar_offset)
        heard = ~np.repeat(split.judge, split.n_bars)[bar]
        bar, code = bar[heard], code[heard]
        self._notes = np.bincount(bar, minlength=1)
        # The bars that have a code stand together: those of code c from _first[c] up to
        # _first[c + 1].
        self._bar = bar[np.argsort(code, kind="stable")]
        self._first = np.append(0, np.cumsum(np.bincount(code, minlength=N_CODES)))

    def overlap(self, songs: Sequence[Song]) -> dict[str, Any]:
        """nearest_bar: mean overlap; copied_bars: share that are a training bar's very
        notes; n: of how many bars."""
        nearest = self.nearest(songs)
        return {
            "nearest_bar": mean(nearest),
            "copied_bars": mean(nearest == 1),
            "n": len(nearest),
        }

    def nearest(self, songs: Sequence[Song]) -> np.ndarray:
        """Largest |A∩B| / |A∪B| of each bar A of LEAST_NOTES notes and more with any
        training bar B: float, one a bar.

        songs: of the tracks, and as thin, as the split's view; their bars in order, those
        of fewer notes left out.
        """
        return np.array(
            [
                self._largest(codes)
                for song in songs
                for codes in _bars(song)
                if len(codes) >= LEAST_NOTES
            ]
        )

    def _largest(self, codes: np.ndarray) -> float:
        having = [self._bar[self._first[code] : self._first[code + 1]] for code in codes]
        both = np.bincount(np.concatenate(having), minlength=len(self._notes))
        return float((both / (self._notes + len(codes) - both)).max())


def _bars(song: Song) -> list[np.ndarray]:
    """Codes of each bar that has notes."""
    remi = encode(song, quantise(song))
    bar, code = note_codes(remi.tokens, remi.bar_offset)
    return np.split(code, np.flatnonzero(np.diff(bar)) + 1)


def distance_to_real(written: np.ndarray, real: np.ndarray) -> float:
    """Mean over features of Wasserstein-1 between written and real songs, in the real
    songs' standard deviations.

    Tables float (n, n_features), as hand.feature_table makes them; a value that is NaN is
    left out, and so is a feature that among the real songs never varies, or that no written
    song has; NaN where nothing is left.
    """
    if not len(written) or not len(real):
        return float("nan")
    return mean(
        np.array(
            [_in_deviations(*columns) for columns in zip(written.T, real.T, strict=True)]
        )
    )


def _in_deviations(written: np.ndarray, real: np.ndarray) -> float:
    written, real = written[~np.isnan(written)], real[~np.isnan(real)]
    if not len(written) or not len(real) or np.ptp(real) == 0:
        return float("nan")
    return wasserstein(written, real) / float(real.std())


def wasserstein(some: np.ndarray, others: np.ndarray) -> float:
    """Wasserstein-1 distance of two samples of any sizes, exact: the area between their
    distribution functions."""
    values = np.sort(np.concatenate([some, others]))
    below, other_below = (
        np.searchsorted(np.sort(one), values[:-1], side="right") / len(one)
        for one in (some, others)
    )
    return float(np.abs(below - other_below) @ np.diff(values))
