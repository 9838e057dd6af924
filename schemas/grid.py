"""Grid: a song's notes on the sixteenths of its bars, the one rounding that tokens and
features share.

Onsets and durations go to the nearest sixteenth (halves up), never down: LPD's onsets are
often a tick early, and flooring would put 7 % of them in the wrong bar.
"""

from dataclasses import dataclass

import numpy as np

from schemas.song import TICKS_PER_SIXTEENTH, Song


@dataclass(frozen=True, eq=False)
class Grid:
    """Where each note of a song stands; one value a note, in the song's note order, but for
    `bar_positions`.

    bar: int64, index of the bar in which the rounded onset falls; position: int64,
    sixteenth within that bar; sixteenths: int64, rounded duration, at least 1, not clipped;
    moved: int64, ticks that rounding added to the onset; bar_positions: int64, one a bar,
    how many sixteenths it has.
    """

    bar: np.ndarray
    position: np.ndarray
    sixteenths: np.ndarray
    moved: np.ndarray
    bar_positions: np.ndarray


def nearest_sixteenth(ticks: np.ndarray) -> np.ndarray:
    """Sixteenths nearest to ticks, halves up."""
    return (ticks + TICKS_PER_SIXTEENTH // 2) // TICKS_PER_SIXTEENTH


def quantise(song: Song) -> Grid:
    """Put every note of a song on the sixteenths of its bars; an onset that rounds onto
    a bar line is the next bar's."""
    starts = song.notes["start"].astype(np.int64)
    bar_start, bar_length = (
        song.bars["start"].astype(np.int64),
        song.bars["length"].astype(np.int64),
    )
    bar_positions = np.maximum(nearest_sixteenth(bar_length), 1)
    bar = np.searchsorted(bar_start, starts, side="right") - 1
    position = nearest_sixteenth(starts - bar_start[bar])
    over = position >= bar_positions[bar]
    # The last bar has nowhere to hand a note on to; Song's covering rule leaves this to odd
    # bar lengths alone.
    last = bar == len(bar_start) - 1
    position[over & last] = bar_positions[-1] - 1
    onward = over & ~last
    bar[onward] += 1
    position[onward] = 0
    moved = bar_start[bar] + position * TICKS_PER_SIXTEENTH - starts
    sixteenths = np.maximum(nearest_sixteenth(song.notes["duration"].astype(np.int64)), 1)
    return Grid(bar, position, sixteenths, moved, bar_positions)
