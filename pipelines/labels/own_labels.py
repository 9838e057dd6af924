"""Labels of one's own: a table by file, song, md5 or MSD track, or a pattern in the names of
files, as [affect.own.NAME] of a build says.

A quadrant or a class becomes a value of 0 or 1 on its axis, so that such a table wants a
fixed threshold; numbers are brought to [0, 1] from the scale that the table is stated to
have, or by their rank. What cannot be used is a row among the refused, with its reason.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.labels import QUADRANT_CLASSES
from schemas.settings import PATH

# What a row may be about; a table goes by the first of these it has.
NAMED_BY = ("song_id", "file", "md5", "track_id")
AXES = ("valence", "arousal")
CLASSES = ("quadrant", "emotion", "valence_class", "arousal_class")
COLUMNS = (*NAMED_BY, *CLASSES, *AXES, "group", "split")
RANK = "rank"
MISSING = ("", "na", "n/a", "nan", "null", "none")


@dataclass(frozen=True)
class OwnLabels:
    """One table, [affect.own.NAME].

    table: CSV or Parquet file, "" where names say all; columns: its names of ours
    (`valence = "v"`); label_pattern: a regular expression sought in each song's key, whose
    named groups are columns (`quadrant`, `emotion`, `valence`, `arousal`, their `_class`,
    `group`, `split`); song in place of group is the same. source: the source whose songs it
    labels, "" for all. emotions: the quadrant of each word of `emotion`. scale: [low, high] of
    valence and arousal, or "rank", which takes them by their order.

    axes: what a table to compare with speaks of: valence, arousal or both.

    license, citation: what the card says of it. Raises ValueError where one of these cannot
    be used.
    """

    license: str
    citation: str
    table: str = field(default="", metadata=PATH)
    columns: Mapping[str, str] = field(default_factory=dict)
    label_pattern: str = ""
    source: str = ""
    emotions: Mapping[str, str] = field(default_factory=dict)
    scale: tuple[float, ...] | str = (0.0, 1.0)
    axes: tuple[str, ...] = AXES
    url: str = ""

    def __post_init__(self) -> None:
        if not self.license.strip() or not self.citation.strip():
            raise ValueError(
                "license and citation must say something: they go into the card"
            )
        unknown = sorted(set(self.columns) - set(COLUMNS))
        if unknown:
            raise ValueError(f"columns: no {unknown[0]!r}: known are {', '.join(COLUMNS)}")
        for emotion, quadrant in self.emotions.items():
            if quadrant not in QUADRANT_CLASSES:
                raise ValueError(
                    f"emotions: {emotion} is {', '.join(QUADRANT_CLASSES)}, not {quadrant!r}"
                )
        if not self.axes or set(self.axes) - set(AXES):
            raise ValueError(f"axes are of {', '.join(AXES)}, not {', '.join(self.axes)}")
        if self.scale != RANK and not _is_scale(self.scale):
            raise ValueError(f"scale must be [low, high] or {RANK!r}, not {self.scale!r}")
        groups_of(self.label_pattern)


def _is_scale(scale: Any) -> bool:
    return not isinstance(scale, str) and len(scale) == 2 and scale[0] < scale[1]


def groups_of(pattern: str) -> set[str]:
    """The columns that a pattern gives; raises ValueError where it is none, or gives no
    column."""
    if not pattern:
        return set()
    try:
        names = set(re.compile(pattern).groupindex)
    except re.error as error:
        raise ValueError(f"label_pattern {pattern!r} is no pattern: {error}") from error
    unknown = sorted(names - {*COLUMNS, "song"})
    if unknown or not names:
        says = f"(?P<{unknown[0]}>" if unknown else "no group"
        raise ValueError(
            f"label_pattern has {says}: name groups quadrant, emotion, valence, arousal, group or split"
        )
    return names


def read_rows(data: bytes, name: str) -> list[dict[str, str]]:
    """The rows of a CSV (commas, semicolons or tabs) or Parquet file, as text; raises
    ValueError where it cannot be read or has none."""
    try:
        if name.endswith(".parquet"):
            table = pq.read_table(io.BytesIO(data))
            plain = table.to_pylist()
            rows = [{key: _text(value) for key, value in row.items()} for row in plain]
        else:
            text = data.decode("utf-8-sig")
            head = text.partition("\n")[0]
            delimiter = max(",;\t", key=head.count)
            reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
            rows = [
                {key: _text(value) for key, value in row.items() if key} for row in reader
            ]
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{name} cannot be read as a label table, give CSV or Parquet: {error}"
        ) from error
    if not rows:
        raise ValueError(f"{name} has no rows: give a table with labels")
    return rows


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def named_by(own: OwnLabels, rows: Sequence[Mapping[str, str]], name: str) -> str:
    """The column by which a table goes; raises ValueError where it has none, or a column
    that the settings name is not there."""
    there = list(rows[0])
    absent = [theirs for theirs in own.columns.values() if theirs not in there]
    if absent:
        raise ValueError(
            f"{name} lacks the column {absent[0]} that columns names: it has {', '.join(there)}"
        )
    for ours in NAMED_BY:
        if own.columns.get(ours, ours) in there:
            return ours
    raise ValueError(
        f"{name} lacks a column {', '.join(NAMED_BY)}: it has {', '.join(there)}; "
        "say which is which under columns"
    )


def in_our_words(own: OwnLabels, row: Mapping[str, str]) -> dict[str, str]:
    """The columns of a row that are ours, by our names, those that say something."""
    found = {ours: row.get(own.columns.get(ours, ours), "") for ours in COLUMNS}
    return {name: value for name, value in found.items() if value.lower() not in MISSING}
