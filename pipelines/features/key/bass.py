"""The bass: the lowest notes at the places of a song that tell its key, and where its
phrases start."""

from dataclasses import dataclass

import numpy as np

from schemas.grid import Grid
from schemas.song import DRUMS, Song

NO_BASS = 12
PHRASE_BARS = 8
# Of the sixteenths that sound, the share with two notes at once up to which a song is one
# voice: legato notes overlap.
ONE_VOICE = 0.05


@dataclass(frozen=True, eq=False)
class Bass:
    """Pitch classes of lowest notes, 12 where there is none: int64[n_bars] or, for the
    whole song, int.

    opening, first: under the first two notes that sound together in each bar, in the song;
    12 throughout where polyphonic is False, for a melody alone has no bass. closing, last:
    at the last sound of each bar, of the song. first_bar: index of the first bar after
    rests and a pick-up, from which phrases are counted.
    """

    opening: np.ndarray
    closing: np.ndarray
    first: int
    last: int
    polyphonic: bool
    first_bar: int


def bass_notes(song: Song, grid: Grid) -> Bass:
    """The bass of a song that has a pitched note, on the sixteenths of the grid; drums
    left out."""
    bar_first = np.concatenate([[0], np.cumsum(grid.bar_positions)])
    pitched = song.notes["track"] != DRUMS
    start = bar_first[grid.bar[pitched]] + grid.position[pitched]
    end = np.minimum(start + grid.sixteenths[pitched], bar_first[-1])
    size = int(bar_first[-1]) + 1
    sounding = np.cumsum(
        np.bincount(start, minlength=size) - np.bincount(end, minlength=size)
    )[:-1]
    heard, together = np.flatnonzero(sounding > 0), np.flatnonzero(sounding > 1)
    polyphonic = len(together) > ONE_VOICE * len(heard)
    opening = _first_in_bars(together if polyphonic else together[:0], bar_first)
    closing = _last_in_bars(heard, bar_first)
    lowest = _lowest_at(
        np.concatenate([opening, closing]), start, end, song.notes["pitch"][pitched]
    )
    opening_bass, closing_bass = np.split(lowest, 2)
    return Bass(
        opening_bass,
        closing_bass,
        int(opening_bass[np.argmax(opening >= 0)]),
        int(closing_bass[closing >= 0][-1]),
        polyphonic,
        _first_whole_bar(sounding[bar_first[:-1]] > 0, grid.bar_positions),
    )


def phrase_starts(bass: Bass) -> np.ndarray:
    """Whether each bar starts a phrase of eight bars: bool[n_bars]."""
    return (np.arange(len(bass.opening)) - bass.first_bar) % PHRASE_BARS == 0


def _first_in_bars(moments: np.ndarray, bar_first: np.ndarray) -> np.ndarray:
    """The first of the rising moments in each bar, -1 where a bar has none."""
    found = np.append(moments, bar_first[-1])[np.searchsorted(moments, bar_first[:-1])]
    return np.where(found < bar_first[1:], found, -1)


def _last_in_bars(moments: np.ndarray, bar_first: np.ndarray) -> np.ndarray:
    """The last of the rising moments in each bar, -1 where a bar has none."""
    found = np.append(moments, -1)[np.searchsorted(moments, bar_first[1:]) - 1]
    return np.where(found >= bar_first[:-1], found, -1)


def _lowest_at(
    moments: np.ndarray, start: np.ndarray, end: np.ndarray, pitch: np.ndarray
) -> np.ndarray:
    """Pitch class of the lowest note that sounds at each moment (some note does), 12 for
    moment -1."""
    asked = np.unique(moments[moments >= 0])
    # A roll of the asked moments alone: each note covers those from its start to before its
    # end.
    cells = [np.searchsorted(asked, edge) * 128 + pitch for edge in (start, end)]
    steps = np.bincount(cells[0], minlength=(len(asked) + 1) * 128) - np.bincount(
        cells[1], minlength=(len(asked) + 1) * 128
    )
    roll = np.cumsum(steps.reshape(-1, 128), axis=0)
    lowest = np.append((roll[:-1] > 0).argmax(axis=1) % 12, NO_BASS)
    return lowest[np.where(moments >= 0, np.searchsorted(asked, moments), -1)]


def _first_whole_bar(sounds_on_line: np.ndarray, bar_positions: np.ndarray) -> int:
    """The first bar that sounds from its start, not counting a first bar shorter than the
    second; else 0."""
    pick_up = len(bar_positions) > 1 and bar_positions[0] < bar_positions[1]
    found = np.flatnonzero(sounds_on_line[int(pick_up) :])
    return int(pick_up) + int(found[0]) if len(found) else 0
