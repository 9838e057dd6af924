"""The tables: Arrow schemas of songs, catalog and release, and Song to row and back.

Schemas are written out, never inferred from a first row. Every field carries its
description, from which the card and the Croissant file are made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.remi import Remi
from schemas.song import BAR, NOTE, TEMPO, Origin, Song


def to_row(song: Song, remi: Remi, features: Mapping[str, Any]) -> dict[str, Any]:
    """A song, its tokens and its features as one row of SONGS; values are scalars,
    strings and NumPy arrays."""
    columns: dict[str, Any] = {
        "song_id": song.song_id, "source": song.source, "source_key": song.source_key, "title": song.title,
        "artist": song.artist, "genre": song.genre, "meter_source": song.meter_source,
        "source_sha256": song.source_sha256, "folder_track_ids": list(song.folder_track_ids),
        **vars(song.origin),
    }  # fmt: skip
    if len(song.origin.note_seconds) not in (0, len(song.notes)):
        raise ValueError(f"{song.song_id}: note_seconds are of other notes than the song's")
    for prefix, array in (("note", song.notes), ("bar", song.bars), ("tempo", song.tempi)):
        columns.update(
            {f"{prefix}_{name}": array[name] for name in array.dtype.names or ()}
        )
    tokens_per_bar = np.diff(remi.bar_offset)
    columns.update(
        remi=remi.tokens, remi_bar_offset=remi.bar_offset, n_tokens=len(remi.tokens),
        tokens_per_bar_max=int(tokens_per_bar.max()), **vars(remi.losses),
    )  # fmt: skip
    return {**columns, **features}


def from_row(row: Mapping[str, Any]) -> Song:
    """The Song in a row of SONGS or RELEASE (lists as Python lists or NumPy arrays); raises
    ValueError where it is none. A row may lack the columns of Origin."""
    notes, bars, tempi = (
        _structured(row, "note", NOTE),
        _structured(row, "bar", BAR),
        _structured(row, "tempo", TEMPO),
    )
    return Song(
        row["source"], row["source_key"], notes, bars, tempi, row["meter_source"], row["title"], row["artist"],
        row["genre"], row["source_sha256"], tuple(row["folder_track_ids"]), _origin(row),
    )  # fmt: skip


def _origin(row: Mapping[str, Any]) -> Origin:
    held = {field.name: row[field.name] for field in fields(Origin) if field.name in row}
    for name, dtype in (("note_seconds", np.float32), ("key_meta", np.uint8)):
        if name in held:
            held[name] = np.asarray(held[name], dtype)
    return Origin(**held)


def _structured(row: Mapping[str, Any], prefix: str, dtype: np.dtype) -> np.ndarray:
    names = dtype.names or ()
    sizes = [len(row[f"{prefix}_{name}"]) for name in names]
    if len(set(sizes)) != 1:
        raise ValueError(f"{prefix} columns differ in length: {sizes}")
    array = np.empty(sizes[0], dtype)
    for name in names:
        array[name] = row[f"{prefix}_{name}"]
    return array


def to_table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as an Arrow table of exactly `schema`; raises where a column is missing or
    more than the schema has."""
    if rows and set(rows[0]) != set(schema.names):
        raise ValueError(
            f"row and schema differ in {sorted(set(rows[0]) ^ set(schema.names))}"
        )
    return pa.Table.from_arrays(
        [_column([row[field.name] for row in rows], field) for field in schema],
        schema=schema,
    )


def _column(values: list[Any], field: pa.Field) -> pa.Array:
    if (
        not values
        or not pa.types.is_list(field.type)
        or not isinstance(values[0], np.ndarray)
    ):
        return pa.array(values, field.type)
    # One concatenation a column: pyarrow's own way through a list of arrays takes them
    # value by value.
    offsets = np.concatenate([[0], np.cumsum([len(value) for value in values])]).astype(
        np.int32
    )
    flat = pa.array(np.concatenate(values), field.type.value_type)
    return pa.ListArray.from_arrays(offsets, flat, type=field.type)


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table, its lists as NumPy arrays: what from_row and the features
    read."""
    columns = {
        name: _values(table.column(name).combine_chunks()) for name in table.column_names
    }
    return [
        {name: values[index] for name, values in columns.items()}
        for index in range(table.num_rows)
    ]


def _values(column: pa.Array) -> list[Any]:
    if not pa.types.is_list(column.type) or pa.types.is_string(column.type.value_type):
        return column.to_pylist()
    offsets, flat = column.offsets.to_numpy(), column.values.to_numpy()
    return [flat[start:stop] for start, stop in pairwise(offsets)]
