"""Measures of tokens, notes and classes: pure functions on arrays, each small enough to
check by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np

from schemas.grid import quantise
from schemas.keys import N_KEYS
from schemas.remi import BEAT, DURATION, N_BEATS, PITCH, TEMPO_TOKEN, VELOCITY
from schemas.rhythm import count_rhythm
from schemas.song import Song
from training.data.keys import keys_of

RESAMPLES = 200
PAIRS_AT_ONCE = 1 << 22
TOKEN_TYPES = ("bar", "beat", "tempo", "pitch", "velocity", "duration")


def token_types(tokens: np.ndarray) -> np.ndarray:
    """Index into TOKEN_TYPES of each token that is not PAD; EOS counts as Bar."""
    return np.searchsorted(
        [BEAT, TEMPO_TOKEN, PITCH, VELOCITY, DURATION], tokens, side="right"
    )


class NGram:
    """Unigram and bigram of tokens with add-one smoothing: the least a model must beat."""

    def __init__(self, size: int) -> None:
        self.counts = np.zeros((size, size), np.int64)

    def add(self, before: np.ndarray, after: np.ndarray) -> None:
        """Count pairs of tokens, a part at a time: a whole corpus would not fit as wide
        numbers."""
        size = len(self.counts)
        for at in range(0, len(before), PAIRS_AT_ONCE):
            of = slice(at, at + PAIRS_AT_ONCE)
            pairs = before[of].astype(np.int64) * size + after[of]
            self.counts += np.bincount(pairs, minlength=size * size).reshape(size, size)

    def nll(self, before: np.ndarray, after: np.ndarray) -> dict[str, float]:
        """Mean −log p of `after`, in nats, under each."""
        single = self.counts.sum(0) + 1.0
        pair = self.counts[before, after] + 1.0
        of_before = self.counts.sum(1)[before] + len(self.counts)
        return {
            "unigram": float(-np.log(single[after] / single.sum()).mean()),
            "bigram": float(-np.log(pair / of_before).mean()),
        }


def accuracies(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Plain and balanced accuracy, the majority's share, how many."""
    if not len(true):
        return {"n": 0}
    recalls = [(predicted[true == level] == level).mean() for level in np.unique(true)]
    majority = np.unique(true, return_counts=True)[1].max() / len(true)
    plain, balanced = float((predicted == true).mean()), float(np.mean(recalls))
    return {
        "accuracy": plain,
        "balanced": balanced,
        "majority": float(majority),
        "n": len(true),
    }


def over_songs(
    song: np.ndarray, statistic: Callable[[np.ndarray], float], seed: int = 0
) -> list[float]:
    """95 % interval of a statistic of rows, by drawing songs again: song (n) of each row;
    statistic of row numbers. Rows of one song are alike, and say less than as many songs."""
    of_song = [np.flatnonzero(song == one) for one in np.unique(song)]
    random = np.random.default_rng(seed)
    drawn = [
        statistic(np.concatenate([of_song[at] for at in random.integers(0, n, n)]))
        for n in [len(of_song)] * RESAMPLES
    ]
    return np.nanpercentile(drawn, [2.5, 97.5]).tolist()


def auc(score: np.ndarray, label: np.ndarray) -> float:
    """Chance that a high song scores over a low one."""
    high, low = score[label == 1], score[label == 0]
    return (
        float((high[:, None] > low).mean() + (high[:, None] == low).mean() / 2)
        if len(high) and len(low)
        else float("nan")
    )


def note_f1(found: Song, wanted: Song, bars: int) -> dict[str, float]:
    """Precision, recall and F1 of (bar, position, track, pitch) within the first `bars`
    bars."""
    sets = []
    for song in (found, wanted):
        grid, notes = quantise(song), song.notes
        code = (
            (grid.bar * N_BEATS + np.minimum(grid.position, N_BEATS - 1)) * 8
            + notes["track"]
        ) * 128 + notes["pitch"]
        sets.append(np.unique(code[grid.bar < bars]))
    both = len(np.intersect1d(sets[0], sets[1]))
    precision, recall = both / max(len(sets[0]), 1), both / max(len(sets[1]), 1)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-12),
    }


def song_facts(song: Song, bars: int | None = None) -> dict[str, float]:
    """notes a bar, share of bars in a minor key among those with one, mean tempo."""
    n_bars = bars or len(song.bars)
    keys = keys_of(song)
    keyed = keys[keys < N_KEYS]
    return {
        "notes_per_bar": len(song.notes) / n_bars,
        "minor_share": float((keyed >= 12).mean()) if len(keyed) else float("nan"),
        "bpm": float(song.tempi["bpm"].mean()),
    }


def rhythm_vector(song: Song, bars: int) -> np.ndarray:
    """Onsets of each sixteenth of the first `bars` bars, flat."""
    counts = count_rhythm(quantise(song)).onsets[:bars]
    return np.pad(counts, ((0, bars - len(counts)), (0, 0))).ravel().astype(float)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """<a, b> / ‖a‖‖b‖, eq. (20); 0 where one is silent."""
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / scale) if scale > 0 else 0.0


def mean_of(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each entry over rows, leaving out what is not a number."""
    return {
        name: mean(np.array([row[name] for row in rows]))
        for name in (rows[0] if rows else {})
    }


def mean(values: np.ndarray) -> float:
    """Mean of what is a number among values; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def rounded(value: Any, digits: int = 4) -> Any:
    """Floats of a JSON value rounded, so that two reports can be compared by eye; what
    is not a number is null."""
    if isinstance(value, dict):
        return {name: rounded(one, digits) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one, digits) for one in value]
    if isinstance(value, float):
        return round(value, digits) if np.isfinite(value) else None
    return value
