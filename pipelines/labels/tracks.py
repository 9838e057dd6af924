"""What is known of MSD tracks, from any of its lists, as one table."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

TEXT, NUMBER, SMALL = pa.string(), pa.float64(), pa.int8()
# duration: seconds; tempo: bpm; key: 0-11 C to B; mode: 1 major, 0 minor; year: null where
# MSD says 0.
TRACKS = pa.schema(
    [
        ("track_id", TEXT), ("song_id", TEXT), ("artist", TEXT), ("title", TEXT), ("release", TEXT),
        ("year", pa.int16()), ("duration", NUMBER), ("tempo", NUMBER), ("key", SMALL), ("key_confidence", NUMBER),
        ("mode", SMALL), ("mode_confidence", NUMBER),
    ]
)  # fmt: skip
SEPARATOR = "<SEP>"


def read_unique_tracks(data: bytes, name: str) -> pa.Table:
    """MSD's unique_tracks.txt (track id, song id, artist, title, `<SEP>` between them) as
    TRACKS, in the file's order.

    name: the file's, for the error. Raises ValueError where a line has not these four
    parts.
    """
    try:
        rows = [
            line.split(SEPARATOR, 3)
            for line in data.decode("utf-8").split("\n")
            if line.strip()
        ]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is not MSD's unique_tracks.txt in UTF-8, fetch it again: {error}"
        ) from error
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != 4), None)
    if wrong or not rows:
        where = f"track {wrong} has not four parts" if wrong else "it holds no track"
        raise ValueError(
            f"{name} is not MSD's unique_tracks.txt (track, song, artist, title), fetch it again: {where}"
        )
    columns = [pa.array([row[index].strip() for row in rows], TEXT) for index in range(4)]
    return conform(pa.table(columns, names=["track_id", "song_id", "artist", "title"]))


def conform(table: pa.Table) -> pa.Table:
    """A table that has some of the columns of TRACKS as TRACKS, the rest null; further
    columns go."""
    columns = {
        field.name: table[field.name]
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in TRACKS
    }
    return pa.table(columns).cast(TRACKS)


def merge_tracks(tables: Sequence[pa.Table]) -> pa.Table:
    """One row a track (TRACKS, sorted by track_id), each value from the first of the
    tables that has one."""
    merged = TRACKS.empty_table()
    for table in tables:
        table = first_of_each(conform(table))
        both = merged.join(
            table,
            "track_id",
            join_type="full outer",
            right_suffix="_other",
            use_threads=False,
        )
        names = TRACKS.names[1:]
        columns = {name: pc.coalesce(both[name], both[f"{name}_other"]) for name in names}
        merged = pa.table({"track_id": both["track_id"], **columns}).cast(TRACKS)
    return merged.sort_by("track_id")


def first_of_each(table: pa.Table) -> pa.Table:
    """The first row of each track; rows without an id go."""
    numbered = table.select(["track_id"]).append_column(
        "row", pa.array(range(len(table)), pa.int64())
    )
    first = numbered.filter(pc.is_valid(numbered["track_id"])).group_by(
        "track_id", use_threads=False
    )
    return table.take(first.aggregate([("row", "min")])["row_min"])
