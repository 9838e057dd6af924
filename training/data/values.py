"""Values: what the columns of a release's shard must hold to be read, refused by column and row."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.columns import RELEASE
from schemas.keys import NO_KEY
from schemas.remi import N_BEATS, VOCABULARY_SIZE
from schemas.song import MAX_TICKS, TRACKS
from training.errors import RunFailed

LEAST_BPM, MOST_BPM = 1e-3, 1e6
# The least and the most of each column of numbers, or of the numbers in its lists
BOUNDS: dict[str, tuple[float, float]] = {
    "note_start": (0, MAX_TICKS), "note_duration": (1, MAX_TICKS), "note_pitch": (0, 127),
    "note_velocity": (1, 127), "note_track": (0, len(TRACKS) - 1), "bar_start": (0, MAX_TICKS),
    "bar_length": (1, MAX_TICKS), "bar_numerator": (1, 255), "bar_denominator": (1, 255),
    "tempo_start": (0, MAX_TICKS), "tempo_bpm": (LEAST_BPM, MOST_BPM),
    "remi": (0, VOCABULARY_SIZE - 1), "remi_bar_offset": (0, MAX_TICKS), "key": (0, NO_KEY),
    "label_rank": (0, 1), "valence_class": (0, 1), "arousal_class": (0, 1),
}  # fmt: skip
# Columns of as many values as another, times so many, plus so many
LENGTHS = {
    "note_duration": ("note_start", 1, 0), "note_pitch": ("note_start", 1, 0),
    "note_velocity": ("note_start", 1, 0), "note_track": ("note_start", 1, 0),
    "bar_length": ("bar_start", 1, 0), "bar_numerator": ("bar_start", 1, 0),
    "bar_denominator": ("bar_start", 1, 0), "tempo_bpm": ("tempo_start", 1, 0),
    "remi_bar_offset": ("bar_start", 1, 1), "key": ("bar_start", 1, 0),
    "rhythm_onsets": ("bar_start", N_BEATS, 0), "rhythm_sounding": ("bar_start", N_BEATS, 0),
}  # fmt: skip
MEND = "fetch the release again, or build it anew"


def check_values(path: str, table: pa.Table, columns: list[str]) -> None:
    """Raise RunFailed for the first column that is missing, of another type, empty where it must
    not be, or out of its bounds."""
    for name in columns:
        if name not in table.column_names:
            raise RunFailed(f"{path} has no column {name}: {MEND}")
        wanted = RELEASE.field(name)
        if not table.schema.field(name).type.equals(wanted.type):
            found = table.schema.field(name).type
            raise RunFailed(f"{path} has {found} in {name}, not {wanted.type}: {MEND}")
        if table[name].null_count and not wanted.nullable:
            row = pc.index(pc.is_null(table[name]), True).as_py()
            raise RunFailed(f"{_place(path, table, row)}: {name} is empty: {MEND}")
    for name, (least, most) in BOUNDS.items():
        _check_bounds(path, table, name, least, most)
    for name, (other, times, more) in LENGTHS.items():
        _check_length(path, table, name, (other, times, more))


def _place(path: str, table: pa.Table, row: int) -> str:
    return f"{path} row {row} ({table['song_id'][row].as_py()})"


def _lengths(column: pa.ChunkedArray) -> np.ndarray:
    return pc.list_value_length(column).to_numpy().astype(np.int64)


def _check_bounds(path: str, table: pa.Table, name: str, least: float, most: float) -> None:
    column = table[name]
    rows = np.arange(len(column))
    if pa.types.is_list(column.type):
        rows = np.repeat(rows, _lengths(column))
        column = pc.list_flatten(column)
        if column.null_count:
            row = rows[pc.index(pc.is_null(column), True).as_py()]
            raise RunFailed(
                f"{_place(path, table, row)}: {name} has an empty value: {MEND}"
            )
    present = column.is_valid().to_numpy()
    values = column.filter(column.is_valid()).to_numpy()
    # Written so that NaN, which is neither, is wrong
    wrong = np.flatnonzero(~((values >= least) & (values <= most)))
    if len(wrong):
        row, value = rows[present][wrong[0]], values[wrong[0]]
        span = f"not from {least:g} to {most:g}"
        raise RunFailed(f"{_place(path, table, row)}: {name} has {value:g}, {span}: {MEND}")


def _check_length(
    path: str, table: pa.Table, name: str, wanted: tuple[str, int, int]
) -> None:
    other, times, more = wanted
    found, asked = _lengths(table[name]), _lengths(table[other]) * times + more
    wrong = np.flatnonzero(found != asked)
    if len(wrong):
        row = wrong[0]
        says = f"{name} has {found[row]} values where {other} asks for {asked[row]}"
        raise RunFailed(f"{_place(path, table, row)}: {says}: {MEND}")
    if name == "remi_bar_offset":
        _check_offsets(path, table)


def _check_offsets(path: str, table: pa.Table) -> None:
    """Each song's offsets rise from 0 to the number of its tokens."""
    lengths = _lengths(table["remi"])
    offsets = table["remi_bar_offset"]
    for row, length in enumerate(lengths.tolist()):
        of_song = offsets[row].values.to_numpy()
        sound = of_song[0] == 0 and of_song[-1] == length and (np.diff(of_song) >= 0).all()
        if not sound:
            raise RunFailed(
                f"{_place(path, table, row)}: remi_bar_offset does not rise from 0 to "
                f"{length}: {MEND}"
            )
