"""The coats around near-duplicates: columns of keys by bucket, candidate pairs by block,
verified pairs out.

Elements are arrays, thousands of them and not millions. A song's number is its row counted
over all shards in order, so it is the same on any runner.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.dedupe.candidates import (
    DedupeConfig,
    Pairs,
    candidate_pairs,
    join_keys,
    key_shares,
    shared_keys,
)
from pipelines.dedupe.clusters import PAIRS, by_block, shared_shingles, verify_pairs
from pipelines.io import files
from pipelines.io.tables import read_columns
from pipelines.labels.corroboration import ALIKE, contained, of_one_title
from pipelines.labels.names import TITLE, normalise
from pipelines.layout import shard_path

N_BUCKETS = 16
SONGS_PER_BLOCK = 50_000
SIZES = "sizes"


@dataclass(frozen=True)
class Corpus:
    """Where the signatures stand: the ingest's folder and how many songs each shard has."""

    folder: str
    rows: tuple[int, ...]

    def first(self, index: int) -> int:
        """The number of a shard's first song."""
        return sum(self.rows[:index])

    def signatures(self, index: int) -> pa.Table:
        """song_id and shingles of a shard's songs."""
        return read_columns(shard_path(self.folder, "signatures", index, len(self.rows)))

    def blocks(self) -> np.ndarray:
        """The block of every song: shards in order, as many as make SONGS_PER_BLOCK."""
        starts = np.cumsum(self.rows) - self.rows
        return np.repeat(starts // SONGS_PER_BLOCK, self.rows)


def corpus_of(folder: str, n_shards: int) -> Corpus:
    """The corpus ingested at a folder."""
    return Corpus(
        folder,
        tuple(
            _n_rows(shard_path(folder, "signatures", i, n_shards)) for i in range(n_shards)
        ),
    )


def _n_rows(path: str) -> int:
    with files.open_input(path) as stream:
        return pq.read_metadata(stream).num_rows


class NearPairs(beam.PTransform):  # type: ignore[misc]  # Beam is untyped here
    """Shard numbers → tables of PAIRS over the group thresholds."""

    def __init__(self, corpus: Corpus, config: DedupeConfig) -> None:
        super().__init__()
        self._with = corpus, config

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        keys = shards | "Keys" >> beam.FlatMap(read_keys, *self._with).with_outputs(
            SIZES, main="keys"
        )
        shared = (
            keys.keys
            | "By key" >> beam.GroupByKey()
            | "Shared keys" >> beam.Map(shared_in_bucket)
        )
        return (
            {"shared": shared, "sizes": keys[SIZES]}
            | "All keys" >> beam.CoGroupByKey()
            | "Candidates" >> beam.FlatMap(candidates_by_block, *self._with)
            | "Spread blocks" >> beam.Reshuffle()
            | "Verify" >> beam.Map(verify_block, *self._with)
        )


def read_keys(index: int, corpus: Corpus, config: DedupeConfig) -> Iterator[Any]:
    """(bucket of the key space, (keys, songs)) of one shard, and its songs' numbers of
    shingles on the side."""
    shingles = corpus.signatures(index)["shingles"].combine_chunks()
    offsets = shingles.offsets.to_numpy()
    keys, songs = join_keys(shingles.values.to_numpy(), offsets, config)
    # The low bits: a key is in the low end of the hash space, so its high bits say nothing.
    bucket = (keys % np.uint64(N_BUCKETS)).astype(np.int64)
    for which in range(N_BUCKETS):
        here = bucket == which
        yield which, (keys[here], songs[here] + np.int32(corpus.first(index)))
    yield beam.pvalue.TaggedOutput(SIZES, (0, (index, np.diff(offsets))))


def shared_in_bucket(
    bucket: tuple[int, Iterable[tuple[np.ndarray, np.ndarray]]],
) -> tuple[int, tuple[np.ndarray, np.ndarray]]:
    """(0, (songs, counts)): who holds each key of a bucket."""
    keys, songs = zip(*bucket[1], strict=True)
    return 0, shared_keys(np.concatenate(keys), np.concatenate(songs))


def candidates_by_block(
    keyed: tuple[int, Mapping[str, Iterable[tuple[Any, np.ndarray]]]],
    corpus: Corpus,
    config: DedupeConfig,
) -> Iterator[tuple[np.ndarray, Pairs]]:
    """(numbers of shingles, pairs) for each two blocks that have candidates."""
    songs, counts = zip(*keyed[1]["shared"], strict=True)
    sizes = np.concatenate(
        [size for _, size in sorted(keyed[1]["sizes"], key=lambda shard: shard[0])]
    )
    pairs = candidate_pairs(
        np.concatenate(songs),
        np.concatenate(counts),
        sizes,
        key_shares(sizes, config),
        config,
    )
    for _, _, part in by_block(pairs, corpus.blocks()):
        yield sizes, part


def verify_block(
    block: tuple[np.ndarray, Pairs], corpus: Corpus, config: DedupeConfig
) -> pa.Table:
    """PAIRS over the group thresholds among the candidates of two blocks."""
    sizes, likely = block
    ids, signatures = read_signatures(
        np.unique(np.concatenate([likely.first, likely.second])), corpus
    )
    pairs, verdicts = verify_pairs(likely, sizes, signatures, config)
    a, b = ([ids[song] for song in songs.tolist()] for songs in (pairs.first, pairs.second))
    return pa.table(
        [a, b, verdicts.jaccard, verdicts.containment, verdicts.duplicate],
        names=PAIRS.names,
    ).cast(PAIRS)


def read_signatures(
    songs: np.ndarray, corpus: Corpus
) -> tuple[dict[int, str], dict[int, np.ndarray]]:
    """song_id and shingles of some songs, by number; shards without any of them are not
    read."""
    ids: dict[int, str] = {}
    signatures: dict[int, np.ndarray] = {}
    for index, n_rows in enumerate(corpus.rows):
        first = corpus.first(index)
        mine = songs[(songs >= first) & (songs < first + n_rows)]
        if not len(mine):
            continue
        table = corpus.signatures(index).take(mine - first)
        shingles = table["shingles"].combine_chunks()
        offsets, values = shingles.offsets.to_numpy(), shingles.values.to_numpy()
        for place, (song, song_id) in enumerate(
            zip(mine.tolist(), table["song_id"].to_pylist(), strict=True)
        ):
            ids[song], signatures[song] = (
                song_id,
                values[offsets[place] : offsets[place + 1]],
            )
    return ids, signatures


class SameTitles(beam.PTransform):  # type: ignore[misc]  # Beam is untyped here
    """MATCHED tables → tables of ALIKE: how much songs of one matched title share."""

    def __init__(self, corpus: Corpus, config: DedupeConfig) -> None:
        super().__init__()
        self._with = corpus, config

    def expand(self, matched: beam.PCollection) -> beam.PCollection:
        return (
            matched
            | "Titles" >> beam.Map(pa.Table.select, ["song_id", "msd_title"])
            | "One" >> beam.WithKeys(0)
            | "All titles" >> beam.GroupByKey()
            | "Of one title" >> beam.FlatMap(titles_by_block, self._with[0])
            | "Spread titles" >> beam.Reshuffle()
            | "Compare" >> beam.Map(compare_block, *self._with)
        )


def titles_by_block(
    keyed: tuple[int, Iterable[pa.Table]], corpus: Corpus
) -> Iterator[Pairs]:
    """Pairs of songs of one title, by the two blocks of songs whose signatures they need."""
    songs = pa.concat_tables(keyed[1]).sort_by("song_id")
    ids = pa.concat_tables(
        read_columns(
            shard_path(corpus.folder, "signatures", i, len(corpus.rows)), ["song_id"]
        )
        for i in range(len(corpus.rows))
    )["song_id"]
    numbers = pc.index_in(songs["song_id"], ids.combine_chunks()).to_numpy()
    pairs = of_one_title(numbers, normalise(songs["msd_title"], TITLE).combine_chunks())
    for _, _, part in by_block(pairs, corpus.blocks()):
        yield part


def compare_block(pairs: Pairs, corpus: Corpus, config: DedupeConfig) -> pa.Table:
    """ALIKE of the pairs of two blocks."""
    numbers = np.unique(np.concatenate([pairs.first, pairs.second]))
    ids, signatures = read_signatures(numbers, corpus)
    shared = shared_shingles(pairs.first, pairs.second, signatures)
    sizes = np.zeros(int(numbers.max(initial=-1)) + 1, np.int64)
    for song, signature in signatures.items():
        sizes[song] = len(signature)
    found = Pairs(pairs.first, pairs.second, shared)
    a, b = ([ids[song] for song in songs.tolist()] for songs in (pairs.first, pairs.second))
    return pa.table([a, b, contained(found, sizes, config.min_shared)], ALIKE)
