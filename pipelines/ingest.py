"""ingest: raw corpora to Parquet shards of songs. The heavy stage, map only, run once."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.beam.progress import Progress
from pipelines.beam.reading import Reading
from pipelines.beam.runner import pipeline
from pipelines.beam.shards import SPEC_KEY, Task, WriteSongs, edited_songs
from pipelines.config import BuildConfig
from pipelines.io import files
from pipelines.io.tables import read_columns
from pipelines.layout import (
    INGEST_LOCK,
    is_of_a_build,
    lock_at,
    plan_path,
    read_plan,
    shard_of,
    shard_path,
)
from pipelines.registry import FEATURES, source_of
from schemas.code import code_sha256, installed_version
from schemas.columns import SCHEMA_VERSION
from schemas.contracts import Item
from schemas.manifest import Lock, Pin, canonical_sha256, to_json
from schemas.reject import PASSING, BuildFailed, Reason
from schemas.remi import vocabulary_sha256
from schemas.settings import SettingsError
from schemas.working import stage

# The code that decides the bytes of songs, by the name under which it is said to have
# changed.
CODE = {
    "schemas": ("schemas/*.py",),
    "formats": ("pipelines/formats/*.py",),
    "sources": ("pipelines/sources/**/*.py",),
    "features": ("pipelines/features/**/*.py", "pipelines/registry.py"),
    "dedupe": ("pipelines/dedupe/*.py",),
    "writing": (
        "pipelines/io/*.py",
        "pipelines/beam/reading.py",
        "pipelines/beam/sandbox.py",
        "pipelines/beam/shards.py",
    ),
}
# Parts of the spec that say which program wrote the shards: where they differ, songs are
# read again in place. Where any other part does, the folder holds another build.
PROGRAM = ("code", "moodroll", "schema_version", "vocabulary_sha256")
# Shards or songs that a sentence names
MOST_NAMED = 5
# What there is to read: a corpus may grow, and then shards with other songs are read again.
LISTED = "items"


def ingest(
    config: BuildConfig,
    out: str,
    beam_args: Sequence[str],
    check: bool = False,
    before: Callable[[], object] = lambda: None,
) -> Lock:
    """Read every song of the build's sources; shards that stand already are left as they
    are, but for songs that may be read by now, and files that were edited since.

    check: compare every file by its hash, and not only those with a later time; before: what
    is to be done once the sources stand, before the first song is read.
    """
    items = list_items(config)
    before()
    spec = ingest_spec(config, items)
    changed = claim(out, spec)
    tasks = write_plan(out, config, spec, items)
    todo = what_to_do(config, out, tasks, changed, check)
    if todo:
        total = sum(map(len, items.values()))
        left = sum(len(read_plan(out, task.index, task.n_shards)) for task in todo)
        with Progress(out, "ingest", total, skipped=total - left), pipeline(beam_args) as p:
            (
                p
                | "Shards" >> beam.Create(todo)
                | "Spread" >> beam.Reshuffle()
                | "Write songs" >> beam.ParDo(WriteSongs(out, reading(config)))
            )
    return close(out, config, spec)


def what_to_do(
    config: BuildConfig,
    out: str,
    tasks: Sequence[Task],
    changed: Sequence[str],
    check: bool,
) -> list[Task]:
    """The shards that do not stand as they should, and why they are read again, said."""
    undone = [task for task in tasks if not _is_done(out, task)]
    if undone and changed:
        _say_why(changed, len(undone), len(tasks))
    done = [task for task in tasks if task not in undone]
    roots = {name: settings.root for name, settings in config.sources.items()}
    edited = [task for task in done if edited_songs(out, task, roots, check, config.limits)]
    if edited:
        # The lock stands for songs as they were
        lock_path = files.join(out, INGEST_LOCK)
        files.write_text(lock_path, to_json(Lock(lock_at(lock_path).spec)))
        _say(f"{_shards(edited)} read again, since files of theirs were edited after that")
    tried = [
        replace(task, tries=tries)
        for task in done
        if task not in edited and (tries := _may_pass(out, task))
    ]
    if tried:
        n_songs = sum(len(task.tries) for task in tried)
        _say(
            f"{n_songs} songs of {_shards(tried)} tried again, since what kept them from being "
            "read may have passed (unreadable, timeout, reader_died)"
        )
    return sorted([*undone, *edited, *tried], key=lambda task: task.index)


def _may_pass(out: str, task: Task) -> tuple[str, ...]:
    """The songs of a shard that could not be read for a fault that may pass."""
    path = shard_path(out, "rejects", task.index, task.n_shards)
    rows = read_columns(path, ["song_id", "reason"]).to_pylist()
    return tuple(row["song_id"] for row in rows if row["reason"] in PASSING)


def _shards(tasks: Sequence[Task]) -> str:
    numbers = ", ".join(str(task.index) for task in tasks[:MOST_NAMED])
    more = f" and {len(tasks) - MOST_NAMED} more" if len(tasks) > MOST_NAMED else ""
    return f"shard {numbers} is" if len(tasks) == 1 else f"shards {numbers}{more} are"


def _say(sentence: str) -> None:
    print(f"ingest: {sentence}", file=sys.stderr, flush=True)


def list_items(config: BuildConfig) -> dict[str, list[Item]]:
    """The songs of each source, by name of source; raises SettingsError where a source
    has none."""
    found = {}
    for name, settings in sorted(config.sources.items()):
        source = source_of(settings)
        if source.prepare:
            with stage(f"{name}: its files are made"):
                source.prepare(settings)
        if not settings.root or not files.exists(settings.root):
            raise SettingsError(
                f"no folder at {settings.root!r}: point sources.{name}.root at the corpus"
            )
        try:
            with stage(f"{name}: its songs are listed"):
                found[name] = list(source.items(files.BeamFiles(), settings))
        except (OSError, ValueError) as error:
            raise SettingsError(f"sources.{name}: {error}") from error
        if not found[name]:
            looked_for = f" (looked for {source.looks_for})" if source.looks_for else ""
            raise SettingsError(
                f"no {name} song below {settings.root!r}{looked_for}: "
                f"point sources.{name}.root at the corpus"
            )
        if len({item.key for item in found[name]}) != len(found[name]):
            raise ValueError(f"source {name} lists a key twice")
    return found


def ingest_spec(config: BuildConfig, items: Mapping[str, Sequence[Item]]) -> dict[str, Any]:
    """All that decides the bytes of the songs: settings, what there is to read, and the
    program."""
    return {
        **config.ingest_spec(),
        "schema_version": SCHEMA_VERSION,
        "vocabulary_sha256": vocabulary_sha256(),
        "moodroll": installed_version(),
        "code": {name: code_sha256(*patterns) for name, patterns in CODE.items()},
        "items": {name: _listing(listed) for name, listed in items.items()},
    }


def _listing(items: Sequence[Item]) -> dict[str, Any]:
    return {
        "songs": len(items),
        "sha256": canonical_sha256([asdict(item) for item in items]),
    }


def claim(out: str, spec: Mapping[str, Any]) -> list[str]:
    """Make `out` this ingest's folder; gives what of the program and of what there is to read
    has changed since it was begun.

    Raises SettingsError, with nothing written, where the folder is something else's.
    """
    lock_path = files.join(out, INGEST_LOCK)
    if not files.exists(lock_path):
        _begin(out, lock_path, spec)
        return []
    lock = lock_at(lock_path)
    held = lock.spec
    differs = sorted(key for key in {*held, *spec} if held.get(key) != spec.get(key))
    foreign = [key for key in differs if key not in (*PROGRAM, LISTED)]
    if foreign:
        raise SettingsError(
            f"{out} holds another build, it differs in {', '.join(foreign)}: choose another --out"
        )
    if differs and lock.complete:
        # With the old spec: whoever goes on after a kill is told the reason again.
        files.write_text(lock_path, to_json(Lock(held)))
    return [_change(key, held.get(key), spec.get(key)) for key in differs]


def _begin(out: str, lock_path: str, spec: Mapping[str, Any]) -> None:
    infos = files.BeamFiles().walk(out) if files.exists(out) else []
    if not all(is_of_a_build(info.path) for info in infos):
        raise SettingsError(f"{out} is not empty and holds no build: choose another --out")
    try:
        files.make_folder(out)
        files.write_text(lock_path, to_json(Lock(dict(spec))))
    except OSError as error:
        raise SettingsError(
            f"cannot write to {out} ({error.strerror or error}): choose another --out"
        ) from error


def _change(key: str, held: Any, wanted: Any) -> str:
    """A part of the spec that has changed, in words: which rooms of the code, or the
    versions."""
    if key == "code":
        before = held or {}
        return f"the code of {', '.join(name for name in wanted if before.get(name) != wanted[name])}"
    if key == "vocabulary_sha256":
        return "the vocabulary"
    if key == LISTED:
        return f"what there is to read ({_grown(held or {}, wanted)})"
    return f"{key} ({held} before, {wanted} now)"


def _grown(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Songs of each source whose list has changed, before and now."""
    changed = [name for name in wanted if held.get(name) != wanted[name]]
    return ", ".join(
        f"{name}: {held.get(name, {}).get('songs', 0):,} songs before, {wanted[name]['songs']:,} now"
        for name in changed
    )


