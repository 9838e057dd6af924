"""Statistics: the numbers of a whole song that filters, labels and reports read."""

from typing import Any

import numpy as np

from schemas.grid import Grid
from schemas.song import TICKS_PER_QUARTER, TRACKS, Song, seconds_at

COLUMNS = (
    "seconds",
    "mean_bpm",
    "n_notes",
    "n_bars",
    "bar_sixteenths_max",
    "track_notes",
    "track_velocities",
)


def compute(song: Song, grid: Grid, config: Any = None) -> dict[str, Any]:
    """The statistics columns; a song without notes lasts 0 seconds and has its first
    tempo."""
    notes = song.notes
    end = int((notes["start"] + notes["duration"]).max()) if len(notes) else 0
    seconds = float(seconds_at(song.tempi, np.array([end]))[0])
    per_track = np.bincount(notes["track"], minlength=len(TRACKS))
    velocity_sums = np.bincount(notes["track"], notes["velocity"], len(TRACKS))
    mean_bpm = float(song.tempi["bpm"][0])
    if seconds:
        mean_bpm = end / TICKS_PER_QUARTER * 60 / seconds
    return {
        "seconds": seconds,
        "mean_bpm": mean_bpm,
        "n_notes": len(notes),
        "n_bars": len(song.bars),
        "bar_sixteenths_max": int(grid.bar_positions.max()),
        "track_notes": per_track.astype(np.int32),
        "track_velocities": (velocity_sums / np.maximum(per_track, 1)).astype(np.float32),
    }
