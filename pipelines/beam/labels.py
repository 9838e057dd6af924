"""The coats around labels: songs, matches, tracks, labels and names meet by track, then
by md5 (CoGroupByKey)."""

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.beam.catalog import together
from pipelines.io import files
from pipelines.io.tables import read_columns
from pipelines.labels.chroma import chroma_fit, note_chroma, segment_chroma
from pipelines.labels.config import AffectConfig
from pipelines.labels.groups import artist_keys, group_keys
from pipelines.labels.join import (
    CHROMA,
    JOINED,
    LABELLED,
    NAMES,
    SONG_COLUMNS,
    join_tracks,
    label_songs,
)
from pipelines.labels.matches import folder_matches, merge_matches
from pipelines.labels.msd import read_segments, read_tracks, track_path
from pipelines.labels.tables import LABELS, REFUSED
from pipelines.labels.tracks import TRACKS, merge_tracks
from pipelines.layout import metadata_path, shard_path
from schemas.reject import BadInput
from schemas.row import SONGS, from_row, rows_of

N_BUCKETS = 16
MD5 = re.compile("[0-9a-f]{32}")
NAMED = pa.schema([*LABELLED, ("msd_title", pa.string()), ("msd_artist", pa.string())])
SONGS_TO_LABEL = pa.schema(
    [("song_id", pa.string()), ("md5", pa.string()), *(SONGS.field(name) for name in ("seconds", "mean_bpm", "song_key")),
     ("artist", pa.string()), ("title", pa.string())]
)  # fmt: skip
NOTES = [name for name in SONGS.names if not name.startswith(("remi", "rhythm", "key"))]


@dataclass(frozen=True)
class Labelling:
    """What labels are made of: where metadata and the ingested songs stand, [affect], and
    whether artists group.

    reuse: metadata are another build's, what it read of MSD's files among them.
    """

    metadata: str
    reuse: bool
    corpus: str
    n_shards: int
    config: AffectConfig
    by_artist: bool


class LabelSongs(beam.PTransform):  # type: ignore[misc]  # Beam is untyped here
    """FACTS tables → collections of tables: labelled songs (NAMED), group keys (KEYS), and
    by name what MSD's files gave.

    The last are `heard` (TRACKS), `chroma` (CHROMA) and `refused` (REFUSED), to be kept
    with the metadata.
    """

    def __init__(self, how: Labelling) -> None:
        super().__init__()
        self._how = how

    def expand(
        self, facts: beam.PCollection
    ) -> tuple[beam.PCollection, beam.PCollection, dict[str, beam.PCollection]]:
        tables = {
            kind: facts.pipeline
            | f"Metadata {kind}" >> beam.Create([kind])
            | f"Read {kind}" >> beam.FlatMap(read_metadata, self._how.metadata)
            for kind in (
                "matches",
                "tracks",
                "labels",
                "names",
                *(MSD_GAVE if self._how.reuse else ()),
            )
        }
        fresh = facts | "MSD files" >> beam.FlatMap(read_msd, self._how).with_outputs(
            "chroma", "refused", main="heard"
        )
        msd = (
            tables
            if self._how.reuse
            else {"heard": fresh.heard, "chroma": fresh.chroma, "refused": fresh.refused}
        )
        folders = facts | "Folder matches" >> beam.FlatMap(
            matches_of_folders, self._how.config
        )
        by_track = {
            "matches": (tables["matches"], folders) | "All matches" >> beam.Flatten(),
            "heard": msd["heard"],
            "tracks": tables["tracks"],
            "labels": tables["labels"]
            | "Labels of tracks" >> beam.FlatMap(of_key, "track_id"),
        }
        joined = (
            {
                kind: table | f"{kind} by track" >> beam.FlatMap(by_bucket, TRACK_OF[kind])
                for kind, table in by_track.items()
            }
            | "Meet by track" >> beam.CoGroupByKey()
            | "Join tracks" >> beam.Map(join_bucket, self._how.config)
        )
        by_md5 = {
            "songs": facts | "Songs" >> beam.Map(songs_of),
            "joined": joined,
            "labels": tables["labels"] | "Labels of songs" >> beam.FlatMap(of_key, "md5"),
            "names": tables["names"],
            "chroma": msd["chroma"],
        }
        labelled = (
            {
                kind: table | f"{kind} by md5" >> beam.FlatMap(by_bucket, MD5_OF[kind])
                for kind, table in by_md5.items()
            }
            | "Meet by md5" >> beam.CoGroupByKey()
            | "Label"
            >> beam.FlatMap(label_bucket, self._how).with_outputs("keys", main="labelled")
        )
        return labelled.labelled, labelled["keys"], {kind: msd[kind] for kind in MSD_GAVE}


