"""Structure of a piece: how much of a bar has been heard before in it, and whether bars that
follow one another share their rhythm. Small models write bars that do neither."""

from itertools import pairwise

import numpy as np

from schemas.grid import quantise
from schemas.song import Song
from training.evaluation.metrics import mean


def structure(song: Song) -> dict[str, float]:
    """Over the bars that have notes, 0-1 each, NaN of fewer than two such bars.

    repeated: mean over bars but the first of the largest overlap |A∩B| / |A∪B| of their
    notes (position, track, pitch) with an earlier bar's; figures: the same of where and on
    which track notes start; answered: overlap of those with the very bar before.
    """
    notes = [bar for bar in _bars(song) if bar]
    figures = [{code // 128 for code in bar} for bar in notes]
    return {
        "repeated": _nearest(notes),
        "figures": _nearest(figures),
        "answered": mean(np.array([_overlap(*pair) for pair in pairwise(figures)])),
    }


def _bars(song: Song) -> list[set[int]]:
    """Codes of the notes of each bar: (position · 8 + track) · 128 + pitch."""
    grid, notes = quantise(song), song.notes
    code = (grid.position.astype(np.int64) * 8 + notes["track"]) * 128 + notes["pitch"]
    return [set(code[grid.bar == bar].tolist()) for bar in range(len(song.bars))]


def _nearest(bars: list[set[int]]) -> float:
    return mean(
        np.array(
            [
                max(_overlap(bar, earlier) for earlier in bars[:at])
                for at, bar in enumerate(bars)
                if at
            ]
        )
    )


def _overlap(some: set[int], others: set[int]) -> float:
    return len(some & others) / len(some | others)
