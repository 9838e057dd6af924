"""Pitch classes: how long each sounds in each bar, and its share of a bar, of the bars
around it and of the song."""

import numpy as np

from schemas.grid import Grid
from schemas.song import DRUMS, TICKS_PER_SIXTEENTH, Song

# Bars on either side that a window holds.
HALF_WINDOW = 4


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
    n_bars = len(bar_start)

    first = grid.bar[pitched]
    onset = bar_start[first] + grid.position[pitched] * TICKS_PER_SIXTEENTH
    ticks = grid.sixteenths[pitched] * TICKS_PER_SIXTEENTH
    end = np.minimum(onset + ticks, bar_end[-1])
    last = np.searchsorted(bar_start, end, side="left") - 1
    last = np.maximum(last, first)

    in_first_bar = np.minimum(end, bar_end[first]) - onset
    weights = _by_bar(first, pitch_class, n_bars, np.maximum(in_first_bar, 0))

    over = last > first
    first, last, end = first[over], last[over], end[over]
    pitch_class = pitch_class[over]
    in_last_bar = end - bar_start[last]
    weights += _by_bar(last, pitch_class, n_bars, in_last_bar)

    # Bars that a note fills from line to line: up after its first, down at its last, and
    # the running sum between.
    up = _by_bar(first + 1, pitch_class, n_bars)
    down = _by_bar(last, pitch_class, n_bars)
    throughout = np.cumsum(up - down, axis=0)
    return weights + throughout * song.bars["length"][:, None]


def _by_bar(
    bar: np.ndarray,
    pitch_class: np.ndarray,
    n_bars: int,
    ticks: np.ndarray | None = None,
) -> np.ndarray:
    """Ticks, or a count, of each bar and pitch class: [n_bars, 12]; a bar after the last is
    left out."""
    size = (n_bars + 1) * 12
    sums = np.bincount(bar * 12 + pitch_class, weights=ticks, minlength=size)
    return sums.reshape(-1, 12)[:-1]


def shares(weights: np.ndarray) -> np.ndarray:
    """Each pitch class's share of what sounds in each bar, 0 in an empty bar:
    float64[n_bars, 12]."""
    total = weights.sum(axis=1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)


def window_means(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Mean over the counted bars among each bar and HALF_WINDOW bars on either side, 0
    where there is none: float64[n_bars, k].

    values: float64[n_bars, k], 0 in bars that are not counted; counted: bool[n_bars].
    """
    columns = np.column_stack([values, counted])
    running = np.zeros((len(columns) + 1, columns.shape[1]))
    np.cumsum(columns, axis=0, out=running[1:])
    bar = np.arange(len(columns))
    after = np.minimum(bar + HALF_WINDOW + 1, len(columns))
    before = np.maximum(bar - HALF_WINDOW, 0)
    sums = running[after] - running[before]
    means = sums[:, :-1] / np.maximum(sums[:, -1:], 1)
    # Differences of running sums may fall a hair below nothing.
    return np.maximum(means, 0)
