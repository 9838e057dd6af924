"""Near-duplicate signature: the set of hashed n-grams of a song's lines and chords, without
bar lines, tempo or key.

An n-gram is of successive events, not of time, so a file that is stretched, shifted or cut
keeps most of its n-grams; it holds intervals, so a transposed one keeps all.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from schemas.grid import Grid
from schemas.runs import run_begins
from schemas.song import BASS, DRUMS, Song

# Mixed into every symbol, so that n-grams of two kinds never hash alike.
_LINE, _CHORD, _TEXTURE = (np.uint64(kind << 60) for kind in (1, 2, 3))
_FAR = np.iinfo(np.int32).max


@dataclass(frozen=True)
class ShingleConfig:
    """What an n-gram is.

    group_gap_ticks: an onset this long after the one before opens a new event;
    split_gap_ticks: unless the gap is no longer than this and under half of both gaps
    around it, as in a chord played unevenly; line_intervals: successive intervals of a
    track's line in one n-gram; chord_events: successive chords in one; min_symbols: an
    n-gram with fewer different symbols (a repeated note, a trill) is left out, being in
    every other song. A song left without any (drums alone) is given n-grams of
    texture_events events of all it has, drums included, with texture_min_symbols. One with
    fewer than whole_below of any (one note over and over) is given that many hashes of its
    whole sequence of events, if there are whole_below events, so that it is like those
    songs alone that play the same from end to end.
    """

    group_gap_ticks: int = 3
    split_gap_ticks: int = 4
    line_intervals: int = 7
    chord_events: int = 5
    min_symbols: int = 3
    texture_events: int = 16
    texture_min_symbols: int = 4
    whole_below: int = 16

    def __post_init__(self) -> None:
        for name in ("line_intervals", "chord_events", "texture_events"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")


COLUMNS = ("shingles",)


def compute(song: Song, grid: Grid, config: ShingleConfig) -> dict[str, np.ndarray]:
    """The signature as a feature."""
    return {"shingles": shingles(song.notes, config)}


def shingles(notes: np.ndarray, config: ShingleConfig) -> np.ndarray:
    """The signature of one song: uint64, sorted, distinct; empty for a song of a few notes.

    notes: NOTE, sorted by (start, track, pitch). Counted are n-grams of the intervals of
    the top line of each pitched track (of the bass, its bottom line) and of the pitch-class
    sets of all pitched tracks over their lowest note, each with that note's motion.
    Durations, velocities and which track a line stands in do not count.
    """
    pitched = notes[notes["track"] != DRUMS]
    lines = _line_hashes(pitched, config)
    symbols = _chord_symbols(pitched, config)
    chords, _ = _hash_windows(symbols, config.chord_events, config.min_symbols, _CHORD)
    found = _distinct(np.concatenate([lines, chords]))
    if len(found) >= config.whole_below:
        return found
    textures = _texture_symbols(notes, config)
    if not len(found):
        size = config.texture_events
        hashes, _ = _hash_windows(textures, size, config.texture_min_symbols, _TEXTURE)
        found = _distinct(hashes)
    if len(found) >= config.whole_below:
        return found
    return _whole_hashes(symbols, textures, config)


def _line_hashes(notes: np.ndarray, config: ShingleConfig) -> np.ndarray:
    """Hashes of the interval n-grams of every pitched track's line."""
    size = config.line_intervals
    notes = notes[np.argsort(notes["track"], kind="stable")]
    if len(notes) <= size:
        return np.zeros(0, np.uint64)
    first = _event_firsts(notes["start"], notes["track"], config)
    # The bass is turned upside down so that one maximum serves both lines.
    pitch = notes["pitch"].astype(np.int32)
    np.negative(pitch, out=pitch, where=notes["track"] == BASS)
    line = np.abs(np.maximum.reduceat(pitch, first))
    track = notes["track"][first]
    hashes, begins = _hash_windows(np.diff(line), size, config.min_symbols, _LINE)
    return hashes[track[begins] == track[begins + size]]