def _say_why(changed: Sequence[str], n_todo: int, n_shards: int) -> None:
    _say(
        f"{n_todo} of {n_shards} shards are read again, since {' and '.join(changed)} "
        "changed after they were written"
    )


def write_plan(
    out: str, config: BuildConfig, spec: Mapping[str, Any], items: Mapping[str, list[Item]]
) -> list[Task]:
    """List each shard's songs in a file of its own, so that workers need nothing of the
    launcher's memory."""
    for folder in ("plan", "progress", "songs", "signatures", "rejects"):
        files.make_folder(files.join(out, folder))
    for folder in ("plan", "songs", "signatures", "rejects"):
        files.remove_where(files.join(out, folder), lambda path: files.PART in path)
    common = {key: value for key, value in spec.items() if key != "items"}
    tasks = []
    for index, planned in enumerate(by_shard(items, config.shards)):
        plain = [asdict(item) for item in planned]
        path = plan_path(out, index, config.shards)
        text = json.dumps(plain)
        if not files.exists(path) or files.read_bytes(path) != text.encode():
            files.write_text(path, text)
        tasks.append(Task(index, config.shards, canonical_sha256([common, plain])))
    return tasks


def by_shard(items: Mapping[str, list[Item]], n_shards: int) -> list[list[Item]]:
    """The songs of each shard, by song_id."""
    planned: list[list[Item]] = [[] for _ in range(n_shards)]
    listed = [item for of_source in items.values() for item in of_source]
    for item in sorted(listed, key=lambda item: item.song_id):
        planned[shard_of(item.song_id, n_shards)].append(item)
    return planned


