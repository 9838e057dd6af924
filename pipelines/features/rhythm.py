"""Rhythm: how many notes start and sound in each sixteenth of each bar, over all tracks.

There is no variant without drums: the models that read rhythm count every track (drums set
the energy of a song), and a model of one track counts its own notes.
"""

from typing import Any

import numpy as np

from schemas.grid import Grid
from schemas.rhythm import count_rhythm
from schemas.song import Song

COLUMNS = ("rhythm_onsets", "rhythm_sounding")
MOST = 255


def compute(song: Song, grid: Grid, config: Any = None) -> dict[str, np.ndarray]:
    """The rhythm columns, as schemas.rhythm counts them: uint8[16 * n_bars] each,
    clipped at 255."""
    rhythm = count_rhythm(grid)
    return {
        "rhythm_onsets": _column(rhythm.onsets),
        "rhythm_sounding": _column(rhythm.sounding),
    }


def _column(counts: np.ndarray) -> np.ndarray:
    return np.minimum(counts, MOST).astype(np.uint8).ravel()
