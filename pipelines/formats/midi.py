"""Standard MIDI Files, read with symusic: notes by track, meter and tempo changes, in
ticks of 1/24 quarter."""

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from symusic import Score

from schemas.contracts import Limits
from schemas.reject import BadInput, Reason
from schemas.song import BAR, MAX_TICKS, TICKS_PER_QUARTER, make_tempi

DEFAULT_TEMPO_BPM = 120.0  # what the standard plays a file at until its first tempo event
_HEADER = struct.Struct(">4sIHHH")
_CHUNK = struct.Struct(">4sI")
_HEADER_BYTES = _HEADER.size - _CHUNK.size
_TIME_BITS = 40


@dataclass(frozen=True, eq=False)
class MidiTrack:
    """The notes of one track and channel, sorted by (start, pitch); int64 columns, start
    and duration in ticks."""

    name: str
    program: int
    is_drum: bool
    start: np.ndarray
    duration: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray


@dataclass(frozen=True)
class MidiFile:
    """One file; tracks without notes are left out.

    time_signatures: (tick, numerator, denominator), tempi: (tick, quarters a minute), each
    as the file has them: rising ticks, of several at one tick the last; empty for none.
    """

    tracks: tuple[MidiTrack, ...]
    time_signatures: tuple[tuple[int, int, int], ...]
    tempi: tuple[tuple[int, float], ...]

    @property
    def end(self) -> int:
        """Tick at which the last note ends."""
        return max(
            (int((track.start + track.duration).max()) for track in self.tracks), default=0
        )


def read_midi(blob: bytes, limits: Limits) -> MidiFile:
    """Notes and signatures of a Standard MIDI File, each time rounded to the nearest tick
    of 1/24 quarter, halves up.

    Notes shorter than a tick get one. Raises BadInput: EMPTY_FILE, TRUNCATED where the file
    ends before its chunks do, MALFORMED where it is not MIDI in quarters or has no notes,
    TOO_LARGE beyond limits.max_ticks or max_notes.
    """
    ticks_per_quarter = _check_chunks(blob, limits)
    try:
        score: Any = Score.from_midi(_with_short_header(blob))
    # Symusic reports a bad file by several exceptions of the C++ library
    except Exception as error:
        raise BadInput(Reason.MALFORMED, f"symusic: {error}"[:200]) from error
    n_notes = score.note_num()
    if n_notes > limits.max_notes:
        raise BadInput(
            Reason.TOO_LARGE, f"{n_notes} notes, the limit is {limits.max_notes}"
        )
    with_notes = [track for track in score.tracks if len(track.notes)]
    midi = MidiFile(
        tracks=tuple(_track(track, ticks_per_quarter) for track in with_notes),
        time_signatures=_time_signatures(score, ticks_per_quarter),
        tempi=_tempi(score, ticks_per_quarter),
    )
    _check_times(midi, limits)
    return midi


def _check_chunks(blob: bytes, limits: Limits) -> int:
    """Ticks a quarter of the file, after walking its chunks: those announced must be
    there, and whole."""
    if not blob:
        raise BadInput(Reason.EMPTY_FILE, "no bytes")
    if len(blob) > limits.max_file_bytes:
        raise BadInput(
            Reason.TOO_LARGE, f"{len(blob)} bytes, the limit is {limits.max_file_bytes}"
        )
    if not blob.startswith(b"MThd"):
        raise BadInput(Reason.MALFORMED, "not a MIDI file: no MThd at its start")
    if len(blob) < _HEADER.size:
        raise BadInput(Reason.TRUNCATED, "ends within its header")
    _, length, _, n_tracks, division = _HEADER.unpack_from(blob)
    if length < _HEADER_BYTES:
        raise BadInput(Reason.MALFORMED, f"a header of {length} bytes, not {_HEADER_BYTES}")
    if division >= 0x8000 or not division:
        raise BadInput(Reason.MALFORMED, "times are not in parts of a quarter note")
    at = _CHUNK.size + length
    n_found = 0
    while at + _CHUNK.size <= len(blob) and n_found < n_tracks:
        kind, length = _CHUNK.unpack_from(blob, at)
        at += _CHUNK.size + length
        n_found += kind == b"MTrk"
    if at > len(blob) or n_found < n_tracks:
        raise BadInput(
            Reason.TRUNCATED, f"{n_found} of {n_tracks} tracks in {len(blob)} bytes"
        )
    return division


def _with_short_header(blob: bytes) -> bytes:
    """The file with a header of 6 bytes: the standard lets later versions write longer ones, which
    a reader passes over; symusic refuses them."""
    length = _CHUNK.unpack_from(blob)[1]
    if length <= _HEADER_BYTES:
        return blob
    fields = blob[_CHUNK.size : _HEADER.size]
    return _CHUNK.pack(b"MThd", _HEADER_BYTES) + fields + blob[_CHUNK.size + length :]


