"""Mock: small made-up songs for every test, kept beside the schema so that they change
together."""

from typing import Any

import numpy as np

from schemas.song import (
    TICKS_PER_QUARTER,
    TRACKS,
    Song,
    covered_ticks,
    make_notes,
    make_tempi,
    regular_bars,
)

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SIGNS = {"#": 1, "b": -1}


def song(
    text: str,
    key: str = "mock",
    source: str = "mock",
    bpm: float = 120.0,
    meter: tuple[int, int] = (4, 4),
    **more: Any,
) -> Song:
    """A Song from lines of `Track: bar | bar`, a bar's words dividing it evenly.

    A word is notes joined by `+` (`C4+E4+G4`), `-` for a rest, or `_` to hold what sounds.
    Velocity is 80. Example: song("Piano: C4 D4 E4 F4 | G4 _ _ -")
    """
    bar_ticks = TICKS_PER_QUARTER * 4 * meter[0] // meter[1]
    rows: list[list[int]] = []
    for line in text.strip().splitlines():
        name, _, bars = line.strip().partition(":")
        for bar, words in enumerate(bars.split("|")):
            rows += _bar_notes(
                words.split(), bar * bar_ticks, bar_ticks, TRACKS.index(name)
            )
    notes = make_notes(*np.array(rows, np.int64).reshape(-1, 5).T)
    written = max(len(line.split("|")) for line in text.strip().splitlines()) * bar_ticks
    measures = regular_bars(max(written, covered_ticks(notes)), *meter)
    return Song(source, key, notes, measures, make_tempi([0], [bpm]), "score", **more)


def _bar_notes(words: list[str], start: int, length: int, track: int) -> list[list[int]]:
    rows: list[list[int]] = []
    step = length // max(len(words), 1)
    sounding = 0
    for place, word in enumerate(words):
        if word == "_":
            for row in rows[len(rows) - sounding :]:
                row[1] += step
        else:
            pitches = [] if word == "-" else [pitch(name) for name in word.split("+")]
            rows += [[start + place * step, step, one, 80, track] for one in pitches]
            sounding = len(pitches)
    return rows


def pitch(name: str) -> int:
    """MIDI pitch of a name such as C4 (60), F#3 or Bb2."""
    octave = name.lstrip("ABCDEFG#b")
    return (
        12 * (int(octave) + 1)
        + _STEPS[name[0]]
        + sum(_SIGNS[sign] for sign in name[1 : len(name) - len(octave)])
    )


def songs(n: int, seed: int = 0, n_bars: int = 12, source: str = "mock") -> list[Song]:
    """n different songs of five tracks with tempo changes, off-grid onsets and every
    velocity, the same for a seed."""
    return [
        random_song(np.random.default_rng([seed, index]), f"{index:032x}", n_bars, source)
        for index in range(n)
    ]


def random_song(
    random: np.random.Generator, key: str, n_bars: int = 12, source: str = "mock"
) -> Song:
    """One song of random notes: nothing that a reader of real files could give is left
    out."""
    n_notes = int(random.integers(8 * n_bars, 40 * n_bars))
    end = 96 * n_bars
    notes = make_notes(
        random.integers(0, end - 6, n_notes),
        np.minimum(random.geometric(0.05, n_notes), 150),
        random.integers(15, 115, n_notes),
        random.integers(1, 128, n_notes),
        random.integers(0, len(TRACKS), n_notes),
    )
    starts = np.unique(np.append(0, random.integers(1, end, 3)))
    tempi = make_tempi(starts, random.uniform(25, 240, len(starts)).astype(np.float32))
    return Song(
        source,
        key,
        notes,
        regular_bars(covered_ticks(notes)),
        tempi,
        "assumed_4_4",
        title=f"Mock {key[-4:]}",
    )
