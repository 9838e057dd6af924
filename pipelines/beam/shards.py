"""WriteSongs: the coat around reading, which turns the keys of one shard into one Parquet
file of songs. What could not be read for a fault that may pass is tried a second time.

A shard stands under its name only when it is whole, with its spec hash and its counts in
its footer; the rejects and the signatures of the same songs stand beside it, written before
it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam

from pipelines.beam.reading import Reading, make_row
from pipelines.beam.sandbox import Sandbox
from pipelines.io import files
from pipelines.io.tables import read_columns, table_writer, write_rows
from pipelines.layout import begun_path, inputs_path, read_plan, shard_path
from schemas.columns import REJECTS, SIGNATURES, SONGS
from schemas.contracts import Item, Limits
from schemas.reject import PASSING, BadInput, Reason, Reject

SPEC_KEY, READ_KEY = b"moodroll.spec_sha256", b"moodroll.read"


@dataclass(frozen=True)
class Task:
    """One shard to write: its number and the hash of all that decides its bytes.

    tries: songs of a shard that stands already, which could not be read for a fault that may have
    passed: where none can be read now, the shard stays.
    """

    index: int
    n_shards: int
    spec_sha256: str
    tries: tuple[str, ...] = ()


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
        if not task.tries or has_passed(self._out, task, self._reading, self._sandbox):
            write_shard(self._out, task, self._reading, self._sandbox)
        yield task


def has_passed(out: str, task: Task, reading: Reading, sandbox: Sandbox) -> bool:
    """Whether a fault of a song of task.tries has passed, or become another one."""
    path = shard_path(out, "rejects", task.index, task.n_shards)
    rejects = read_columns(path, ["song_id", "reason", "detail"]).to_pylist()
    before = {row["song_id"]: (row["reason"], row["detail"]) for row in rejects}
    with Tally(out, task.index) as tally:
        for item in read_plan(out, task.index, task.n_shards):
            if item.song_id not in task.tries:
                tally.count(item)
                continue
            outcome, _ = read_song(item, reading, sandbox)
            if not isinstance(outcome, Reject):
                return True
            if (outcome.reason, outcome.detail) != before[item.song_id]:
                return True
            tally.count(outcome)
    return False


def write_shard(out: str, task: Task, reading: Reading, sandbox: Sandbox) -> None:
    """Read the songs of one shard in order and write its three files; a bad file is a
    row among the rejects."""
    items = read_plan(out, task.index, task.n_shards)
    paths = {
        kind: shard_path(out, kind, task.index, task.n_shards)
        for kind in ("songs", "signatures", "rejects")
    }
    rejects: list[Reject] = []
    inputs: dict[str, str] = {}
    # The songs of before go first, that a reading which is killed is begun again; then the mark,
    # before the first file is read, that an edit of any of them is later than it.
    files.remove(paths["songs"])
    files.write_text(begun_path(out, task.index, task.n_shards), "")
    with ExitStack() as stack:
        # Contexts close in reverse: the songs' name, which says that the shard is done, is
        # given last.
        songs = stack.enter_context(table_writer(paths["songs"], SONGS))
        signatures = stack.enter_context(table_writer(paths["signatures"], SIGNATURES))
        tally = stack.enter_context(Tally(out, task.index))
        for item in items:
            outcome, inputs[item.song_id] = read_song(item, reading, sandbox)
            tally.count(outcome)
            if isinstance(outcome, Reject):
                rejects.append(outcome)
                continue
            signatures.add({name: outcome[name] for name in SIGNATURES.names})
            songs.add({name: outcome[name] for name in SONGS.names})
        write_rows(paths["rejects"], REJECTS, map(vars, rejects))
        files.write_text(inputs_path(out, task.index, task.n_shards), json.dumps(inputs))
        songs.note({SPEC_KEY: task.spec_sha256, READ_KEY: str(len(items))})


def read_song(
    item: Item, reading: Reading, sandbox: Sandbox
) -> tuple[dict[str, Any] | Reject, str]:
    """One row of the songs table, or why there is none; and the hash of the bytes that were
    read, "" where there were none.

    A fault that may pass (PASSING) is given a second chance at once.
    """
    outcome, sha256 = _read_once(item, reading, sandbox)
    if isinstance(outcome, Reject) and outcome.reason in PASSING:
        return _read_once(item, reading, sandbox)
    return outcome, sha256


def _read_once(
    item: Item, reading: Reading, sandbox: Sandbox
) -> tuple[dict[str, Any] | Reject, str]:
    parse, root, config = reading.sources[item.source]
    sha256 = ""
    try:
        blobs = read_blobs(item, root, reading.limits)
        sha256 = blobs_sha256(blobs)
        return sandbox.call(make_row, parse, item, blobs, config, reading), sha256
    except BadInput as bad:
        detail = bad.detail[:500]
        return Reject(item.song_id, item.source, "ingest", bad.reason, detail), sha256


def blobs_sha256(blobs: Sequence[bytes]) -> str:
    """One hash over the files of a song."""
    digest = hashlib.sha256()
    for blob in blobs:
        digest.update(len(blob).to_bytes(8, "big") + blob)
    return digest.hexdigest()


def edited_songs(
    out: str, task: Task, roots: Mapping[str, str], every: bool, limits: Limits
) -> list[str]:
    """The songs of a shard whose files are other ones than it was read from.

    A file is hashed where it was written after the reading began, with `every` in any case. (A
    file whose size has changed is another listing, and another shard.)
    """
    path = inputs_path(out, task.index, task.n_shards)
    begun = files.modified(begun_path(out, task.index, task.n_shards))
    if not files.exists(path):
        return []
    before: dict[str, str] = json.loads(files.read_bytes(path))
    edited = []
    for item in read_plan(out, task.index, task.n_shards):
        root = roots[item.source]
        if item.n_bytes is None or not (every or _is_later(root, item, begun)):
            continue
        try:
            now = blobs_sha256(read_blobs(item, root, limits))
        except BadInput:
            now = ""
        if now != before.get(item.song_id):
            edited.append(item.song_id)
    return edited


def _is_later(root: str, item: Item, begun: float | None) -> bool:
    """Whether a file of an item was written after `begun`; never where times are not known."""
    times = [files.modified(files.join(root, path)) for path in item.paths]
    return begun is not None and any(time is not None and time >= begun for time in times)


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
