"""WriteRelease: the coat around publishing, which turns song shards and their catalog into
the files of each split."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.io import files
from pipelines.io.tables import PARQUET, ROWS_PER_GROUP, read_columns
from pipelines.layout import DATA, shard_name, shard_path, song_shards
from schemas.columns import RELEASE, VERDICTS
from schemas.manifest import Shard


class HashedStream:
    """A stream that knows the hash and the count of the bytes written to it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._hash, self.n_bytes = stream, hashlib.sha256(), 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.n_bytes += len(data)
        return self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()

    def tell(self) -> int:
        return self.n_bytes

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class SplitWriter:
    """Rows of one split of one shard, in row groups of a fixed size whatever pieces they
    come in."""

    def __init__(self, path: str, split: str, stream: IO[bytes]) -> None:
        self._path, self._split = path, split
        self._stream = HashedStream(stream)
        self._writer = pq.ParquetWriter(self._stream, RELEASE, **PARQUET)
        self._waiting = RELEASE.empty_table()
        self._rows = 0

    def add(self, rows: pa.Table) -> None:
        self._waiting = pa.concat_tables([self._waiting, rows])
        while self._waiting.num_rows >= ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        rows, self._waiting = (
            self._waiting.slice(0, ROWS_PER_GROUP),
            self._waiting.slice(ROWS_PER_GROUP),
        )
        self._rows += rows.num_rows
        self._writer.write_table(rows.combine_chunks(), row_group_size=ROWS_PER_GROUP)

    def close(self) -> Shard:
        if self._waiting.num_rows:
            self._flush()
        self._writer.close()
        return Shard(
            self._path, self._split, self._rows, self._stream.n_bytes, self._stream.sha256
        )


@dataclass(frozen=True)
class Part:
    """Files to write in one pass: for each split the `index`th of its `n_files`, with the
    kept songs of these song shards."""

    splits: tuple[str, ...]
    index: int
    n_files: int
    song_shards: tuple[int, ...]


def parts_of(n_files: Mapping[str, int], n_shards: int) -> list[Part]:
    """The song shards dealt out to each split's files, in order and evenly; splits of as many
    files are written in one pass."""
    splits: dict[int, list[str]] = {}
    for split, n in n_files.items():
        splits.setdefault(n, []).append(split)
    return [
        Part(
            tuple(of),
            index,
            n,
            tuple(range(*song_shards(index, n, n_shards))),
        )
        for n, of in splits.items()
        for index in range(n)
    ]


def write_part(
    number: int,
    parts: Sequence[Part],
    corpus: str,
    catalog_at: str,
    release: str,
    n_shards: int,
) -> list[Shard]:
    """The kept songs of the song shards of one of the parts, with their verdicts, as one file
    a split; gives what was written."""
    part = parts[number]
    with ExitStack() as stack:
        writers = {}
        for split in part.splits:
            name = f"{DATA}/{shard_name(split, part.index, part.n_files)}"
            stream = stack.enter_context(
                files.atomic(files.join(release, *name.split("/")))
            )
            writers[split] = SplitWriter(name, split, stream)
        for index in part.song_shards:
            catalog = read_columns(shard_path(catalog_at, "catalog", index, n_shards))
            for songs, verdicts in in_step(
                shard_path(corpus, "songs", index, n_shards), catalog
            ):
                for split, writer in writers.items():
                    writer.add(_kept(songs, verdicts, split))
        return [writer.close() for writer in writers.values()]


def _kept(songs: pa.Table, verdicts: pa.Table, split: str) -> pa.Table:
    """The rows of a split, songs and verdicts side by side."""
    chosen = pc.and_(verdicts["kept"], pc.equal(verdicts["split"], split))
    columns = [
        *songs.filter(chosen).columns,
        *verdicts.select([field.name for field in VERDICTS]).filter(chosen).columns,
    ]
    return pa.Table.from_arrays(columns, schema=RELEASE)


def in_step(songs_path: str, catalog: pa.Table) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Row groups of songs with the catalog rows of the same songs; raises ValueError
    where the two part."""
    at = 0
    with files.open_input(songs_path) as stream:
        parquet = pq.ParquetFile(stream)
        for group in range(parquet.num_row_groups):
            songs = parquet.read_row_group(group)
            verdicts = catalog.slice(at, songs.num_rows)
            at += songs.num_rows
            if songs["song_id"].to_pylist() != verdicts["song_id"].to_pylist():
                raise ValueError(f"{songs_path} and its catalog hold different songs")
            yield songs, verdicts
    if at != catalog.num_rows:
        raise ValueError(f"{songs_path} has {at} songs, its catalog {catalog.num_rows}")
