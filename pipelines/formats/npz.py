"""LPD's npz: the bytes of one pianoroll archive to notes, tempo and downbeats.

An archive holds, per track, a compressed-column matrix of (steps, 128) velocities, a tempo
and a downbeat per step, and `info.json` as a raw member. The rolls are never made dense: a
note is a run of successive steps of one pitch with one velocity, so runs are read off the
sorted columns. Two touching notes of one pitch and one velocity are one run: the format
does not say that they were two.
"""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from pipelines.formats.npz_time import QUARTER, tempi_of, to_ticks
from schemas.contracts import Limits
from schemas.reject import BadInput, Reason
from schemas.song import (
    TICKS_PER_QUARTER,
    TRACKS,
    make_notes,
)

N_PITCHES = 128
# What zipfile says of damage: of a member under a password it says RuntimeError, of a form of
# zip that it does not know NotImplementedError, of an offset out of the file or a name that is
# no text ValueError, of an extra field that is cut struct.error.
DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError,
    ValueError, OverflowError, OSError,
)  # fmt: skip
# Digits of a track's number in info.json; more is no number of a track
MOST_DIGITS = 4


@dataclass(frozen=True, eq=False)
class Roll:
    """What one archive says, in ticks: notes (NOTE), tempi (TEMPO), downbeats (int64,
    rising), n_ticks of its length."""

    notes: np.ndarray
    tempi: np.ndarray
    downbeats: np.ndarray
    n_ticks: int


def read_npz(blob: bytes, limits: Limits, beat: Fraction = QUARTER) -> Roll:
    """Read one LPD-5 archive; raises BadInput where it is cut, hostile or not LPD-5.

    beat: quarters in one beat of it, see `beat_quarters`.
    """
    with _opened(blob) as archive:
        return _read_archive(archive, limits, beat)


def foreign_tracks(blob: bytes, limits: Limits) -> str:
    """What an archive holds instead of LPD-5's five tracks, in words; "" where it is
    LPD-5's, or does not say. Raises BadInput where it cannot be read."""
    with _opened(blob) as archive:
        _check_sizes(archive, limits)
        return _foreign(_info(archive))


@contextmanager
def _opened(blob: bytes) -> Iterator[zipfile.ZipFile]:
    """An archive; raises BadInput where it is none."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(blob))
    except DAMAGED as error:
        raise _broken(error) from error
    with archive:
        yield archive


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a member; raises BadInput. What is around it raises as it is: a mistake of
    ours is no damage of a file."""
    try:
        return archive.read(name)
    except KeyError as error:
        raise BadInput(Reason.MALFORMED, f"a member is missing: {error.args[0]}") from error
    except DAMAGED as error:
        raise _broken(error) from error


def _broken(error: Exception) -> BadInput:
    return BadInput(Reason.TRUNCATED, f"not a whole zip archive: {error}")


def _check_sizes(archive: zipfile.ZipFile, limits: Limits) -> None:
    """Raise BadInput, before any memory is taken, for what would take too much of it."""
    if any(
        member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        for member in archive.infolist()
    ):
        # Whatever size they say, zipfile unpacks a whole block of the others at once.
        raise BadInput(Reason.MALFORMED, "packed in a way that numpy does not write")
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > limits.max_unpacked_bytes:
        raise BadInput(
            Reason.TOO_LARGE,
            f"unpacks to {unpacked} bytes, max_unpacked_bytes {limits.max_unpacked_bytes}",
        )


def _read_archive(archive: zipfile.ZipFile, limits: Limits, beat: Fraction) -> Roll:
    _check_sizes(archive, limits)
    info = _info(archive)
    foreign = _foreign(info)
    if foreign:
        raise BadInput(Reason.BAD_INFO, f"not LPD-5: it holds {foreign}")
    resolution = _resolution(info)
    max_steps = int(limits.max_ticks * resolution / (TICKS_PER_QUARTER * beat))
    start, stop, pitch, velocity, track = _all_runs(archive, max_steps, limits)
    start = to_ticks(start, resolution, beat)
    stop = to_ticks(stop, resolution, beat)
    tempo, downbeat = _steps(archive, max_steps)
    if np.count_nonzero(downbeat) > limits.max_bars:
        raise BadInput(Reason.TOO_LARGE, f"more downbeats than max_bars {limits.max_bars}")
    return Roll(
        make_notes(start, np.maximum(stop - start, 1), pitch, velocity, track),
        tempi_of(tempo, resolution, beat),
        np.unique(to_ticks(np.flatnonzero(downbeat), resolution, beat)),
        int(to_ticks(np.array([len(tempo)]), resolution, beat)[0]),
    )


def _all_runs(
    archive: zipfile.ZipFile, max_steps: int, limits: Limits
) -> tuple[np.ndarray, ...]:
    """The runs of all tracks, see _track_runs; raises BadInput at the first track with which
    they are too many."""
    runs, n_runs = [], 0
    for track in range(len(TRACKS)):
        run = _track_runs(archive, track, max_steps)
        n_runs += len(run[0])
        if n_runs > limits.max_notes:
            raise BadInput(
                Reason.TOO_LARGE, f"more than max_notes {limits.max_notes} notes"
            )
        runs.append(run)
    return tuple(np.concatenate(column) for column in zip(*runs, strict=True))


