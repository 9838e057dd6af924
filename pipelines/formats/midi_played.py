"""The notes of a MIDI file on five tracks, on the file's own beats or on tracked ones."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pipelines.formats.midi import MidiFile, midi_bars, midi_keys, midi_tempi
from pipelines.formats.midi_beats import beats_at, grid_fit, track_beats
from schemas.keys import NO_KEY
from schemas.song import (
    DRUMS,
    NOTE,
    TICKS_PER_QUARTER,
    TICKS_PER_SIXTEENTH,
    covered_ticks,
    make_tempi,
    regular_bars,
    seconds_at,
    sort_keys,
)

# Below this a file's beats say nothing of its notes (midi_beats.grid_fit): 2.5 % of
# Beatles files lie below it, 97 % of EMOPIA's. Tracked beats must fit better by MUCH_BETTER.
FIT_OF_A_GRID, MUCH_BETTER = 0.3, 0.2
# Longer than any piece: what tracking takes in time and memory grows with it.
MAX_TRACKED_SECONDS = 3600.0


@dataclass(frozen=True, eq=False)
class Placed:
    """Notes on the five tracks, one value a note: start and duration in ticks of the
    file's beats, seconds and end_seconds as played, pitch, velocity and track."""

    start: np.ndarray
    duration: np.ndarray
    seconds: np.ndarray
    end_seconds: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    track: np.ndarray


@dataclass(frozen=True, eq=False)
class Music:
    """notes: NOTE, sorted, none twice; seconds: float32, the onset of each as played; bars:
    BAR; tempi: TEMPO; key_meta: of midi_keys; confidence: of tracked beats, else None;
    doubled: notes that another hides."""

    notes: np.ndarray
    seconds: np.ndarray
    bars: np.ndarray
    tempi: np.ndarray
    key_meta: np.ndarray
    confidence: float | None
    doubled: int


def placed(midi: MidiFile, track_of: Mapping[int, int | None]) -> tuple[Placed, int]:
    """The notes of the programs that a track takes, and how many others there are.

    track_of: the track of each program 0-127, None for none; drums are channel 10's,
    whatever their program.
    """
    tempi = midi_tempi(midi)
    parts, unplaced = [], 0
    for part in midi.tracks:
        track = DRUMS if part.is_drum else track_of[part.program]
        if track is None:
            unplaced += len(part.start)
            continue
        lasts = seconds_at(tempi, part.start + part.duration)
        lasts -= seconds_at(tempi, part.start)
        numbers = np.full(len(part.start), track)
        parts.append(
            (part.start, part.duration, part.seconds, part.seconds + lasts, part.pitch, part.velocity, numbers)
        )  # fmt: skip
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Placed(*(columns or [np.empty(0)] * 7)), unplaced


def on_file_beats(midi: MidiFile, found: Placed) -> Music:
    """Notes, bars, tempi and keys exactly as the file has them."""
    notes, seconds, doubled = _united(found, found.start, found.duration)
    bars = midi_bars(midi, covered_ticks(notes))
    return Music(
        notes=notes,
        seconds=seconds,
        bars=bars,
        tempi=midi_tempi(midi),
        key_meta=midi_keys(midi, bars),
        confidence=None,
        doubled=doubled,
    )


def keeps_its_beats(found: Placed) -> bool:
    """Whether the onsets are nearer to the sixteenths and triplets of the file's beats than
    chance would have them."""
    return grid_fit(found.start / TICKS_PER_QUARTER) >= FIT_OF_A_GRID


def can_be_tracked(found: Placed) -> bool:
    """Whether the music is short enough for the tracker."""
    return float(np.ptp(found.seconds)) <= MAX_TRACKED_SECONDS


def on_tracked_beats(midi: MidiFile, found: Placed) -> Music:
    """Notes on beats that are tracked from them, a tempo for each beat, bars of three or
    four quarters; a first bar may be a pick-up."""
    beats = track_beats(
        found.seconds, found.end_seconds - found.seconds, found.pitch, found.velocity
    )
    start = _ticks(beats_at(beats.seconds, found.seconds))
    end = _ticks(beats_at(beats.seconds, found.end_seconds))
    notes, seconds, doubled = _united(found, start, np.maximum(end - start, 1))
    bars = regular_bars(
        covered_ticks(notes), beats.per_bar, 4, beats.first_downbeat * TICKS_PER_QUARTER
    )
    bpm = 60 / np.diff(beats.seconds)
    return Music(
        notes=notes,
        seconds=seconds,
        bars=bars,
        tempi=make_tempi(np.arange(len(bpm)) * TICKS_PER_QUARTER, bpm),
        key_meta=_keys_at(midi, beats.seconds, bars["start"]),
        confidence=beats.confidence,
        doubled=doubled,
    )


def is_better(tracked: Music, found: Placed) -> bool:
    """Whether tracked beats fit the notes much better than the file's own."""
    own = grid_fit(found.start / TICKS_PER_QUARTER)
    return (tracked.confidence or 0.0) >= own + MUCH_BETTER


def _ticks(beats: np.ndarray) -> np.ndarray:
    # The first notes of a chord may stand a little before the first beat, its middle
    ticks = np.floor(beats * TICKS_PER_QUARTER + 0.5).astype(np.int64)
    return np.maximum(ticks, 0)


def _united(
    found: Placed, start: np.ndarray, duration: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """NOTE array, sorted, the seconds of each, and how many notes of one onset, pitch and
    track were made one: as long and as loud as the longest and the loudest of them."""
    notes = np.empty(len(start), NOTE)
    notes["start"], notes["duration"] = start, duration
    for name in ("pitch", "velocity", "track"):
        notes[name] = getattr(found, name)
    keys = sort_keys(notes)
    order = np.lexsort((found.seconds, keys))
    notes, keys = notes[order], keys[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    longest = np.maximum.reduceat(notes["duration"], first)
    loudest = np.maximum.reduceat(notes["velocity"], first)
    one = notes[first]
    one["duration"], one["velocity"] = longest, loudest
    return one, found.seconds[order][first].astype(np.float32), len(notes) - len(one)


def _keys_at(midi: MidiFile, beats: np.ndarray, ticks: np.ndarray) -> np.ndarray:
    """midi_keys of bars that start at ticks of tracked beats."""
    if not midi.keys:
        return np.empty(0, np.uint8)
    changes = seconds_at(midi_tempi(midi), np.array([tick for tick, _ in midi.keys]))
    seconds = np.interp(
        ticks / TICKS_PER_QUARTER, np.arange(len(beats)), beats, right=np.inf
    )
    named = np.array([NO_KEY, *(key for _, key in midi.keys)], np.uint8)
    return named[np.searchsorted(changes, seconds, side="right")]


def trimmed(music: Music) -> Music:
    """Without the bars at the end in which notes only ring on; those notes end with the
    last bar that stays."""
    onset = int(music.notes["start"].max()) + TICKS_PER_SIXTEENTH // 2
    # An onset within half a sixteenth of a bar line belongs to the next bar.
    last = int(np.searchsorted(music.bars["start"], onset, side="right")) - 1
    bars = music.bars[: last + 1].copy()
    end = int(bars["start"][-1] + bars["length"][-1])
    notes = music.notes.copy()
    notes["duration"] = np.minimum(notes["duration"], end - notes["start"])
    tempi = music.tempi[music.tempi["start"] < end]
    key_meta = music.key_meta[: len(bars)]
    return replace(music, notes=notes, bars=bars, tempi=tempi, key_meta=key_meta)