def _chord_symbols(notes: np.ndarray, config: ShingleConfig) -> np.ndarray:
    """A number for each event after the first: pitch classes of all tracks over the
    lowest note, and its motion."""
    if not len(notes):
        return np.zeros(0, np.int32)
    first = _event_firsts(notes["start"], None, config)
    pitch = notes["pitch"].astype(np.int32)
    lowest = np.minimum.reduceat(pitch, first)
    notes_of_event = np.diff(first, append=len(notes))
    above = (pitch - np.repeat(lowest, notes_of_event)) % 12
    chords = np.bitwise_or.reduceat(np.int32(1) << above, first)
    motion = np.diff(lowest) % 12
    return (chords[1:] << 4) | motion


def _texture_symbols(notes: np.ndarray, config: ShingleConfig) -> np.ndarray:
    """A number for each event: all that sounds together, drums by their number, pitch
    classes over the lowest note."""
    if not len(notes):
        return np.zeros(0, np.int64)
    first = _event_firsts(notes["start"], None, config)
    pitch = notes["pitch"].astype(np.int64)
    is_drum = notes["track"] == DRUMS
    lowest = np.minimum.reduceat(np.where(is_drum, 127, pitch), first)
    notes_of_event = np.diff(first, append=len(notes))
    above = (pitch - np.repeat(lowest, notes_of_event)) % 12
    # 12 bits of pitch classes and 48 of drums: General MIDI's 47 drum sounds stay apart.
    bit = np.where(is_drum, 12 + pitch % 48, above)
    return np.bitwise_or.reduceat(np.int64(1) << bit, first)


def _whole_hashes(
    chords: np.ndarray, textures: np.ndarray, config: ShingleConfig
) -> np.ndarray:
    """So many hashes as make two songs one piece, all of one thing: every event of the
    song, from the first on."""
    if len(textures) < config.whole_below:
        return np.zeros(0, np.uint64)
    events = np.concatenate([[len(chords)], chords, textures]).astype("<i8")
    digest = hashlib.shake_128(events.tobytes()).digest(8 * config.whole_below)
    return _distinct(np.frombuffer(digest, "<u8"))


def _event_firsts(
    start: np.ndarray, line: np.ndarray | None, config: ShingleConfig
) -> np.ndarray:
    """Index of the first note of each event: notes that begin together, give or take uneven
    playing.

    start: int32 onsets, rising within each line; line: which line a note is of, or None for
    one line.
    """
    gaps = np.diff(start)
    if line is not None:
        gaps = np.where(line[1:] != line[:-1], _FAR, gaps)
    first = np.append(0, np.flatnonzero(gaps >= config.group_gap_ticks) + 1)
    # Second look, at the gaps between events: a short one between two long ones is one
    # chord, not two.
    between = gaps[first[1:] - 1]
    before = np.append(_FAR, between[:-1])
    after = np.append(between[1:], _FAR)
    around = np.minimum(before, after)
    split = (between <= config.split_gap_ticks) & (between < around // 2)
    return first[np.append(True, ~split)]


def _hash_windows(
    symbols: np.ndarray, size: int, min_symbols: int, kind: np.uint64
) -> tuple[np.ndarray, np.ndarray]:
    """Hash each run of `size` symbols that has min_symbols different ones; also, as
    int64, where each run begins."""
    if len(symbols) < size:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(symbols, size)
    ordered = np.sort(windows, axis=1)
    n_symbols = 1 + np.count_nonzero(ordered[:, 1:] != ordered[:, :-1], axis=1)
    begins = np.flatnonzero(n_symbols >= min_symbols)
    codes = _splitmix(symbols.astype(np.int64).view(np.uint64) ^ kind)
    hashes = np.zeros(len(begins), np.uint64)
    for i in range(size):
        hashes = _splitmix(hashes + codes[begins + i])
    return hashes, begins


def _splitmix(values: np.ndarray) -> np.ndarray:
    """Mix 64 bits so that each depends on all (SplitMix64: Steele, Lea and Flood 2014,
    OOPSLA, figure 17)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _distinct(hashes: np.ndarray) -> np.ndarray:
    """Sorted, each value once."""
    hashes = np.sort(hashes)
    return hashes[run_begins(hashes)]
