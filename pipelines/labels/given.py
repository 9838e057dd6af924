"""Published splits: a list of songs and the split that its authors gave each, taken as it
is."""

import io
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from pipelines.labels.splits import SPLITS

TEXT = pa.string()
# name: a song_id or source_key; split: one of SPLITS.
GIVEN = pa.schema([("name", TEXT), ("split", TEXT)])
# What a row may be about; a list goes by the first of these it has. A file is the
# source_key of its song, with or without its suffix.
NAMED_BY = ("song_id", "source_key", "md5", "file")
ALSO = {"val": "validation", "valid": "validation", "dev": "validation", "eval": "test"}


def read_given(data: bytes, name: str) -> pa.Table:
    """GIVEN from a CSV file, or a tab-separated one where its name ends in .tsv.

    Raises ValueError where a column is not there, a split is none, or a song has two.
    """
    delimiter = "\t" if name.endswith(".tsv") else ","
    types = dict.fromkeys((*NAMED_BY, "split"), TEXT)
    try:
        table = csv.read_csv(
            io.BytesIO(data),
            parse_options=csv.ParseOptions(delimiter=delimiter),
            convert_options=csv.ConvertOptions(column_types=types),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise ValueError(f"{name} is no list of splits: {error}") from error
    column = next((one for one in NAMED_BY if one in table.column_names), None)
    if column is None or "split" not in table.column_names:
        raise ValueError(
            f"{name} lacks a column split or one of {', '.join(NAMED_BY)}: "
            f"it has {', '.join(table.column_names)}"
        )
    splits = [ALSO.get(split, split) for split in _lower(table["split"])]
    wrong = sorted({split for split in splits if split not in SPLITS})
    if wrong:
        raise ValueError(f"{name}: {wrong[0]!r} is no split, give {', '.join(SPLITS)}")
    given = pa.table([table[column], splits], GIVEN)
    return _each_once(given, name)


def _lower(column: pa.ChunkedArray) -> list[str]:
    return pc.fill_null(pc.utf8_lower(pc.utf8_trim_whitespace(column)), "").to_pylist()


def _each_once(given: pa.Table, name: str) -> pa.Table:
    rows = given.group_by(GIVEN.names, use_threads=False).aggregate([])
    if pc.count_distinct(rows["name"]).as_py() != len(rows):
        raise ValueError(f"{name} gives a song two splits: keep one line for each")
    return rows.select(GIVEN.names).sort_by("name")


def merge_given(tables: list[pa.Table]) -> pa.Table:
    """GIVEN of several files; raises ValueError where they contradict each other."""
    return _each_once(pa.concat_tables([GIVEN.empty_table(), *tables]), "splits.given")


def given_splits(
    song_ids: list[str], source_keys: list[str], given: pa.Table
) -> np.ndarray:
    """The published split of each song, an index of SPLITS, -1 for none (int8)."""
    names, splits = given["name"].to_pylist(), given["split"].to_pylist()
    split_of = {name: SPLITS.index(one) for name, one in zip(names, splits, strict=True)}
    bare = {
        str(PurePosixPath(name).with_suffix("")): split
        for name, split in split_of.items()
        if name
    }
    result = np.full(len(song_ids), -1, np.int8)
    if not split_of:
        return result
    for row, (song_id, key) in enumerate(zip(song_ids, source_keys, strict=True)):
        known = split_of.get(song_id, split_of.get(key))
        result[row] = bare.get(key, -1) if known is None else known
    return result
