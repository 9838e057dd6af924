"""Rhythm: how many notes start and sound in each sixteenth of each bar.

Notes stand where schemas.grid puts them: onsets and durations at the nearest sixteenth,
halves up. A triplet has no sixteenth of its own: of three eighth-note triplets on a beat
(ticks 0, 8, 16) the second is drawn a third of a sixteenth (2 ticks) early and the third as
much late; swung eighths (ticks 0, 16) land on the fourth sixteenth of the beat.
"""

from dataclasses import dataclass

import numpy as np

from schemas.grid import Grid

POSITIONS = 16


@dataclass(frozen=True, eq=False)
class Rhythm:
    """int64 (n_bars, 16) each: notes whose onset falls in a sixteenth, and notes that
    sound in it, also those that came over the bar line. A bar of 12 sixteenths leaves
    positions 12-15 zero, positions from 16 on are left out."""

    onsets: np.ndarray
    sounding: np.ndarray


def count_rhythm(grid: Grid) -> Rhythm:
    """The rhythm of all notes of a grid."""
    first_of_bar = np.concatenate([[0], np.cumsum(grid.bar_positions)])
    n_sixteenths = int(first_of_bar[-1])
    starts = first_of_bar[grid.bar] + grid.position
    ends = np.minimum(starts + grid.sixteenths, n_sixteenths)
    onsets = np.bincount(starts, minlength=n_sixteenths)
    ended = np.bincount(ends, minlength=n_sixteenths + 1)[:-1]
    # One step up where a note starts, one down where it has ended: the running sum is what
    # sounds.
    sounding = np.cumsum(onsets - ended)
    return Rhythm(
        _by_bar(onsets, grid.bar_positions), _by_bar(sounding, grid.bar_positions)
    )


def _by_bar(counts: np.ndarray, bar_positions: np.ndarray) -> np.ndarray:
    """The first 16 sixteenths of every bar, zero where a bar has fewer; (n_bars, 16)."""
    first_of_bar = np.cumsum(bar_positions) - bar_positions
    position = np.arange(POSITIONS)
    inside = position < bar_positions[:, None]
    at = np.where(inside, first_of_bar[:, None] + position, 0)
    return np.where(inside, counts[at], 0)
