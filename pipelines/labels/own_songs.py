"""Tables of one's own meet the songs that were read, by file, song or md5; those by MSD track
become label tables like Spotify's."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.labels.own_labels import (
    AXES,
    CLASSES,
    RANK,
    OwnLabels,
    groups_of,
    in_our_words,
    named_by,
    read_rows,
)
from pipelines.labels.own_values import Row, judge, rank, refuse_doubled, refused_rows
from pipelines.labels.tables import LABELS, LINKS, LabelTable
from schemas.ids import TRACK_ID

TEXT, NUMBER = pa.string(), pa.float64()
# A song with what a table gives: values in [0, 1] or null, both or neither; source: the
# table's name; the group and the published split that it names, null for none.
OWN = pa.schema(
    [("song_id", TEXT), ("valence", NUMBER), ("arousal", NUMBER), ("source", TEXT), ("group", TEXT), ("split", TEXT)]
)  # fmt: skip
SONG_NAMES = ("song_id", "source", "source_key")
ENDINGS = (".mid", ".midi", ".kar", ".rmi", ".npz", ".abc")
# Each name with the songs that bear it: (name in full, song_id)
Found = Mapping[str, list[tuple[str, str]]]


RULE = "own"


@dataclass(frozen=True, eq=False)
class OwnTable:
    """What one table says of songs: OWN, a row a song, and REFUSED."""

    songs: pa.Table
    refused: pa.Table


def gives_classes(own: OwnLabels, data: bytes | None) -> bool:
    """Whether a row of a table, or the pattern, gives a class or quadrant and no number: that
    has no median. Raises ValueError where the table cannot be used."""
    of_names = groups_of(own.label_pattern)
    of_rows = [of_names]
    if data is not None:
        name = PurePosixPath(own.table).name
        read = read_rows(data, name)
        named_by(own, read, name)
        of_rows = [of_names | in_our_words(own, row).keys() for row in read]
    return any(words & set(CLASSES) and not words & set(AXES) for words in of_rows)


def label_songs_by_table(
    name: str, own: OwnLabels, data: bytes | None, songs: pa.Table
) -> OwnTable:
    """What a table, a pattern or both say of songs (SONG_NAMES).

    data: the bytes of the table, None where there is only a pattern. Raises ValueError where
    the table cannot be used, or neither it nor the pattern is of any of the songs.
    """
    if own.source:
        songs = songs.filter(pc.equal(songs["source"], own.source))
        if not len(songs):
            raise ValueError(f"own.{name}: there is no song of source {own.source!r}")
    file_name = PurePosixPath(own.table).name
    if data is None:
        rows = [
            Row(0, song_id, {}, song_id) for song_id in sorted(songs["song_id"].to_pylist())
        ]
    else:
        rows = _rows_of_table(own, read_rows(data, file_name), file_name, songs)
    if own.label_pattern:
        _add_names(name, own, rows, songs)
    for row in rows:
        judge(row, own)
    refuse_doubled(rows)
    if own.scale == RANK:
        rank(rows)
    good = [row for row in rows if row.song and row.says and not row.why]
    if data is not None and not good:
        first = rows[0]
        why = first.why or "no row says anything"
        raise ValueError(f"{file_name} labels none of the songs ({first.named}: {why})")
    return OwnTable(
        songs=_own_rows(good, name),
        refused=refused_rows(rows, file_name or f"own.{name}"),
    )


def _rows_of_table(
    own: OwnLabels, read: Sequence[Mapping[str, str]], name: str, songs: pa.Table
) -> list[Row]:
    column = named_by(own, read, name)
    rows = []
    for number, plain in enumerate(read, 1):
        says = in_our_words(own, plain)
        rows.append(Row(number, says.pop(column, ""), says))
    find = _by_path(songs) if column == "file" else _by_name(songs, column)
    for row in rows:
        found = find.get(_stem(row.named) if column == "file" else row.named, [])
        if column == "file":
            found = [one for one in found if _ends_alike(one[0], row.named)]
        row.song = found[0][1] if len(found) == 1 else None
        if not found:
            row.why = "no song of that name was read"
        elif len(found) > 1:
            row.why = f"{len(found)} songs have that name"
    return rows


def _by_name(songs: pa.Table, column: str) -> Found:
    names = songs["song_id" if column == "song_id" else "source_key"].to_pylist()
    found = defaultdict(list)
    for name, song_id in zip(names, songs["song_id"].to_pylist(), strict=True):
        found[name].append((name, song_id))
    return found


def _by_path(songs: pa.Table) -> Found:
    found = defaultdict(list)
    for key, song_id in zip(
        songs["source_key"].to_pylist(), songs["song_id"].to_pylist(), strict=True
    ):
        found[_stem(key)].append((key, song_id))
    return found


def _stem(path: str) -> str:
    """The last part of a path, without the ending of a music file."""
    last = path.replace("\\", "/").rpartition("/")[2]
    ending = PurePosixPath(last).suffix.lower()
    return last[: -len(ending)] if ending in ENDINGS else last


def _ends_alike(one: str, other: str) -> bool:
    """Whether the folders of two paths are the same, as far as both say them."""
    folders = [path.replace("\\", "/").split("/")[-2::-1] for path in (one, other)]
    return all(a == b for a, b in zip(*folders, strict=False))


def _add_names(name: str, own: OwnLabels, rows: list[Row], songs: pa.Table) -> None:
    """What the pattern finds in the keys of the rows' songs, where the table does not say
    it."""
    keys = dict(
        zip(songs["song_id"].to_pylist(), songs["source_key"].to_pylist(), strict=True)
    )
    pattern, n_found = re.compile(own.label_pattern), 0
    for row in rows:
        match = pattern.search(keys[row.song]) if row.song else None
        if match is None:
            continue
        n_found += 1
        found = {key: value for key, value in match.groupdict().items() if value}
        if "song" in found:
            found["group"] = found.pop("song")
        row.says = {**found, **row.says}
    if not n_found:
        first = next(iter(keys.values()), "")
        raise ValueError(
            f"own.{name}.label_pattern matches none of {len(keys)} songs, the first is {first!r}"
        )


def _own_rows(rows: Sequence[Row], name: str) -> pa.Table:
    columns: dict[str, list[Any]] = {column: [] for column in OWN.names}
    for row in sorted(rows, key=lambda row: row.song or ""):
        valence, arousal = row.values or (None, None)
        columns["song_id"].append(row.song)
        columns["valence"].append(valence)
        columns["arousal"].append(arousal)
        columns["source"].append(name)
        columns["group"].append(row.says.get("group"))
        columns["split"].append(row.says.get("split"))
    return pa.table(columns, OWN)


def label_tracks_by_table(name: str, own: OwnLabels, data: bytes) -> LabelTable | None:
    """A table by MSD track as the tables of affect.labels are; None where it goes by
    songs. Raises ValueError where it cannot be used."""
    file_name = PurePosixPath(own.table).name
    read = read_rows(data, file_name)
    if named_by(own, read, file_name) != "track_id":
        return None
    rows = []
    for number, plain in enumerate(read, 1):
        says = in_our_words(own, plain)
        # Lists of MSD's files name them with their ending
        row = Row(number, says.pop("track_id", "").removesuffix(".h5"), says)
        row.song = row.named
        if not TRACK_ID.fullmatch(row.named):
            row.why = "its id is missing or not of the form that such ids have"
        rows.append(row)
        judge(row, own)
    refuse_doubled(rows)
    if own.scale == RANK:
        rank(rows)
    good = [row for row in rows if row.values and not row.why]
    labels = [
        ["track_id"] * len(good),
        [row.song for row in good],
        [(row.values or (0.0, 0.0))[0] for row in good],
        [(row.values or (0.0, 0.0))[1] for row in good],
        [name] * len(good),
    ]
    return LabelTable(
        name=name,
        labels=pa.table(labels, LABELS),
        refused=refused_rows(rows, file_name),
        n_missing=sum(not row.values and not row.why for row in rows),
        tracks=pa.table({"track_id": pa.array([], TEXT)}),
        links=LINKS.empty_table(),
    )


def with_own_labels(labelled: pa.Table, own: pa.Table) -> pa.Table:
    """labelled (a row a song, by its columns of labels) with the labels of own (OWN) before
    all others: no match stands between them and the song. Of several tables the first goes."""
    own = own.filter(pc.is_valid(own["valence"]))
    mine = own.take(pc.index_in(labelled["song_id"], own["song_id"].combine_chunks()))
    has = pc.is_valid(mine["song_id"])
    given = {
        "valence": mine["valence"],
        "arousal": mine["arousal"],
        "label_source": pc.binary_join_element_wise(mine["source"], RULE, ":"),
        "label_spread": pa.scalar(None, NUMBER),
        "label_trust": pa.scalar(1.0),
        "trusted": pa.scalar(True),
        "evidence": pa.scalar(["label=of the song itself"], pa.list_(TEXT)),
        "name_found": pa.scalar(None, pa.int8()),
        "log_odds_without_name": pa.scalar(None, NUMBER),
        "unlabelled": pa.scalar(None, TEXT),
    }
    columns = dict(zip(labelled.column_names, labelled.columns, strict=True))
    columns |= {
        name: pc.if_else(has, value, columns[name]) for name, value in given.items()
    }
    return pa.table(list(columns.values()), labelled.schema)


def own_keys(own: pa.Table, schema: pa.Schema) -> pa.Table:
    """The groups that tables name, as keys of songs that stand in one split (groups.KEYS,
    whose schema is given)."""
    own = own.filter(pc.is_valid(own["group"]))
    columns = {
        "song_id": own["song_id"],
        "key": pc.binary_join_element_wise("own", own["source"], own["group"], ":"),
        "sure": pa.array([True] * len(own)),
    }
    return pa.table([columns[name] for name in schema.names], schema)


def own_splits(own: pa.Table) -> pa.Table:
    """The published splits that tables name: (name: song_id, split), each once."""
    own = own.filter(pc.is_valid(own["split"]))
    return pa.table({"name": own["song_id"], "split": own["split"]})
