"""MIDI: the door for any file that a user brings, into the five tracks of LPD-5."""

from typing import Any

import numpy as np

from schemas.song import (  # fmt: skip
    BAR,
    BASS,
    DRUMS,
    GUITAR,
    MAX_TICKS,
    PIANO,
    STRINGS,
    TICKS_PER_QUARTER,
    Song,
    covered_ticks,
    make_notes,
    make_tempi,
    regular_bars,
)
from training.errors import RunFailed

# General MIDI programs that LPD-5 gives to each track, every other being Strings.
PROGRAMS = {PIANO: range(8), GUITAR: range(24, 32), BASS: range(32, 40)}


def read_midi(path: str) -> Song:
    """Any MIDI file as a Song: instruments to five tracks by program, ticks to 1/24
    quarter; RunFailed where it cannot be."""
    import symusic

    try:
        score: Any = symusic.Score(path)
    except Exception as error:  # symusic raises what its parser meets
        says = str(error).partition("\n")[0] or type(error).__name__
        raise RunFailed(f"{path} cannot be read as MIDI: {says}") from error
    if score.ticks_per_quarter < 1:
        raise RunFailed(
            f"{path} cannot be read as MIDI: it has {score.ticks_per_quarter} ticks to the quarter"
        )
    scale = TICKS_PER_QUARTER / score.ticks_per_quarter
    columns = np.concatenate(
        [np.empty((5, 0), np.int64), *(_columns(part, scale) for part in score.tracks)],
        axis=1,
    )
    start, duration, pitch, velocity, track = columns[
        :, (columns[0] >= 0) & (columns[2] >= 0) & (columns[2] < 128)
    ]
    if not len(start):
        raise RunFailed(f"{path} has no notes: give a MIDI file with at least one note")
    try:
        if (start + duration).max() > MAX_TICKS:
            raise ValueError(f"it lasts over {MAX_TICKS // TICKS_PER_QUARTER} quarters")
        notes = make_notes(
            start, np.maximum(duration, 1), pitch, np.clip(velocity, 1, 127), track
        )
        return Song(
            "midi",
            "file",
            notes,
            _meter(score, scale, covered_ticks(notes)),
            _tempo(score, scale),
            "score",
        )
    except (ValueError, OverflowError) as error:
        raise RunFailed(f"{path} is not music this program can hold: {error}") from error


def _columns(part: Any, scale: float) -> np.ndarray:
    """Start, duration, pitch, velocity and track of one instrument's notes: int64 (5,
    n)."""
    by_program = (track for track, programs in PROGRAMS.items() if part.program in programs)
    track = DRUMS if part.is_drum else next(by_program, STRINGS)
    notes = part.notes.numpy()
    start, duration = (
        np.floor(notes[name] * scale + 0.5).astype(np.int64)
        for name in ("time", "duration")
    )
    return np.stack(
        [start, duration, notes["pitch"], notes["velocity"], np.full(len(start), track)]
    )


def _tempo(score: Any, scale: float) -> np.ndarray:
    changes = {0: 120.0} | {
        int(tempo.time * scale + 0.5): tempo.qpm
        for tempo in score.tempos
        if 1 <= tempo.qpm <= 2000
    }
    return make_tempi(sorted(changes), [changes[tick] for tick in sorted(changes)])


def _meter(score: Any, scale: float, end: int) -> np.ndarray:
    """Bars of the file's meters until tick `end`; a change inside a bar cuts it short."""
    changes = {0: (4, 4)} | {
        int(meter.time * scale + 0.5): (meter.numerator, meter.denominator)
        for meter in score.time_signatures
        if meter.numerator > 0 and meter.denominator in (1, 2, 4, 8, 16)
    }
    starts = [tick for tick in sorted(changes) if tick < end]
    parts = []
    for start, stop in zip(starts, [*starts[1:], end], strict=True):
        bars = regular_bars(stop - start, *changes[start])
        bars["start"] += start
        if stop != end:
            bars["length"][-1] = stop - bars["start"][-1]
        parts.append(bars)
    return np.concatenate(parts).astype(BAR)