def reading(config: BuildConfig) -> Reading:
    """What workers are handed: functions and settings, both found by name on any
    machine."""
    sources = {
        name: (source_of(settings).parse, settings.root, settings)
        for name, settings in config.sources.items()
    }
    features = [
        (feature.compute, getattr(config, feature.name) if feature.name else None)
        for feature in FEATURES
    ]
    return Reading(sources, tuple(features), config.remi, config.limits)


def _is_done(out: str, task: Task) -> bool:
    path = shard_path(out, "songs", task.index, task.n_shards)
    beside = [
        shard_path(out, kind, task.index, task.n_shards)
        for kind in ("signatures", "rejects")
    ]
    if not all(map(files.exists, (path, *beside))):
        return False
    try:
        with files.open_input(path) as stream:
            metadata = pq.read_metadata(stream).metadata or {}
    except (pa.ArrowException, OSError):  # cut, or no Parquet: it is written again
        return False
    return bool(metadata.get(SPEC_KEY) == task.spec_sha256.encode())


def close(out: str, config: BuildConfig, spec: Mapping[str, Any]) -> Lock:
    """Count what the shards hold, check that nothing is lost, and write the lock; raises
    BuildFailed for too many rejects."""
    names = sorted(config.sources)
    kept, rejected = Counter[str](), Counter[str]()
    reasons: dict[str, Counter[str]] = {name: Counter() for name in names}
    inputs: dict[str, list[tuple[str, str]]] = {name: [] for name in names}
    failures: list[tuple[str, str]] = []
    for index in range(config.shards):
        songs, rejects = _shard(out, index, config.shards)
        for row in songs.to_pylist():
            kept[row["source"]] += 1
            inputs[row["source"]].append((row["song_id"], row["source_sha256"]))
        for row in rejects.to_pylist():
            rejected[row["source"]] += 1
            reasons[row["source"]][row["reason"]] += 1
            inputs[row["source"]].append((row["song_id"], row["reason"]))
            if row["reason"] == Reason.READER_FAILED:
                failures.append((row["song_id"], row["detail"]))
    lock = Lock(
        dict(spec),
        complete=True,
        read={name: spec["items"][name]["songs"] for name in names},
        kept={name: kept[name] for name in names},
        rejected={name: rejected[name] for name in names},
        reasons={name: dict(sorted(reasons[name].items())) for name in names},
        pins=[
            Pin(name, len(seen), canonical_sha256(sorted(seen)))
            for name, seen in inputs.items()
        ],
    )
    files.write_text(files.join(out, INGEST_LOCK), to_json(lock))
    files.remove_where(files.join(out, "progress"), lambda path: True)
    _say_failures(failures)
    _refuse_bad_corpus(lock, config.max_reject_share)
    return lock


def _shard(out: str, index: int, n_shards: int) -> tuple[pa.Table, pa.Table]:
    """The songs and rejects of one shard; raises where they are not those that were
    planned."""
    songs = read_columns(
        shard_path(out, "songs", index, n_shards), ["song_id", "source", "source_sha256"]
    )
    rejects = read_columns(
        shard_path(out, "rejects", index, n_shards),
        ["song_id", "source", "reason", "detail"],
    )
    came = sorted(songs["song_id"].to_pylist() + rejects["song_id"].to_pylist())
    planned = sorted(item.song_id for item in read_plan(out, index, n_shards))
    if came != planned:
        raise ValueError(
            f"shard {index}: {len(planned)} songs were planned, {len(came)} came out, "
            "or not the same ones"
        )
    return songs, rejects


def _say_failures(failures: Sequence[tuple[str, str]]) -> None:
    """Songs at which their reader failed: their files are odd, or we are wrong."""
    if not failures:
        return
    _say(
        f"the reader failed at {len(failures)} songs (reader_failed), which may be a mistake of "
        "moodroll's; the first are"
    )
    for song_id, detail in sorted(failures)[:MOST_NAMED]:
        print(f"  {song_id}: {detail[:200]}", file=sys.stderr)


def _refuse_bad_corpus(lock: Lock, max_reject_share: float) -> None:
    for name, read in lock.read.items():
        share = lock.rejected[name] / read
        if share > max_reject_share:
            raise BuildFailed(
                f"{lock.rejected[name]} of {read} {name} files ({share:.0%}) could not be read, "
                f"max_reject_share is {max_reject_share:.0%}: see rejects/ for the reasons, "
                "mend the corpus or raise max_reject_share"
            )
