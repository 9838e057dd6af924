"""LPD's npz: the bytes of one pianoroll archive to notes, tempo and downbeats, and back.

A step is 1/24 of a beat as pretty_midi counts beats: a dotted quarter in 6/8, a half in
2/2, an eighth in 3/8 (`beat_quarters`); where nothing says which, a quarter. The tempo of
beat b stands at steps b, b + n_beats, b + 2 n_beats, ...: LPD's converter tiled the beats'
tempi instead of repeating each.

An archive holds, per track, a compressed-column matrix of (steps, 128) velocities, a tempo
and a downbeat per step, and `info.json` as a raw member. The rolls are never made dense: a
note is a run of successive steps of one pitch with one velocity, so runs are read off the
sorted columns. Two touching notes of one pitch and one velocity are one run: the format
does not say that they were two.

"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from schemas.contracts import Limits
from schemas.reject import BadInput, Reason
from schemas.runs import run_starts
from schemas.song import (
    BAR,
    NOTE,
    TICKS_PER_QUARTER,
    TICKS_PER_SIXTEENTH,
    TRACKS,
    make_notes,
    make_tempi,
)

N_PITCHES = 128
PROGRAMS = (0, 0, 24, 32, 48)
LEAST_BPM, MOST_BPM = 1.0, 10_000.0
# Two tempi nearer than this share of one another are one: nobody hears half a per cent, and
# the times of beats that LPD's tempi are made of are rounded.
SAME_TEMPO = 0.005
QUARTER = Fraction(1)
SHORTEST_LONE_BAR = 2 * TICKS_PER_QUARTER


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


def foreign_tracks(blob: bytes) -> str:
    """What an archive holds instead of LPD-5's five tracks, in words; "" where it is
    LPD-5's, or does not say. Raises BadInput where it cannot be read."""
    with _opened(blob) as archive:
        return _foreign(_info(archive))


@contextmanager
def _opened(blob: bytes) -> Iterator[zipfile.ZipFile]:
    """An archive whose faults are told as BadInput."""
    try:
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            yield archive
    # zipfile says RuntimeError of a member under a password, NotImplementedError of a form
    # of zip that it does not know.
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise BadInput(Reason.TRUNCATED, f"not a whole zip archive: {error}") from error
    except KeyError as error:
        raise BadInput(Reason.MALFORMED, f"a member is missing: {error.args[0]}") from error


def beat_quarters(numerator: int, denominator: int) -> Fraction:
    """Quarters in a beat of a meter, as pretty_midi counts beats: three notes of the
    denominator where the numerator is a multiple of three over three, else one."""
    compound = numerator > 3 and numerator % 3 == 0
    return Fraction(4 * (3 if compound else 1), denominator)


def _read_archive(archive: zipfile.ZipFile, limits: Limits, beat: Fraction) -> Roll:
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
    info = _info(archive)
    foreign = _foreign(info)
    if foreign:
        raise BadInput(Reason.BAD_INFO, f"not LPD-5: it holds {foreign}")
    resolution = _resolution(info)
    max_steps = int(limits.max_ticks * resolution / (TICKS_PER_QUARTER * beat))
    runs = [_track_runs(archive, track, max_steps) for track in range(len(TRACKS))]
    if sum(len(run[0]) for run in runs) > limits.max_notes:
        raise BadInput(Reason.TOO_LARGE, f"more than max_notes {limits.max_notes} notes")
    start, stop, pitch, velocity, track = (
        np.concatenate(column) for column in zip(*runs, strict=True)
    )
    start = to_ticks(start, resolution, beat)
    stop = to_ticks(stop, resolution, beat)
    tempo, downbeat = _steps(archive, max_steps)
    return Roll(
        make_notes(start, np.maximum(stop - start, 1), pitch, velocity, track),
        _tempi(tempo, resolution, beat),
        np.unique(to_ticks(np.flatnonzero(downbeat), resolution, beat)),
        int(to_ticks(np.array([len(tempo)]), resolution, beat)[0]),
    )


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


def to_ticks(steps: np.ndarray, resolution: int, beat: Fraction = QUARTER) -> np.ndarray:
    """Steps of `resolution` to a beat as ticks, nearest, halves up."""
    ticks = 2 * TICKS_PER_QUARTER * beat.numerator
    per_tick = resolution * beat.denominator
    return (steps.astype(np.int64) * ticks + per_tick) // (2 * per_tick)


def _info(archive: zipfile.ZipFile) -> dict[str, Any]:
    try:
        info = json.loads(archive.read("info.json"))
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
    tracks = [info[key] for key in sorted(filter(str.isdecimal, info), key=int)]
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
    data = archive.read(f"{name}.npy")
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