def _steps(archive: zipfile.ZipFile, max_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Tempo and downbeat, a value a step; a MIDI file without a meter gave no downbeat."""
    tempo = _member(archive, "tempo")
    named = "downbeat.npy" in archive.namelist()
    downbeat = _member(archive, "downbeat") if named else np.zeros(0, bool)
    if tempo.dtype.kind not in "fiu" or downbeat.dtype.kind not in "biu":
        raise BadInput(
            Reason.MALFORMED, "tempo must be a number a step, downbeat a yes or no"
        )
    if max(len(tempo), len(downbeat)) > max_steps:
        raise BadInput(
            Reason.TOO_LARGE, f"tempo or downbeat of more than {max_steps} steps"
        )
    return tempo, downbeat


def _info(archive: zipfile.ZipFile) -> dict[str, Any]:
    try:
        info = json.loads(_read(archive, "info.json"))
    except (ValueError, RecursionError) as error:
        raise BadInput(
            Reason.BAD_INFO, f"info.json is not a JSON object: {error}"
        ) from error
    if not isinstance(info, dict):
        raise BadInput(
            Reason.BAD_INFO, f"info.json is not a JSON object: {type(info).__name__}"
        )
    return info


def _foreign(info: Mapping[str, Any]) -> str:
    """The tracks that info.json names where they are not LPD-5's; "" where they are, or
    where it names none."""
    numbers = [key for key in info if key.isdecimal() and len(key) <= MOST_DIGITS]
    tracks = [info[key] for key in sorted(numbers, key=int)]
    names = [str(track.get("name")) for track in tracks if isinstance(track, dict)]
    if not tracks or names == list(TRACKS):
        return ""
    shown = ", ".join(name[:20] for name in names[:6]) + (", ..." if len(names) > 6 else "")
    return f"{len(tracks)} tracks ({shown})"


def _resolution(info: Mapping[str, Any]) -> int:
    resolution = info.get("beat_resolution", info.get("resolution"))
    if type(resolution) is not int or not 1 <= resolution <= 960:
        raise BadInput(
            Reason.BAD_INFO,
            f"info.json gives no beat_resolution between 1 and 960 but {resolution!r}",
        )
    return resolution


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One column of numbers, its claimed size checked against the bytes that are there
    before any memory is taken for it."""
    data = _read(archive, f"{name}.npy")
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(stream)
    # Numpy reads the header as Python text, which fails in too many ways to list
    except Exception as error:
        raise BadInput(Reason.MALFORMED, f"{name}: {error}") from error
    if dtype.hasobject:
        raise BadInput(
            Reason.PICKLED, f"{name} holds pickled objects, which are never loaded"
        )
    if len(shape) != 1 or dtype.kind not in "biuf":
        raise BadInput(
            Reason.MALFORMED, f"{name} is not a column of numbers but {dtype} {shape}"[:200]
        )
    if shape[0] * dtype.itemsize != len(data) - stream.tell():
        raise BadInput(
            Reason.MALFORMED,
            f"{name} claims {shape[0]} values, {len(data) - stream.tell()} bytes follow",
        )
    return np.frombuffer(data, dtype, shape[0], stream.tell())


def _track_runs(
    archive: zipfile.ZipFile, track: int, max_steps: int
) -> tuple[np.ndarray, ...]:
    """Columns (start, stop, pitch, velocity, track) of one track's runs, steps; empty
    for an empty track."""
    data, steps, indptr, shape = (
        _member(archive, f"pianoroll_{track}_csc_{part}")
        for part in ("data", "indices", "indptr", "shape")
    )
    if len(shape) != 2 or shape[1] != N_PITCHES or not 0 <= shape[0] <= max_steps:
        raise BadInput(
            Reason.TOO_LARGE
            if len(shape) == 2 and shape[0] > max_steps
            else Reason.MALFORMED,
            f"track {track} claims shape {shape.tolist()[:4]}, at most {max_steps} steps of {N_PITCHES} pitches",
        )
    _check_columns(track, data, steps, indptr, int(shape[0]))
    pitch = np.repeat(np.arange(N_PITCHES, dtype=np.int64), np.diff(indptr))
    sounding = data != 0
    pitch, steps, velocity = (
        pitch[sounding],
        steps[sounding].astype(np.int64),
        data[sounding].astype(np.uint8),
    )
    cell = pitch * (max_steps + 1) + steps
    if (np.diff(cell) <= 0).any():
        order = np.argsort(cell, kind="stable")
        cell, pitch, steps, velocity = (
            cell[order],
            pitch[order],
            steps[order],
            velocity[order],
        )
    first = np.ones(len(cell), bool)
    first[1:] = (np.diff(cell) != 1) | (velocity[1:] != velocity[:-1])
    starts = np.flatnonzero(first)
    lengths = np.diff(np.append(starts, len(cell)))
    begin = steps[starts]
    return (
        begin,
        begin + lengths,
        pitch[starts],
        velocity[starts],
        np.full(len(starts), track),
    )


def _check_columns(
    track: int, data: np.ndarray, steps: np.ndarray, indptr: np.ndarray, n_steps: int
) -> None:
    sound = (
        data.dtype.kind in "bu"
        and steps.dtype.kind in "iu"
        and indptr.dtype.kind in "iu"
        and len(data) == len(steps)
        and len(indptr) == N_PITCHES + 1
        and indptr[0] == 0
        and indptr[-1] == len(steps)
        and (np.diff(indptr.astype(np.int64)) >= 0).all()
        and (
            not len(steps)
            or (steps.min() >= 0 and steps.max() < n_steps and data.max() <= 127)
        )
    )
    if not sound:
        raise BadInput(
            Reason.MALFORMED,
            f"track {track} is not a compressed-column matrix of velocities 0-127",
        )
