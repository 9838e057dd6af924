"""WriteSongs: the coat around reading, which turns the keys of one shard into one Parquet
file of songs.

A shard stands under its name only when it is whole, with its spec hash and its counts in
its footer; the rejects and the signatures of the same songs stand beside it, written before
it.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam

from pipelines.beam.reading import Reading, make_row
from pipelines.beam.sandbox import Sandbox
from pipelines.io import files
from pipelines.io.tables import table_writer, write_rows
from pipelines.layout import read_plan, shard_path
from schemas.columns import REJECTS, SIGNATURES, SONGS
from schemas.contracts import Item, Limits
from schemas.reject import BadInput, Reason, Reject

SPEC_KEY, READ_KEY = b"moodroll.spec_sha256", b"moodroll.read"


@dataclass(frozen=True)
class Task:
    """One shard to write: its number and the hash of all that decides its bytes."""

    index: int
    n_shards: int
    spec_sha256: str


class WriteSongs(beam.DoFn):  # type: ignore[misc]  # Beam is untyped here
    """Task → Task, once songs, signatures and rejects of that shard stand below `out`."""

    def __init__(self, out: str, reading: Reading) -> None:
        self._out, self._reading = out, reading
        self._sandbox: Sandbox | None = None

    def setup(self) -> None:
        self._sandbox = Sandbox(self._reading.limits.read_seconds)

    def teardown(self) -> None:
        if self._sandbox:
            self._sandbox.close()

    def process(self, task: Task) -> Iterator[Task]:
        assert self._sandbox is not None, "Beam calls setup before process"
        write_shard(self._out, task, self._reading, self._sandbox)
        yield task


def write_shard(out: str, task: Task, reading: Reading, sandbox: Sandbox) -> None:
    """Read the songs of one shard in order and write its three files; a bad file is a
    row among the rejects."""
    items = read_plan(out, task.index, task.n_shards)
    paths = {
        kind: shard_path(out, kind, task.index, task.n_shards)
        for kind in ("songs", "signatures", "rejects")
    }
    rejects: list[Reject] = []
    with ExitStack() as stack:
        # Contexts close in reverse: the songs' name, which says that the shard is done, is
        # given last.
        songs = stack.enter_context(table_writer(paths["songs"], SONGS))
        signatures = stack.enter_context(table_writer(paths["signatures"], SIGNATURES))
        tally = stack.enter_context(Tally(out, task.index))
        for item in items:
            outcome = read_song(item, reading, sandbox)
            tally.count(outcome)
            if isinstance(outcome, Reject):
                rejects.append(outcome)
                continue
            signatures.add({name: outcome[name] for name in SIGNATURES.names})
            songs.add({name: outcome[name] for name in SONGS.names})
        write_rows(paths["rejects"], REJECTS, map(vars, rejects))
        songs.note({SPEC_KEY: task.spec_sha256, READ_KEY: str(len(items))})


def read_song(item: Item, reading: Reading, sandbox: Sandbox) -> dict[str, Any] | Reject:
    """One row of the songs table, or why there is none."""
    parse, root, config = reading.sources[item.source]
    try:
        blobs = read_blobs(item, root, reading.limits)
        return sandbox.call(make_row, parse, item, blobs, config, reading)
    except BadInput as bad:
        return Reject(item.song_id, item.source, "ingest", bad.reason, bad.detail[:500])


def read_blobs(item: Item, root: str, limits: Limits) -> tuple[bytes, ...]:
    """The bytes of an item's files; raises BadInput where there are none to be had, or
    too many."""
    if item.n_bytes is None:
        raise BadInput(Reason.NOT_A_FILE, "its path is not a plain file")
    if item.n_bytes == 0:
        raise BadInput(Reason.EMPTY_FILE, "it has no bytes")
    if item.n_bytes > limits.max_file_bytes:
        raise BadInput(
            Reason.TOO_LARGE,
            f"{item.n_bytes} bytes, max_file_bytes {limits.max_file_bytes}",
        )
    try:
        return tuple(files.BeamFiles().read(root, path) for path in item.paths)
    except OSError as error:
        raise BadInput(Reason.UNREADABLE, error.strerror or type(error).__name__) from error


class Tally:
    """One byte a song in a small file, by which a launcher on the same machine sees how
    far a shard has come."""

    def __init__(self, out: str, index: int) -> None:
        self._path = Path(out, "progress", f"{index:05d}") if files.is_local(out) else None

    def __enter__(self) -> "Tally":
        self._stream = self._path.open("wb", buffering=0) if self._path else None
        return self

    def count(self, outcome: Any) -> None:
        if self._stream:
            self._stream.write(b"r" if isinstance(outcome, Reject) else b"k")

    def __exit__(self, *_: object) -> None:
        if self._stream:
            self._stream.close()
