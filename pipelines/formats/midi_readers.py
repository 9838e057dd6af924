"""Two readers of the events of a Standard MIDI File, which give the same: symusic (C++) and
miditoolkit (Python, on mido).

Over Lakh, EMOPIA, VGMIDI and Beatles files both give the same onsets, ends, pitches and
velocities (tests/bench/midi_readers.py). They differ in one thing: a note that sounds while
its channel changes program has for symusic the program it was struck with, for miditoolkit
(and pretty_midi) the one at its end. Lyrics, markers, controllers and pitch bends are left
aside.
"""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import miditoolkit
import numpy as np
from symusic import Score

from schemas.reject import BadInput, Reason

# Twelve major keys by their sharps (flats below nought), as tonic pitch classes: C is 0.
_FIFTH = 7
_MINOR = 12
_TONICS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SHORT_HEADER = struct.pack(">4sI", b"MThd", 6)


@dataclass(frozen=True, eq=False)
class RawTrack:
    """Notes of one track, channel and program in ticks of the file, int64 columns."""

    name: str
    program: int
    is_drum: bool
    start: np.ndarray
    end: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray


@dataclass(frozen=True, eq=False)
class RawMidi:
    """What a file says, in its own ticks and in any order.

    time_signatures: (tick, numerator, denominator); tempi: (tick, quarters a minute); keys:
    (tick, key: 0-11 C to B major, 12-23 C to B minor).
    """

    tracks: list[RawTrack]
    time_signatures: list[tuple[int, int, int]]
    tempi: list[tuple[int, float]]
    keys: list[tuple[int, int]]


def by_symusic(blob: bytes) -> RawMidi:
    """Read with symusic; raises BadInput where it does not read the file."""
    try:
        score: Any = Score.from_midi(_with_short_header(blob))
    # Symusic reports a bad file by several exceptions of the C++ library
    except Exception as error:
        raise BadInput(Reason.MALFORMED, f"symusic: {error}"[:200]) from error
    meters = score.time_signatures.numpy()
    tempi = score.tempos.numpy()
    beats_long = tempi["mspq"] > 0
    keys = score.key_signatures.numpy()
    return RawMidi(
        tracks=[_symusic_track(track) for track in score.tracks if len(track.notes)],
        time_signatures=_rows(meters["time"], meters["numerator"], meters["denominator"]),
        tempi=_rows(tempi["time"][beats_long], 60e6 / tempi["mspq"][beats_long]),
        keys=[
            (time, _key(sharps * _FIFTH, minor))
            for time, sharps, minor in _rows(keys["time"], keys["key"], keys["tonality"])
        ],
    )


def _with_short_header(blob: bytes) -> bytes:
    """The file with a header of 6 bytes: the standard lets later versions write longer
    ones, which a reader passes over; symusic refuses them."""
    length = struct.unpack_from(">I", blob, 4)[0]
    if length <= 6:
        return blob
    return _SHORT_HEADER + blob[8:14] + blob[8 + length :]


def _rows(*columns: np.ndarray) -> list[Any]:
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _symusic_track(track: Any) -> RawTrack:
    notes = track.notes.numpy()
    start = notes["time"].astype(np.int64)
    return RawTrack(
        name=track.name,
        program=track.program,
        is_drum=track.is_drum,
        start=start,
        end=start + notes["duration"],
        pitch=notes["pitch"].astype(np.int64),
        velocity=notes["velocity"].astype(np.int64),
    )


def _key(major_tonic: int, is_minor: int) -> int:
    """Key of a signature, from the tonic that its sharps have in major."""
    return (major_tonic + 9) % 12 + _MINOR if is_minor else major_tonic % 12


def by_miditoolkit(blob: bytes) -> RawMidi:
    """Read with miditoolkit; raises BadInput where it does not read the file."""
    try:
        midi: Any = miditoolkit.MidiFile(file=io.BytesIO(blob))
    # Mido reports a bad file by whatever its reading of bytes runs into
    except Exception as error:
        says = f"miditoolkit: {type(error).__name__}: {error}"
        raise BadInput(Reason.MALFORMED, says[:200]) from error
    return RawMidi(
        tracks=[_miditoolkit_track(one) for one in midi.instruments if one.notes],
        time_signatures=[
            (change.time, change.numerator, change.denominator)
            for change in midi.time_signature_changes
        ],
        # Its own first tempo, where the file has none, is what the standard says
        tempi=[(change.time, change.tempo) for change in midi.tempo_changes],
        keys=[(change.time, _key_number(change)) for change in midi.key_signature_changes],
    )


def _miditoolkit_track(one: Any) -> RawTrack:
    rows = [(note.start, note.end, note.pitch, note.velocity) for note in one.notes]
    start, end, pitch, velocity = np.array(rows, np.int64).T
    return RawTrack(
        name=one.name,
        program=int(one.program),
        is_drum=one.is_drum,
        start=start,
        end=end,
        pitch=pitch,
        velocity=velocity,
    )


def _key_number(change: Any) -> int:
    """Key of `Bb`, `F#m` and the like."""
    name = change.key_name
    tonic = _TONICS[name[0]] + name.count("#") - name[1:].count("b")
    return tonic % 12 + _MINOR * name.endswith("m")


READERS: dict[str, Callable[[bytes], RawMidi]] = {
    "symusic": by_symusic,
    "miditoolkit": by_miditoolkit,
}
