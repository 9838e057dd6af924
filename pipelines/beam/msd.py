"""The coat around MSD's files: of a shard's matched tracks what their files say, and how their audio fits the notes."""

from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.io import files
from pipelines.io.tables import read_columns
from pipelines.labels.chroma import chroma_fit, note_chroma, segment_chroma
from pipelines.labels.config import Labelling
from pipelines.labels.join import (
    CHROMA,
)
from pipelines.labels.matches import merge_matches
from pipelines.labels.msd import read_segments, read_tracks, track_path
from pipelines.labels.songs import matches_of_folders, songs_of
from pipelines.labels.tables import REFUSED
from pipelines.layout import metadata_path, shard_path
from schemas.columns import SONGS
from schemas.reject import BadInput
from schemas.row import from_row, rows_of

NOTES = [name for name in SONGS.names if not name.startswith(("remi", "rhythm", "key"))]


def read_msd(facts: pa.Table, how: Labelling) -> Iterator[Any]:
    """TRACKS of the MSD files of a shard's matched tracks, and on the side how well their
    chroma fits the notes.

    A file that is missing, cannot be read or is none is refused, and its track is known by
    what other lists say.
    """
    folder = how.config.msd
    if how.reuse or not folder or folder.endswith(".h5") or not facts.num_rows:
        return
    songs = songs_of(facts)
    matches = merge_matches(
        [
            read_columns(metadata_path(how.metadata, "matches")),
            *matches_of_folders(facts, how.config),
        ],
        0,
    )
    matches = matches.filter(pc.is_in(matches["md5"], songs["md5"].combine_chunks()))
    found: dict[str, tuple[np.ndarray, np.ndarray, float]] = {}
    tracks = []
    for track_id in sorted(set(matches["track_id"].to_pylist())):
        name = track_path(track_id)
        path = files.join(folder, *name.split("/"))
        try:
            data = files.read_bytes(path)
            tracks.append(read_tracks(data))
            found[track_id] = read_segments(data)
        except (OSError, BadInput) as error:
            why = error.detail if isinstance(error, BadInput) else why_unread(path, error)
            yield beam.pvalue.TaggedOutput(
                "refused", pa.table([[name], [0], [track_id], [why]], REFUSED)
            )
    if tracks:
        yield pa.concat_tables(tracks)
        pairs = [
            (row["md5"], row["track_id"])
            for row in matches.to_pylist()
            if row["track_id"] in found
        ]
        yield beam.pvalue.TaggedOutput(
            "chroma", hear(pairs, found, songs, facts["shard"][0].as_py(), how)
        )


def why_unread(path: str, error: OSError) -> str:
    """Why a file could not be read, without its path; remote file systems say by other
    errors that there is none."""
    if isinstance(error, FileNotFoundError) or (
        not files.is_local(path) and not files.exists(path)
    ):
        return "no file"
    return f"cannot be read: {error.strerror or type(error).__name__}"


def hear(
    pairs: list[tuple[str, str]],
    found: Mapping[str, tuple[np.ndarray, np.ndarray, float]],
    songs: pa.Table,
    shard: int,
    how: Labelling,
) -> pa.Table:
    """CHROMA of (md5, track) pairs: the notes of the shard's songs against the audio of the
    tracks."""
    id_of = dict(zip(songs["md5"].to_pylist(), songs["song_id"].to_pylist(), strict=True))
    wanted = pa.array([id_of[md5] for md5, _ in pairs], pa.string())
    notes = read_columns(shard_path(how.corpus, "songs", shard, how.n_shards), NOTES)
    heard = {
        row["song_id"]: note_chroma(from_row(row))
        for row in rows_of(notes.filter(pc.is_in(notes["song_id"], wanted)))
    }
    fits = [
        chroma_fit(heard[id_of[md5]], segment_chroma(*found[track])) for md5, track in pairs
    ]
    return pa.table(
        [[md5 for md5, _ in pairs], [track for _, track in pairs], fits], CHROMA
    )
