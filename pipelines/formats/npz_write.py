"""LPD's npz, written: the archive of some notes, for samples and tests."""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.formats.npz import N_PITCHES
from schemas.song import (
    NOTE,
    TICKS_PER_QUARTER,
    TRACKS,
)

PROGRAMS = (0, 0, 24, 32, 48)


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
