"""The bass: the lowest notes at the places of a song that tell its key, and where its
phrases start."""

from dataclasses import dataclass

import numpy as np

from schemas.grid import Grid
from schemas.song import DRUMS, Song

NO_BASS = 12
PHRASE_BARS = 8
N_PITCHES = 128
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
    bar_ends = np.cumsum(grid.bar_positions)
    bar_first = np.concatenate([[0], bar_ends])
    n_sixteenths = int(bar_first[-1])
    pitched = song.notes["track"] != DRUMS
    pitch = song.notes["pitch"][pitched]
    bar = grid.bar[pitched]
    start = bar_first[bar] + grid.position[pitched]
    end = start + grid.sixteenths[pitched]
    end = np.minimum(end, n_sixteenths)

    sounding = _sounding(start, end, n_sixteenths)
    heard = np.flatnonzero(sounding > 0)
    together = np.flatnonzero(sounding > 1)
    polyphonic = len(together) > ONE_VOICE * len(heard)
    if not polyphonic:
        together = together[:0]

    opening = _first_in_bars(together, bar_first)
    closing = _last_in_bars(heard, bar_first)
    moments = np.concatenate([opening, closing])
    opening_bass, closing_bass = np.split(_lowest_at(moments, start, end, pitch), 2)
    sounds_on_line = sounding[bar_first[:-1]] > 0
    return Bass(
        opening=opening_bass,
        closing=closing_bass,
        first=int(opening_bass[np.argmax(opening >= 0)]),
        last=int(closing_bass[closing >= 0][-1]),
        polyphonic=polyphonic,
        first_bar=_first_whole_bar(sounds_on_line, grid.bar_positions),
    )


def _sounding(start: np.ndarray, end: np.ndarray, n_sixteenths: int) -> np.ndarray:
    """How many notes sound at each sixteenth: int64[n_sixteenths]."""
    size = n_sixteenths + 1
    starting = np.bincount(start, minlength=size)
    ending = np.bincount(end, minlength=size)
    return np.cumsum(starting - ending)[:-1]


def phrase_starts(bass: Bass) -> np.ndarray:
    """Whether each bar starts a phrase of eight bars: bool[n_bars]."""
    bars = np.arange(len(bass.opening))
    return (bars - bass.first_bar) % PHRASE_BARS == 0


def _first_in_bars(moments: np.ndarray, bar_first: np.ndarray) -> np.ndarray:
    """The first of the rising moments in each bar, -1 where a bar has none."""
    at_or_after = np.searchsorted(moments, bar_first[:-1])
    found = np.append(moments, bar_first[-1])[at_or_after]
    return np.where(found < bar_first[1:], found, -1)


def _last_in_bars(moments: np.ndarray, bar_first: np.ndarray) -> np.ndarray:
    """The last of the rising moments in each bar, -1 where a bar has none."""
    before_end = np.searchsorted(moments, bar_first[1:]) - 1
    found = np.append(moments, -1)[before_end]
    return np.where(found >= bar_first[:-1], found, -1)


def _lowest_at(
    moments: np.ndarray, start: np.ndarray, end: np.ndarray, pitch: np.ndarray
) -> np.ndarray:
    """Pitch class of the lowest note that sounds at each moment (some note does), 12 for
    moment -1."""
    wanted = np.unique(moments[moments >= 0])
    # A roll of the wanted moments alone: each note covers those from its start to before
    # its end.
    size = (len(wanted) + 1) * N_PITCHES
    from_moment = np.searchsorted(wanted, start)
    to_moment = np.searchsorted(wanted, end)
    starting = np.bincount(from_moment * N_PITCHES + pitch, minlength=size)
    ending = np.bincount(to_moment * N_PITCHES + pitch, minlength=size)
    steps = (starting - ending).reshape(-1, N_PITCHES)
    roll = np.cumsum(steps, axis=0)[:-1]
    lowest = (roll > 0).argmax(axis=1)
    pitch_class = np.append(lowest % 12, NO_BASS)
    row = np.searchsorted(wanted, moments)
    row = np.where(moments >= 0, row, -1)
    return pitch_class[row]


def _first_whole_bar(sounds_on_line: np.ndarray, bar_positions: np.ndarray) -> int:
    """The first bar that sounds from its start, not counting a first bar shorter than the
    second; else 0."""
    has_pick_up = len(bar_positions) > 1 and bar_positions[0] < bar_positions[1]
    first = int(has_pick_up)
    found = np.flatnonzero(sounds_on_line[first:])
    return first + int(found[0]) if len(found) else 0
