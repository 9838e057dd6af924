"""Songs as labels meet them: by md5, with the few facts that evidence asks for."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from pipelines.labels.config import AffectConfig
from pipelines.labels.matches import folder_matches
from schemas.columns import SONGS
from schemas.ids import MD5

SONGS_TO_LABEL = pa.schema(
    [("song_id", pa.string()), ("md5", pa.string()), *(SONGS.field(name) for name in ("seconds", "mean_bpm", "song_key")),
     ("artist", pa.string()), ("title", pa.string())]
)  # fmt: skip


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
