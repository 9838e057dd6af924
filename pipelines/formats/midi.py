"""Standard MIDI Files: notes by track, meter, tempo and key changes, in ticks of 1/24
quarter."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.formats.midi_readers import READERS, RawMidi, RawTrack
from schemas.contracts import Limits
from schemas.keys import NO_KEY
from schemas.reject import BadInput, Reason
from schemas.song import BAR, MAX_TICKS, TICKS_PER_QUARTER, make_tempi

DEFAULT_TEMPO_BPM = 120.0  # what the standard plays a file at until its first tempo event
DENOMINATORS = (1, 2, 4, 8, 16, 32)
_HEADER = struct.Struct(">4sIHHH")
_CHUNK = struct.Struct(">4sI")
_HEADER_BYTES = _HEADER.size - _CHUNK.size
_TIME_BITS = 40
_RIFF = b"RIFF"


@dataclass(frozen=True, eq=False)
class MidiTrack:
    """The notes of one track and channel, sorted by (start, pitch); int64 columns, start
    and duration in ticks; seconds: float64, the onset as the file's tempi play it."""

    name: str
    program: int
    is_drum: bool
    start: np.ndarray
    duration: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    seconds: np.ndarray


@dataclass(frozen=True)
class MidiFile:
    """One file; tracks without notes are left out.

    time_signatures: (tick, numerator, denominator), tempi: (tick, quarters a minute), keys:
    (tick, key: 0-11 C to B major, 12-23 C to B minor), each as the file has them: rising
    ticks, of several at one tick the last; empty for none. rounded_onsets: notes whose onset
    is no whole tick.
    """

    tracks: tuple[MidiTrack, ...]
    time_signatures: tuple[tuple[int, int, int], ...]
    tempi: tuple[tuple[int, float], ...]
    keys: tuple[tuple[int, int], ...] = ()
    rounded_onsets: int = 0

    @property
    def end(self) -> int:
        """Tick at which the last note ends."""
        return max(
            (int((track.start + track.duration).max()) for track in self.tracks), default=0
        )


def read_midi(blob: bytes, limits: Limits, reader: str = "symusic") -> MidiFile:
    """What a Standard MIDI File says, bare or wrapped as .rmi, each time rounded to the
    nearest tick of 1/24 quarter, halves up.

    Notes shorter than a tick get one. reader: of midi_readers.READERS. Raises BadInput:
    EMPTY_FILE, TRUNCATED where the file ends before its chunks do, MALFORMED where it is not
    MIDI in quarters or has no notes, TOO_LARGE beyond limits.max_ticks or max_notes.
    """
    blob = _unwrapped(blob)
    ticks_per_quarter = _check_chunks(blob, limits)
    raw = READERS[reader](blob)
    n_notes = sum(len(track.start) for track in raw.tracks)
    if n_notes > limits.max_notes:
        raise BadInput(
            Reason.TOO_LARGE, f"{n_notes} notes, the limit is {limits.max_notes}"
        )
    midi = MidiFile(
        tracks=tuple(_track(track, raw, ticks_per_quarter) for track in raw.tracks),
        time_signatures=_time_signatures(raw, ticks_per_quarter),
        tempi=_last_at_each_tick(_in_ticks(raw.tempi, ticks_per_quarter)),
        keys=_last_at_each_tick(_in_ticks(raw.keys, ticks_per_quarter)),
        rounded_onsets=sum(_n_rounded(track, ticks_per_quarter) for track in raw.tracks),
    )
    _check_times(midi, limits)
    return midi


def _unwrapped(blob: bytes) -> bytes:
    """The MIDI file inside a RIFF file (.rmi), any other as it is."""
    if blob.startswith(_RIFF) and blob[8:16] == b"RMIDdata":
        return blob[20:]
    return blob


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


def _ticks(times: np.ndarray, ticks_per_quarter: int) -> np.ndarray:
    doubled = 2 * TICKS_PER_QUARTER * times.astype(np.int64)
    return (doubled + ticks_per_quarter) // (2 * ticks_per_quarter)


def _n_rounded(track: RawTrack, ticks_per_quarter: int) -> int:
    return int((track.start * TICKS_PER_QUARTER % ticks_per_quarter != 0).sum())


def _track(track: RawTrack, raw: RawMidi, ticks_per_quarter: int) -> MidiTrack:
    ends = _first_ends(track.start, track.end, track.pitch)
    start = _ticks(track.start, ticks_per_quarter)
    duration = np.maximum(_ticks(ends, ticks_per_quarter) - start, 1)
    order = np.lexsort((track.pitch, start))
    return MidiTrack(
        name=track.name,
        program=track.program,
        is_drum=track.is_drum,
        start=start[order],
        duration=duration[order],
        pitch=track.pitch[order],
        velocity=track.velocity[order],
        seconds=_seconds(raw.tempi, track.start[order], ticks_per_quarter),
    )


def _seconds(
    tempi: Sequence[tuple[int, float]], ticks: np.ndarray, ticks_per_quarter: int
) -> np.ndarray:
    """When the file's tempi play its own ticks, before any rounding: float64 seconds."""
    changes = {0: DEFAULT_TEMPO_BPM} | dict(sorted(tempi, key=lambda event: event[0]))
    starts = np.array(list(changes), np.int64)
    per_tick = 60.0 / (np.array(list(changes.values())) * ticks_per_quarter)
    elapsed = np.append(0.0, np.cumsum(np.diff(starts) * per_tick[:-1]))
    at = np.searchsorted(starts, ticks, side="right") - 1
    return elapsed[at] + (ticks - starts[at]) * per_tick[at]


def _first_ends(start: np.ndarray, end: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """The end of each note where a note-off ends every sounding note of its pitch, as in
    pretty_midi and so in LPD.

    symusic and miditoolkit give each note-off to the longest sounding note alone, which
    draws overlapping notes out. A note that is struck again and ended once has no note-off
    of its own for them and is left out; pretty_midi ends it with the other. Notes without
    length, as many drum machines write them, stay; pretty_midi leaves them out.
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


def _in_ticks(events: list[Any], ticks_per_quarter: int) -> list[Any]:
    """Events of (tick of the file, value) at the nearest ticks of ours."""
    times = _ticks(np.array([event[0] for event in events], np.int64), ticks_per_quarter)
    return [(at, *event[1:]) for at, event in zip(times.tolist(), events, strict=True)]


def _time_signatures(
    raw: RawMidi, ticks_per_quarter: int
) -> tuple[tuple[int, int, int], ...]:
    """Those of a kind that bars can be laid in."""
    valid = [
        event for event in raw.time_signatures if event[1] and event[2] in DENOMINATORS
    ]
    return _last_at_each_tick(_in_ticks(valid, ticks_per_quarter))


def _check_times(midi: MidiFile, limits: Limits) -> None:
    if not midi.tracks:
        raise BadInput(Reason.MALFORMED, "no notes")
    first = min(int(track.start.min()) for track in midi.tracks)
    if first < 0 or midi.end > limits.max_ticks:
        raise BadInput(
            Reason.TOO_LARGE,
            f"notes from tick {first} to {midi.end}, the limit is {limits.max_ticks}",
        )


def midi_keys(midi: MidiFile, bars: np.ndarray) -> np.ndarray:
    """The key that the file states for each bar, 24 where it states none yet: uint8, empty
    where it states none at all."""
    if not midi.keys:
        return np.empty(0, np.uint8)
    starts = np.array([tick for tick, _ in midi.keys])
    named = np.array([NO_KEY, *(key for _, key in midi.keys)], np.uint8)
    return named[np.searchsorted(starts, bars["start"], side="right")]


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
