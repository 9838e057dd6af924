"""Content hash: equal for two songs that have the same notes in any key, at any
loudness, on any instruments."""

import hashlib
from typing import Any

import numpy as np

from schemas.grid import Grid
from schemas.runs import run_begins
from schemas.song import DRUMS, Song

COLUMNS = ("content_hash",)


def compute(song: Song, grid: Grid, config: Any = None) -> dict[str, str]:
    """The content hash as a feature."""
    return {"content_hash": content_hash(song, grid)}


def content_hash(song: Song, grid: Grid) -> str:
    """Name a song by its notes on the sixteenths: 32 hex digits, or "" for a song without
    notes, which matches nothing.

    Counted are the onsets (sixteenths after the first note) and pitches (semitones above
    the lowest; of drums the number itself, since drums are not transposed). Not counted are
    velocity, duration, tempo, leading silence, the track a pitched note stands in and a
    doubling of it in another.
    """
    if not len(song.notes):
        return ""
    pitch = song.notes["pitch"].astype(np.int64)
    is_drum = song.notes["track"] == DRUMS
    if not is_drum.all():
        pitch[~is_drum] -= pitch[~is_drum].min()
    # Song covers every rounded onset with bars, so these differ from ticks // 6 only where
    # a bar line is off the grid.
    bar_onset = np.concatenate([[0], np.cumsum(grid.bar_positions[:-1])])
    onset = bar_onset[grid.bar] + grid.position
    onset -= onset.min()
    codes = (onset << 8) | (is_drum.astype(np.int64) << 7) | pitch
    codes.sort(kind="stable")  # quick on what is nearly sorted already
    return hashlib.sha256(codes[run_begins(codes)].astype("<i8").tobytes()).hexdigest()[:32]