def _tempi(tempo: np.ndarray, resolution: int, beat: Fraction) -> np.ndarray:
    """Change points of a tempo a step, in quarters a minute; an archive of no steps
    plays at MIDI's 120."""
    if not len(tempo):
        return make_tempi([0], [120.0])
    per_minute = tempo.astype(np.float64)
    if not ((per_minute >= LEAST_BPM) & (per_minute <= MOST_BPM)).all():
        raise BadInput(
            Reason.BAD_TEMPO, f"a tempo is not between {LEAST_BPM:g} and {MOST_BPM:g} bpm"
        )
    steps = np.arange(len(per_minute))
    if is_tiled(per_minute, resolution):
        per_minute = per_minute[: len(tempo) // resolution]
        steps = steps[::resolution]
    changes = tempo_changes(per_minute)
    ticks = to_ticks(steps[changes], resolution, beat)
    # Where two changes fall on one tick the later holds.
    last = np.append(ticks[1:] != ticks[:-1], True)
    return make_tempi(ticks[last], per_minute[changes[last]] * float(beat))


def is_tiled(tempo: np.ndarray, resolution: int) -> bool:
    """Whether a tempo a step is the tempi of the beats, laid end to end `resolution`
    times."""
    n_beats, rest = divmod(len(tempo), resolution)
    if rest or not n_beats:
        return False
    copies = tempo.reshape(resolution, n_beats)
    return bool((copies == copies[0]).all())


def tempo_changes(tempo: np.ndarray) -> np.ndarray:
    """Where a tempo differs by more than SAME_TEMPO from the one that holds, from 0; so
    a slow ritardando changes too, in steps that can just be told."""
    places = run_starts(tempo)
    kept = [0]
    for place, now in zip(places[1:].tolist(), tempo[places[1:]].tolist(), strict=True):
        held = tempo[kept[-1]]
        if abs(now - held) > SAME_TEMPO * held:
            kept.append(place)
    return np.array(kept, np.int64)


def downbeat_bars(downbeats: np.ndarray, end: int) -> np.ndarray:
    """BAR array from one downbeat (tick) to the next; from the last one on, bars of a
    guessed length (`usual_length`), again and again until `end`."""
    usual = usual_length(downbeats)
    more = np.arange(downbeats[-1] + usual, end, usual)
    starts = np.unique(np.concatenate([[0], downbeats, more]))
    lengths = np.diff(np.append(starts, max(starts[-1] + usual, end)))
    bars = np.empty(len(starts), BAR)
    bars["start"], bars["length"] = starts, lengths
    # Ticks tell how long a bar is, not how it is counted: quarters where it is whole in
    # them, else sixteenths.
    whole = lengths % TICKS_PER_QUARTER == 0
    sixteenths = -(-lengths // TICKS_PER_SIXTEENTH)
    counted = np.where(whole, lengths // TICKS_PER_QUARTER, sixteenths)
    bars["numerator"] = np.minimum(counted, 255)
    bars["denominator"] = np.where(whole, 4, 16)
    return bars


def usual_length(downbeats: np.ndarray) -> int:
    """The length of the last bar between two downbeats; of a lone short one, which is a
    pick-up and says nothing of the others, 4/4's."""
    lengths = np.diff(downbeats)
    if len(lengths) == 1 and lengths[0] < SHORTEST_LONE_BAR:
        return 4 * TICKS_PER_QUARTER
    return int(lengths[-1])


def marked_to_the_end(downbeats: np.ndarray, end: int) -> bool:
    """Whether the last downbeat's bar reaches the end of the music; LPD marks none after
    the last change of meter."""
    return bool(downbeats[-1] + usual_length(downbeats) >= end)


def write_npz(
    notes: np.ndarray,
    tempi: np.ndarray,
    n_ticks: int,
    name: str,
    downbeats: np.ndarray | None = None,
) -> bytes:
    """The LPD-5 archive of some notes, as the released files are: stored deterministically,
    downbeat at step 0 alone.

    downbeats: ticks of bar lines, for archives that know them; None marks step 0 only.
    """
    members: dict[str, np.ndarray] = {}
    for track in range(len(TRACKS)):
        members.update(_roll_members(notes[notes["track"] == track], track, n_ticks))
    members["tempo"] = np.repeat(
        tempi["bpm"], np.diff(np.append(tempi["start"], n_ticks))
    ).astype(np.float64)
    members["downbeat"] = np.zeros(n_ticks, bool)
    members["downbeat"][[0] if downbeats is None else downbeats] = True
    info: Mapping[str, Any] = {
        str(track): {
            "is_drum": track == 0,
            "program": PROGRAMS[track],
            "name": TRACKS[track],
        }
        for track in range(len(TRACKS))
    }
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w") as archive:
        for member, array in members.items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
            _store(archive, f"{member}.npy", stream.getvalue())
        _store(
            archive,
            "info.json",
            json.dumps(
                {**info, "name": name, "beat_resolution": TICKS_PER_QUARTER}
            ).encode(),
        )
    return blob.getvalue()


def _store(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # A ZipInfo of its own carries the fixed date 1980-01-01, so that the same notes give
    # the same bytes.
    archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def _roll_members(notes: np.ndarray, track: int, n_ticks: int) -> dict[str, np.ndarray]:
    assert notes.dtype == NOTE
    lengths = notes["duration"].astype(np.int64)
    offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    cell = np.repeat(notes["pitch"] * np.int64(n_ticks) + notes["start"], lengths) + offsets
    # Where notes of one pitch overlap, the later one sounds, as in a roll painted note by
    # note.
    cell, last = np.unique(cell[::-1], return_index=True)
    velocity = np.repeat(notes["velocity"], lengths)[::-1][last]
    pitch = cell // n_ticks if n_ticks else cell
    parts = {
        "data": velocity if len(cell) else np.zeros(0, bool),
        "indices": (cell - pitch * n_ticks).astype(np.int32),
        "indptr": np.searchsorted(pitch, np.arange(N_PITCHES + 1)).astype(np.int32),
        "shape": np.array([n_ticks if len(cell) else 0, N_PITCHES], np.int64),
    }
    return {f"pianoroll_{track}_csc_{part}": array for part, array in parts.items()}
