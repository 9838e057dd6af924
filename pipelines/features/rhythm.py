"""Rhythm: how many notes start and sound in each sixteenth of each bar, over all tracks.

Notes stand where schemas.grid puts them: onsets and durations at the nearest sixteenth, halves up.
A triplet has no sixteenth of its own: of three eighth-note triplets on a beat (ticks 0, 8, 16) the
second is drawn a third of a sixteenth (2 ticks) early and the third as much late; swung eighths
(ticks 0, 16) land on the fourth sixteenth of the beat.

There is no variant without drums: the models that read rhythm count every track (drums set the
energy of a song), and a model of one track counts its own notes.
"""

from typing import Any

import numpy as np

from schemas.grid import Grid
from schemas.song import Song

POSITIONS = 16
COLUMNS = ("rhythm_onsets", "rhythm_sounding")


def compute(song: Song, grid: Grid, config: Any = None) -> dict[str, np.ndarray]:
    """The rhythm columns: uint8[16 * n_bars] each, clipped at 255.

    rhythm_onsets: notes whose onset falls in each sixteenth; rhythm_sounding: notes that sound in
    it, also those that came over the bar line. A bar of 12 sixteenths leaves positions 12-15 zero,
    positions from 16 on are left out.
    """
    bar_first = np.concatenate([[0], np.cumsum(grid.bar_positions)])
    n_sixteenths = int(bar_first[-1])
    starts = bar_first[grid.bar] + grid.position
    ends = np.minimum(starts + grid.sixteenths, n_sixteenths)
    onsets = np.bincount(starts, minlength=n_sixteenths)
    # One step up where a note starts, one down where it has ended: the running sum is what sounds.
    steps = np.bincount(starts, minlength=n_sixteenths + 1) - np.bincount(
        ends, minlength=n_sixteenths + 1
    )
    sounding = np.cumsum(steps[:-1])
    return {
        "rhythm_onsets": _by_bar(onsets, bar_first, grid.bar_positions),
        "rhythm_sounding": _by_bar(sounding, bar_first, grid.bar_positions),
    }


def _by_bar(counts: np.ndarray, bar_first: np.ndarray, bar_positions: np.ndarray) -> np.ndarray:
    """The first 16 sixteenths of every bar, zero where a bar has fewer; uint8[16 * n_bars]."""
    positions = np.arange(POSITIONS)
    inside = positions < bar_positions[:, None]
    at = np.where(inside, bar_first[:-1, None] + positions, 0)
    return np.where(inside, np.minimum(counts[at], 255), 0).astype(np.uint8).ravel()