def _ticks(times: np.ndarray, ticks_per_quarter: int) -> np.ndarray:
    doubled = 2 * TICKS_PER_QUARTER * times.astype(np.int64)
    return (doubled + ticks_per_quarter) // (2 * ticks_per_quarter)


def _track(track: Any, ticks_per_quarter: int) -> MidiTrack:
    columns = track.notes.numpy()
    times = columns["time"].astype(np.int64)
    pitch = columns["pitch"].astype(np.int64)
    velocity = columns["velocity"].astype(np.int64)
    ends = _first_ends(times, times + columns["duration"], pitch)
    start = _ticks(times, ticks_per_quarter)
    duration = np.maximum(_ticks(ends, ticks_per_quarter) - start, 1)
    order = np.lexsort((pitch, start))
    return MidiTrack(
        name=track.name,
        program=track.program,
        is_drum=track.is_drum,
        start=start[order],
        duration=duration[order],
        pitch=pitch[order],
        velocity=velocity[order],
    )


def _first_ends(start: np.ndarray, end: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """The end of each note where a note-off ends every sounding note of its pitch, as in
    pretty_midi and so in LPD.

    symusic gives each note-off to the longest sounding note alone, which draws overlapping
    notes out.
    """
    # Pitch and time in one number, so that one search finds the next note-off of a pitch.
    note_offs = np.sort((pitch << _TIME_BITS) + end)
    index = np.searchsorted(note_offs, (pitch << _TIME_BITS) + start, side="right")
    index = np.minimum(index, max(len(note_offs) - 1, 0))
    next_note_off = note_offs[index] & ((1 << _TIME_BITS) - 1)
    return np.where(end > start, np.minimum(next_note_off, end), end)


def _last_at_each_tick(events: list[Any]) -> tuple[Any, ...]:
    """Events in order of time, of several at one tick the last."""
    in_order = sorted(events, key=lambda event: event[0])
    return tuple({event[0]: event for event in in_order}.values())


def _time_signatures(
    score: Any, ticks_per_quarter: int
) -> tuple[tuple[int, int, int], ...]:
    columns = score.time_signatures.numpy()
    ticks = _ticks(columns["time"], ticks_per_quarter).tolist()
    numerators = columns["numerator"].tolist()
    denominators = columns["denominator"].tolist()
    events = []
    for tick, numerator, denominator in zip(ticks, numerators, denominators, strict=True):
        if numerator and denominator in (1, 2, 4, 8, 16, 32):
            events.append((tick, numerator, denominator))
    return _last_at_each_tick(events)


def _tempi(score: Any, ticks_per_quarter: int) -> tuple[tuple[int, float], ...]:
    columns = score.tempos.numpy()
    microseconds = columns["mspq"].astype(np.float64)
    valid = microseconds > 0
    ticks = _ticks(columns["time"][valid], ticks_per_quarter).tolist()
    bpm = (60e6 / microseconds[valid]).tolist()
    return _last_at_each_tick(list(zip(ticks, bpm, strict=True)))


def _check_times(midi: MidiFile, limits: Limits) -> None:
    if not midi.tracks:
        raise BadInput(Reason.MALFORMED, "no notes")
    first = min(int(track.start.min()) for track in midi.tracks)
    if first < 0 or midi.end > limits.max_ticks:
        raise BadInput(
            Reason.TOO_LARGE,
            f"notes from tick {first} to {midi.end}, the limit is {limits.max_ticks}",
        )


def midi_bars(midi: MidiFile, end: int) -> np.ndarray:
    """BAR array from tick 0 until `end` is covered, as the time signatures run; 4/4 until
    the first of them.

    A signature always starts a bar, so the bar before it may be short, as a pick-up bar
    with a signature of its own is.
    """
    changes = {0: (0, 4, 4)}
    for event in midi.time_signatures:
        if 0 <= event[0] < end:
            changes[event[0]] = event
    stops = [*list(changes)[1:], end]
    pieces = []
    for (start, numerator, denominator), stop in zip(changes.values(), stops, strict=True):
        length = TICKS_PER_QUARTER * 4 * numerator // denominator
        n_bars = math.ceil((stop - start) / length)
        bars = np.zeros(n_bars, BAR)
        bars["start"] = start + length * np.arange(n_bars)
        bars["length"] = length
        bars["numerator"] = numerator
        bars["denominator"] = denominator
        if stop != end:
            bars["length"][-1] = stop - bars["start"][-1]
        pieces.append(bars)
    return np.concatenate(pieces)


def midi_tempi(midi: MidiFile) -> np.ndarray:
    """TEMPO array from tick 0; what the standard assumes until the first tempo event."""
    # One long after the music may stand at a tick that is beyond any song's.
    within = {tick: bpm for tick, bpm in midi.tempi if 0 <= tick <= MAX_TICKS}
    tempi = {0: DEFAULT_TEMPO_BPM} | within
    return make_tempi(list(tempi), list(tempi.values()))
