"""Million Song Dataset HDF5: one file a track, the summary file of a million, and small
ones for samples.

All have the tables `metadata/songs`, `analysis/songs` and `musicbrainz/songs`, a row a
track; a track's own file also has its segments. The `energy` there is 0 in every file, so
nothing here reads it.
"""

import io
import math
from collections.abc import Mapping
from typing import Any, BinaryIO

import h5py
import numpy as np
import pyarrow as pa

from pipelines.labels.tracks import TRACKS
from schemas.reject import BadInput, Reason

# Table and field of each column; a field that an older file lacks is null.
FIELDS = {
    "track_id": ("analysis/songs", "track_id"),
    "song_id": ("metadata/songs", "song_id"),
    "artist": ("metadata/songs", "artist_name"),
    "title": ("metadata/songs", "title"),
    "release": ("metadata/songs", "release"),
    "year": ("musicbrainz/songs", "year"),
    "duration": ("analysis/songs", "duration"),
    "tempo": ("analysis/songs", "tempo"),
    "key": ("analysis/songs", "key"),
    "key_confidence": ("analysis/songs", "key_confidence"),
    "mode": ("analysis/songs", "mode"),
    "mode_confidence": ("analysis/songs", "mode_confidence"),
}
# Numbers outside are no measurements: MSD writes 0 for a year, a tempo or a duration it
# does not know.
RANGES = {
    "year": (1, 2100),
    "duration": (0.1, 86_400),
    "tempo": (1, 1000),
    "key": (0, 11),
    "mode": (0, 1),
}
MAX_TRACKS, MAX_SEGMENTS = 2_000_000, 200_000
# A row of metadata takes 5 kB on disk, so the summary is read in slices.
SLICE = 20_000
N_CLASSES = 12
# MSD's widest row has 5 kB; a table may claim rows or chunks of any size, which are read
# whole.
MAX_ROW_BYTES, MAX_CHUNK_BYTES = 1 << 16, 1 << 28
# What the library raises over damaged content, by the part that is damaged; a text that is
# a number has no `decode`.
BROKEN = (
    OSError,
    LookupError,
    ValueError,
    RuntimeError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


def track_path(track_id: str) -> str:
    """Where MSD files a track: `A/B/C/TRABC….h5` after the third to fifth letter."""
    return f"{track_id[2]}/{track_id[3]}/{track_id[4]}/{track_id}.h5"


def read_tracks(file: bytes | BinaryIO) -> pa.Table:
    """What a track's own file or the summary file says of its tracks: TRACKS, in the file's
    order.

    file: the bytes, or a binary file open for reading (the summary is too large for
    memory). Raises BadInput where it is no HDF5 or not MSD's.
    """
    with _Opened(file) as opened:
        tables = {
            name: _dataset(opened, name)
            for name in sorted({table for table, _ in FIELDS.values()})
        }
        lengths = {table.shape for table in tables.values()}
        if (
            len(lengths) != 1
            or len(min(lengths)) != 1
            or not 1 <= min(lengths)[0] <= MAX_TRACKS
        ):
            raise BadInput(
                Reason.MALFORMED, f"the tables of songs have shapes {sorted(lengths)}"
            )
        length = min(lengths)[0]
        slices = [
            _rows(tables, start, min(start + SLICE, length))
            for start in range(0, length, SLICE)
        ]
    return pa.concat_tables(slices)


def read_segments(file: bytes | BinaryIO) -> tuple[np.ndarray, np.ndarray, float]:
    """A track's own file: segments_start (n,) seconds, segments_pitches (n, 12) 0 to 1, and
    its duration in seconds.

    Raises BadInput where it has none, or they are no such numbers.
    """
    with _Opened(file) as opened:
        starts, pitches = (
            _dataset(opened, f"analysis/segments_{name}") for name in ("start", "pitches")
        )
        n = starts.shape[0] if starts.ndim == 1 else 0
        if not 1 <= n <= MAX_SEGMENTS or pitches.shape != (n, N_CLASSES):
            raise BadInput(
                Reason.MALFORMED,
                f"segments_start {starts.shape}, segments_pitches {pitches.shape}",
            )
        seconds, strength = starts[()].astype(np.float64), pitches[()].astype(np.float64)
        duration = float(_dataset(opened, "analysis/songs").fields("duration")[0])
    longest = RANGES["duration"][1]
    if not (
        np.isfinite(seconds).all()
        and np.isfinite(strength).all()
        and seconds[0] >= 0
        and 0 < duration <= longest
    ):
        raise BadInput(Reason.MALFORMED, "a segment or the duration is no number")
    if (np.diff(seconds) < 0).any() or strength.min() < 0 or strength.max() > 1:
        raise BadInput(
            Reason.MALFORMED, "segments do not rise in time, or a pitch is outside 0-1"
        )
    return seconds, strength, duration


def write_track(
    file: str | BinaryIO, track: Mapping[str, Any], starts: np.ndarray, pitches: np.ndarray
) -> None:
    """Write a track's own file (path or binary file) in MSD's form, for samples; the same
    values give the same bytes.

    track: values by the names of TRACKS, absent ones written as MSD writes what it does not
    know; starts: (n,) seconds; pitches: (n, 12) 0 to 1.
    """
    empty = {"key": 0, "mode": 0, "year": 0}
    with h5py.File(file, "w") as opened:
        for table in ("metadata/songs", "analysis/songs", "musicbrainz/songs"):
            columns = [
                (field, name) for name, (home, field) in FIELDS.items() if home == table
            ]
            row = np.zeros(1, [(field, _disk_type(name)) for field, name in columns])
            for field, name in columns:
                value = track.get(
                    name,
                    empty.get(
                        name, "" if pa.types.is_string(TRACKS.field(name).type) else 0.0
                    ),
                )
                row[field] = value.encode() if isinstance(value, str) else value
            opened.create_dataset(table, data=row)
        opened.create_dataset(
            "analysis/segments_start", data=np.asarray(starts, np.float64)
        )
        opened.create_dataset(
            "analysis/segments_pitches", data=np.asarray(pitches, np.float64)
        )


class _Opened:
    """An HDF5 file that turns whatever the library raises over its content into
    BadInput."""

    def __init__(self, file: bytes | BinaryIO) -> None:
        self.file = io.BytesIO(file) if isinstance(file, bytes) else file

    def __enter__(self) -> h5py.File:
        try:
            self.opened = h5py.File(self.file, "r")
        except BROKEN as error:
            raise BadInput(Reason.UNREADABLE, f"not an HDF5 file: {error}") from error
        return self.opened

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: object
    ) -> None:
        self.opened.close()
        if isinstance(error, BROKEN):
            raise BadInput(Reason.MALFORMED, f"not a whole MSD file: {error}") from error


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset of this very file; links to other files are refused, not followed."""
    at: Any = file
    for part in name.split("/"):
        link = at.get(part, getlink=True) if isinstance(at, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            raise BadInput(Reason.MALFORMED, f"{name} is not there")
        at = at[part]
    if not isinstance(at, h5py.Dataset) or at.external or at.is_virtual:
        raise BadInput(Reason.MALFORMED, f"{name} is no table of its own")
    row = at.dtype.itemsize
    if row > MAX_ROW_BYTES or row * math.prod(at.chunks or ()) > MAX_CHUNK_BYTES:
        raise BadInput(
            Reason.MALFORMED, f"{name} has rows of {row} bytes in chunks of {at.chunks}"
        )
    return at


def _rows(tables: Mapping[str, h5py.Dataset], start: int, stop: int) -> pa.Table:
    columns = {}
    for name, (table, field) in FIELDS.items():
        if field in (tables[table].dtype.names or ()):
            columns[name] = _column(tables[table].fields(field)[start:stop], name)
        elif name == "track_id":
            raise BadInput(Reason.MALFORMED, f"{table} has no {field}")
        else:
            columns[name] = pa.nulls(stop - start, TRACKS.field(name).type)
    return pa.table(columns, TRACKS)


def _column(values: np.ndarray, name: str) -> pa.Array:
    kind = TRACKS.field(name).type
    if pa.types.is_string(kind):
        words = [value.decode("utf-8", "replace").strip() for value in values.tolist()]
        return pa.array([word or None for word in words], kind)
    numbers = values.astype(np.float64)
    low, high = RANGES.get(name, (0.0, 1.0))
    return pa.array(numbers, mask=~((numbers >= low) & (numbers <= high))).cast(kind)


def _disk_type(name: str) -> str:
    kind = TRACKS.field(name).type
    if pa.types.is_string(kind):
        return "S32" if name.endswith("_id") else "S1024"
    return "<f8" if pa.types.is_floating(kind) else "<i4"
