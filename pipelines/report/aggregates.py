"""Aggregates: the numbers that the report's plots need of a release, read by column and
batch by batch, never whole songs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.io import files
from schemas.columns import RELEASE

# Bars are looked at in the first shards that hold this many songs: songs go to shards by
# hash, so they are a fair sample.
MOST_SONGS = 20_000
# Tokens a bar are counted one by one up to here, and together from here on.
MOST_TOKENS = 512
SONG_COLUMNS = [
    "song_id", "source", "genre", "title", "artist", "msd_title", "msd_artist", "split", "n_notes", "n_bars", "seconds",
    "song_key", "track_notes", "valence", "arousal", "valence_class", "arousal_class", "quadrant", "label_rank",
    "label_spread", "label_trust", "trusted",
]  # fmt: skip
BAR_COLUMNS = [
    "remi_bar_offset",
    "rhythm_onsets",
    "key",
    "bar_numerator",
    "bar_denominator",
    "valence_class",
    "arousal_class",
]


@dataclass(frozen=True, eq=False)
class Bars:
    """What the bars of n_songs songs say.

    tokens: bars by number of tokens, int64[MOST_TOKENS + 1], the last also for more;
    meters: bars by (numerator, denominator); onsets_per_bar, minor_share: a value a song,
    float64; valence_class, arousal_class: a song's, -1 for none.
    """

    n_songs: int
    tokens: np.ndarray
    meters: Mapping[tuple[int, int], int]
    onsets_per_bar: np.ndarray
    minor_share: np.ndarray
    valence_class: np.ndarray
    arousal_class: np.ndarray


def read_songs(release: str, shards: Sequence[Mapping[str, Any]]) -> pa.Table:
    """SONG_COLUMNS of every song, in the order of the manifest's shards, and `shard`,
    the number of its shard there."""
    empty = pa.schema([RELEASE.field(name) for name in SONG_COLUMNS]).empty_table()
    tables = [empty.append_column("shard", pa.array([], pa.int32()))]
    for number, shard in enumerate(shards):
        with files.open_input(files.join(release, *shard["path"].split("/"))) as stream:
            table = pq.read_table(stream, columns=SONG_COLUMNS)
        tables.append(
            table.append_column(
                "shard", pa.array(np.full(table.num_rows, number, np.int32))
            )
        )
    return pa.concat_tables(tables)


def read_song(release: str, path: str, song_id: str) -> dict[str, Any]:
    """The whole row of one song of a shard."""
    with files.open_input(files.join(release, *path.split("/"))) as stream:
        return pq.read_table(stream, filters=[("song_id", "=", song_id)]).to_pylist()[0]


def sampled_shards(
    shards: Sequence[Mapping[str, Any]], most: int = MOST_SONGS
) -> list[Mapping[str, Any]]:
    """The first shards of every split that together have at least `most` songs, or all."""
    by_split: dict[str, list[Mapping[str, Any]]] = {}
    for shard in shards:
        by_split.setdefault(shard["split"], []).append(shard)
    chosen: list[Mapping[str, Any]] = []
    for level in zip_longest(*by_split.values()):
        if sum(shard["rows"] for shard in chosen) >= most:
            break
        chosen += [shard for shard in level if shard]
    return chosen


def read_bars(release: str, shards: Sequence[Mapping[str, Any]]) -> Bars:
    """Bars of the sampled shards."""
    tokens, meters = np.zeros(MOST_TOKENS + 1, np.int64), Counter[tuple[int, int]]()
    songs: dict[str, list[np.ndarray]] = {
        name: [np.empty(0)] for name in ("onsets", "minor", "valence", "arousal")
    }
    for batch in _batches(release, sampled_shards(shards)):
        tokens += tokens_per_bar(*_list(batch, "remi_bar_offset"))
        _, numerators = _list(batch, "bar_numerator")
        _, denominators = _list(batch, "bar_denominator")
        pairs, counts = np.unique(
            np.stack([numerators, denominators]), axis=1, return_counts=True
        )
        meters.update(
            {(int(a), int(b)): int(n) for (a, b), n in zip(pairs.T, counts, strict=True)}
        )
        offsets, key = _list(batch, "key")
        n_bars = np.diff(offsets)
        onset_offsets, onsets = _list(batch, "rhythm_onsets")
        songs["onsets"].append(
            np.add.reduceat(onsets.astype(np.int64), onset_offsets[:-1]) / n_bars
        )
        songs["minor"].append(
            np.add.reduceat(((key >= 12) & (key < 24)).astype(np.int64), offsets[:-1])
            / n_bars
        )
        for axis in ("valence", "arousal"):
            songs[axis].append(
                batch[f"{axis}_class"].fill_null(-1).to_numpy(zero_copy_only=False)
            )
    whole = {name: np.concatenate(parts) for name, parts in songs.items()}
    return Bars(
        len(whole["onsets"]),
        tokens,
        meters,
        whole["onsets"],
        whole["minor"],
        whole["valence"],
        whole["arousal"],
    )


def tokens_per_bar(offsets: np.ndarray, bar_offsets: np.ndarray) -> np.ndarray:
    """Bars by number of tokens, from songs' lists of n_bars + 1 token offsets laid end
    to end; int64[MOST_TOKENS + 1]."""
    steps = np.diff(bar_offsets)
    within = np.ones(len(steps), bool)
    # From one song's last offset to the next one's first is no bar
    within[offsets[1:-1] - 1] = False
    return np.bincount(np.minimum(steps[within], MOST_TOKENS), minlength=MOST_TOKENS + 1)


def _batches(release: str, shards: Sequence[Mapping[str, Any]]) -> Iterator[pa.RecordBatch]:
    for shard in shards:
        with files.open_input(files.join(release, *shard["path"].split("/"))) as stream:
            for batch in pq.ParquetFile(stream).iter_batches(columns=BAR_COLUMNS):
                if batch.num_rows:
                    yield batch


def _list(batch: pa.RecordBatch, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(offsets from 0, values) of a list column."""
    column = batch.column(name)
    offsets = column.offsets.to_numpy()
    return offsets - offsets[0], column.flatten().to_numpy(zero_copy_only=False)


def separation(low: np.ndarray, high: np.ndarray) -> float:
    """How often a value of `high` is over one of `low`, ties half (the area under the ROC
    curve); NaN where one is empty."""
    if not len(low) or not len(high):
        return float("nan")
    low = np.sort(low)
    under = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(under.mean() / (2 * len(low)))