# Tables of what the files of single tracks gave, and which were none.
MSD_GAVE = {"heard": TRACKS, "chroma": CHROMA, "refused": REFUSED}
# The column by which each table meets the others.
TRACK_OF = {
    "matches": "track_id",
    "heard": "track_id",
    "tracks": "track_id",
    "labels": "id",
}
MD5_OF = {"songs": "md5", "joined": "md5", "labels": "id", "names": "md5", "chroma": "md5"}


def read_metadata(kind: str, out: str) -> Iterator[pa.Table]:
    """One of the prepared tables."""
    yield read_columns(metadata_path(out, f"msd_{kind}" if kind in MSD_GAVE else kind))


def of_key(labels: pa.Table, key: str) -> Iterator[pa.Table]:
    """The labels whose ids are of one kind."""
    yield labels.filter(pc.equal(labels["key"], key))


def by_bucket(table: pa.Table, column: str) -> Iterator[tuple[int, pa.Table]]:
    """(bucket, rows): equal values meet in one bucket, rows without a value stand in the
    first."""
    buckets = np.array(
        [
            zlib.crc32(value.encode()) % N_BUCKETS if value else 0
            for value in table[column].to_pylist()
        ]
    )
    for bucket in range(N_BUCKETS) if len(table) else ():
        rows = np.flatnonzero(buckets == bucket)
        if len(rows):
            yield bucket, table.take(rows)


def md5_of(row: Mapping[str, Any]) -> str | None:
    """The name under which match lists know a song, None where none can."""
    return (
        row["source_key"]
        if MD5.fullmatch(row["source_key"]) or row["folder_track_ids"]
        else None
    )


def songs_of(facts: pa.Table) -> pa.Table:
    """What labelling reads of a shard's songs: SONGS_TO_LABEL."""
    rows = facts.select(["source_key", "folder_track_ids"]).to_pylist()
    table = facts.append_column("md5", pa.array([md5_of(row) for row in rows], pa.string()))
    return table.select(SONGS_TO_LABEL.names).cast(SONGS_TO_LABEL)


def matches_of_folders(facts: pa.Table, config: AffectConfig) -> Iterator[pa.Table]:
    """The matches that a corpus's own folders name."""
    if config.folder_matches:
        yield folder_matches(
            facts["source_key"].to_pylist(), facts["folder_track_ids"].to_pylist()
        )


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


def join_bucket(
    bucket: tuple[int, Mapping[str, Iterable[pa.Table]]], config: AffectConfig
) -> pa.Table:
    """JOINED of the tracks of a bucket; of what several lists say of a track, its own
    file goes first."""
    tables = bucket[1]
    tracks = merge_tracks(
        [together(tables["heard"], TRACKS), together(tables["tracks"], TRACKS)]
    )
    matches = merge_matches(list(tables["matches"]), config.min_score)
    return join_tracks(matches, tracks, together(tables["labels"], LABELS))


def label_bucket(
    bucket: tuple[int, Mapping[str, Iterable[pa.Table]]], how: Labelling
) -> Iterator[Any]:
    """Labels of the songs of a bucket, and on the side their group keys."""
    tables = bucket[1]
    songs = together(tables["songs"], SONGS_TO_LABEL).sort_by("song_id").combine_chunks()
    joined, names = together(tables["joined"], JOINED), together(tables["names"], NAMES)
    joined = joined.sort_by(
        [("md5", "ascending"), ("track_id", "ascending")]
    ).combine_chunks()
    labels, chroma = together(tables["labels"], LABELS), together(tables["chroma"], CHROMA)
    labelled = label_songs(
        songs.select(SONG_COLUMNS), joined, labels, names, chroma, how.config
    )
    track = joined.take(
        pc.index_in(labelled["msd_track_id"], joined["track_id"].combine_chunks())
    )
    yield pa.table([*labelled.columns, track["title"], track["artist"]], NAMED)
    keys = [group_keys(songs, joined, names)]
    if how.by_artist:
        keys.append(artist_keys(songs, joined, labelled["msd_track_id"]))
    yield beam.pvalue.TaggedOutput("keys", pa.concat_tables(keys))
