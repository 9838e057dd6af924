"""The coats around labels: songs, matches, tracks, labels and names meet by track, then
by md5 (CoGroupByKey)."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.beam.catalog import together
from pipelines.beam.msd import read_msd
from pipelines.io.tables import read_columns
from pipelines.labels.config import AffectConfig, Labelling
from pipelines.labels.corroboration import works_of
from pipelines.labels.groups import artist_keys, group_keys
from pipelines.labels.join import (
    CHROMA,
    JOINED,
    NAMES,
    SONG_COLUMNS,
    join_tracks,
    label_songs,
)
from pipelines.labels.matches import merge_matches
from pipelines.labels.songs import SONGS_TO_LABEL, matches_of_folders, songs_of
from pipelines.labels.tables import LABELS, REFUSED
from pipelines.labels.tracks import TRACKS, merge_tracks
from pipelines.layout import metadata_path

N_BUCKETS = 16


class LabelSongs(beam.PTransform):  # type: ignore[misc]  # Beam is untyped here
    """FACTS tables → collections of tables: matched songs (MATCHED), group keys (KEYS), the
    works of all matches (WORKS), and by name what MSD's files gave.

    The last are `heard` (TRACKS), `chroma` (CHROMA) and `refused` (REFUSED), to be kept
    with the metadata.
    """

    def __init__(self, how: Labelling) -> None:
        super().__init__()
        self._how = how

    def expand(
        self, facts: beam.PCollection
    ) -> tuple[
        beam.PCollection, beam.PCollection, beam.PCollection, dict[str, beam.PCollection]
    ]:
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
        matched = (
            {
                kind: table | f"{kind} by md5" >> beam.FlatMap(by_bucket, MD5_OF[kind])
                for kind, table in by_md5.items()
            }
            | "Meet by md5" >> beam.CoGroupByKey()
            | "Label"
            >> beam.FlatMap(label_bucket, self._how).with_outputs("keys", main="matched")
        )
        works = joined | "Works" >> beam.Map(works_of)
        gave = {kind: msd[kind] for kind in MSD_GAVE}
        return matched.matched, matched["keys"], works, gave


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
    """The matches of the songs of a bucket, and on the side their group keys."""
    tables = bucket[1]
    songs = together(tables["songs"], SONGS_TO_LABEL).sort_by("song_id").combine_chunks()
    joined, names = together(tables["joined"], JOINED), together(tables["names"], NAMES)
    joined = joined.sort_by(
        [("md5", "ascending"), ("track_id", "ascending")]
    ).combine_chunks()
    labels, chroma = together(tables["labels"], LABELS), together(tables["chroma"], CHROMA)
    matched = label_songs(
        songs.select(SONG_COLUMNS), joined, labels, names, chroma, how.config
    )
    yield matched
    taken = matched["msd_track_id"]
    keys = [group_keys(songs, joined, names, taken)]
    if how.by_artist:
        keys.append(artist_keys(songs, joined, taken))
    yield beam.pvalue.TaggedOutput("keys", pa.concat_tables(keys))
