"""Frozen label tables: CSV or Parquet files of valence and energy by md5, MSD track or
Spotify id.

Energy becomes `arousal` here (see rule.py for whose decision that is). A table is refused
whole where its columns are not there; a row is refused, and listed, where its id is no id
or doubled, or a value is no number in [0, 1].
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

# What a row may be about, most particular first; a table goes by the first of these it has.
KEY_FORMS = {
    "md5": "^[0-9a-f]{32}$",
    "track_id": "^TR[A-Z]{5}[0-9A-F]{11}$",
    "spotify_id": "^[0-9A-Za-z]{22}$",
}
VALUES = ("valence", "energy")
TRACK_COLUMNS = ("song_id", "artist", "title", "release")
TEXT, NUMBER = pa.string(), pa.float64()
LABELS = pa.schema(
    [
        ("key", TEXT),
        ("id", TEXT),
        ("valence", NUMBER),
        ("arousal", NUMBER),
        ("source", TEXT),
    ]
)
REFUSED = pa.schema([("file", TEXT), ("row", pa.int64()), ("id", TEXT), ("why", TEXT)])
LINKS = pa.schema([("track_id", TEXT), ("spotify_id", TEXT)])

NUMBER_FORM = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
MISSING_FORM = r"(?i)^(|na|n/a|nan|null|none)$"


@dataclass(frozen=True, eq=False)
class LabelTable:
    """One table as read.

    labels: LABELS, the good rows in the file's order; refused: REFUSED, rows counted from 1
    below the header; n_missing: rows without a value; tracks: the track_id, song_id,
    artist, title and release it also gives; links: LINKS, the Spotify ids of its tracks, in
    the file's order.
    """

    name: str
    labels: pa.Table
    refused: pa.Table
    n_missing: int
    tracks: pa.Table
    links: pa.Table


def read_labels(data: bytes, name: str, zero_is_missing: bool = True) -> LabelTable:
    """Read one table, CSV unless `name` ends in .parquet; a label's source is its `source`
    column, else the file stem.

    zero_is_missing: a valence of exactly 0.0 is no value: Spotify gives it to spoken intros
    and effects. Raises ValueError where the file cannot be read, lacks a column or has no
    rows.
    """
    table = _read(data, name)
    key = next((key for key in KEY_FORMS if key in table.column_names), None)
    lacking = [column for column in VALUES if column not in table.column_names]
    if key is None or lacking:
        needs = " and ".join(
            [*lacking, *([] if key else [f"one of {', '.join(KEY_FORMS)}"])]
        )
        raise ValueError(
            f"{name} lacks a column {needs}: it has {', '.join(table.column_names)}"
        )
    if not len(table):
        raise ValueError(
            f"{name} has no rows: give a table with labels, or leave it out of the labels"
        )
    ids = _ids(table[key])
    valence, arousal = (_strings(table[column]) for column in VALUES)
    why = _reasons(ids, KEY_FORMS[key], valence, arousal)
    values = [
        _numbers(pc.if_else(pc.is_null(why), column, "")) for column in (valence, arousal)
    ]
    why = pc.coalesce(why, _doubled(ids, why, *values))
    found = (
        np.isfinite(values[0])
        & np.isfinite(values[1])
        & ~((values[0] == 0.0) & zero_is_missing)
    )
    good = pc.is_null(why)
    source = (
        _strings(table["source"])
        if "source" in table.column_names
        else pa.nulls(len(table), TEXT)
    )
    source = pc.fill_null(source, PurePosixPath(name).stem)
    labels = pa.table(
        [
            pa.array([key] * len(table)),
            ids,
            *(pa.array(column) for column in values),
            source,
        ],
        LABELS,
    )
    rows = pa.table(
        [pa.array([name] * len(table)), np.arange(1, len(table) + 1), ids, why], REFUSED
    )
    return LabelTable(
        name=name,
        labels=labels.filter(pc.and_(good, pa.array(found))),
        refused=rows.filter(pc.invert(good)),
        n_missing=pc.sum(pc.and_(good, pa.array(~found))).as_py() or 0,
        tracks=_tracks(table),
        links=_links(table),
    )


def prefer(tables: Sequence[LabelTable]) -> pa.Table:
    """All labels as one table (LABELS, keys md5 and track_id, sorted), each id's from the
    first table that has it.

    A label by Spotify id becomes the label of every track that any table links to it; of a
    track's several Spotify ids the first listed counts.
    """
    links = pa.concat_tables([LINKS.empty_table(), *(table.links for table in tables)])
    both = pa.concat_tables(
        [LABELS.empty_table(), *(_by_track(table.labels, links) for table in tables)]
    )
    numbered = both.append_column("row", pa.array(np.arange(len(both))))
    first = numbered.group_by(["key", "id"], use_threads=False).aggregate([("row", "min")])
    return both.take(first["row_min"]).sort_by([("key", "ascending"), ("id", "ascending")])


def _by_track(labels: pa.Table, links: pa.Table) -> pa.Table:
    """labels with those by Spotify id turned into labels by track, in the order of the
    links."""
    if not len(labels) or labels["key"][0].as_py() != "spotify_id":
        return labels
    at = pc.index_in(links["spotify_id"], labels["id"].combine_chunks())
    known = links.append_column("at", at).filter(pc.is_valid(at))
    taken = labels.take(known["at"])
    keys = pa.array(["track_id"] * len(known), TEXT)
    return (
        taken.set_column(0, "key", keys).set_column(1, "id", known["track_id"]).cast(LABELS)
    )


def _read(data: bytes, name: str) -> pa.Table:
    try:
        if name.endswith(".parquet"):
            table = pq.read_table(io.BytesIO(data))
        else:
            parse = csv.ParseOptions(newlines_in_values=True)
            types = dict.fromkeys(
                (*KEY_FORMS, "spotify_ids", *VALUES, "source", *TRACK_COLUMNS), TEXT
            )
            options = csv.ConvertOptions(
                column_types=types, null_values=[""], strings_can_be_null=True
            )
            table = csv.read_csv(
                io.BytesIO(data), parse_options=parse, convert_options=options
            )
        columns = table.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{name} cannot be read as a label table, give CSV or Parquet: {error}"
        ) from error
    doubled = {column for column in columns if columns.count(column) > 1}
    if doubled:
        raise ValueError(f"{name} has the column {min(doubled)} twice: rename one")
    return table


def _strings(column: pa.ChunkedArray) -> pa.Array:
    """A column as strings; what cannot be written as one (a list, a struct) is null."""
    try:
        return pc.cast(column, TEXT).combine_chunks()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return pa.nulls(len(column), TEXT)


def _ids(column: pa.ChunkedArray) -> pa.Array:
    """A column of ids as strings, without blanks around them."""
    return pc.utf8_trim_whitespace(_strings(column))


def _reasons(ids: pa.Array, form: str, valence: pa.Array, energy: pa.Array) -> pa.Array:
    """Why each row is refused, by itself, the value it is refused for after a colon;
    null where it is not."""
    why = pa.nulls(len(ids), TEXT)
    no_id = pc.invert(pc.fill_null(pc.match_substring_regex(ids, form), False))
    why = pc.if_else(no_id, "its id is missing or not of the form that such ids have", why)
    for name, column in zip(VALUES, (valence, energy), strict=True):
        text = pc.fill_null(pc.utf8_trim_whitespace(column), "")
        number = pc.match_substring_regex(text, NUMBER_FORM)
        odd = pc.invert(pc.or_(number, pc.match_substring_regex(text, MISSING_FORM)))
        values = _numbers(pc.if_else(number, text, ""))
        outside = pa.array((values < 0) | (values > 1))
        shown = pc.utf8_slice_codeunits(text, 0, 40)
        why = pc.coalesce(
            why,
            pc.if_else(
                odd,
                pc.binary_join_element_wise(f"{name} is not a number:", shown, " "),
                None,
            ),
            pc.if_else(
                outside,
                pc.binary_join_element_wise(f"{name} is not in [0, 1]:", shown, " "),
                None,
            ),
        )
    return why


def _doubled(
    ids: pa.Array, why: pa.Array, valence: np.ndarray, energy: np.ndarray
) -> pa.Array:
    """Why rows that share an id are refused: all of them where their values differ, else
    all but the first."""
    # -1 stands for a missing value, so that a row with and a row without one differ.
    values = {
        name: np.nan_to_num(column, nan=-1.0)
        for name, column in zip(VALUES, (valence, energy), strict=True)
    }
    table = pa.table({"id": ids, "row": np.arange(len(ids)), **values}).filter(
        pc.is_null(why)
    )
    wants = [
        ("row", "min"),
        ("row", "count"),
        *((name, by) for name in VALUES for by in ("min", "max")),
    ]
    groups = table.group_by("id", use_threads=False).aggregate(wants)
    differ = pc.or_(
        *(pc.not_equal(groups[f"{name}_min"], groups[f"{name}_max"]) for name in VALUES)
    )
    at = pc.index_in(ids, groups["id"].combine_chunks())
    first = groups["row_min"].take(at)
    again = pc.not_equal(first, pa.array(np.arange(len(ids))))
    return pc.if_else(
        pc.fill_null(differ.take(at), False),
        "another row gives this id other values",
        pc.if_else(
            pc.fill_null(again, False), "an earlier row gives this id the same values", None
        ),
    ).combine_chunks()


def _numbers(column: pa.Array) -> np.ndarray:
    """float64 of strings that are numbers, NaN where they are not."""
    text = pc.fill_null(pc.utf8_trim_whitespace(column), "")
    number = pc.match_substring_regex(text, NUMBER_FORM)
    return pc.cast(pc.if_else(number, pc.utf8_ltrim(text, "+"), None), NUMBER).to_numpy(
        zero_copy_only=False
    )


def _tracks(table: pa.Table) -> pa.Table:
    """What the table says about MSD tracks besides the labels; no rows where it goes by
    other ids."""
    columns = [name for name in ("track_id", *TRACK_COLUMNS) if name in table.column_names]
    if "track_id" not in columns:
        return pa.table({"track_id": pa.array([], TEXT)})
    return pa.table(
        {
            name: _ids(table[name]) if name == "track_id" else _strings(table[name])
            for name in columns
        }
    )


def _links(table: pa.Table) -> pa.Table:
    """The Spotify ids of each track: a column spotify_id, or spotify_ids with blanks
    between them."""
    column = next(
        (name for name in ("spotify_id", "spotify_ids") if name in table.column_names), None
    )
    if column is None or "track_id" not in table.column_names:
        return LINKS.empty_table()
    lists = pc.utf8_split_whitespace(pc.fill_null(_ids(table[column]), ""))
    track = _ids(table["track_id"]).take(pc.list_parent_indices(lists))
    links = pa.table([track, pc.list_flatten(lists)], LINKS)
    return links.filter(pc.not_equal(links["spotify_id"], ""))
