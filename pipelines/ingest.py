"""ingest: raw corpora to Parquet shards of songs. The heavy stage, map only, run once."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.beam.catalog import read_columns
from pipelines.beam.progress import Progress
from pipelines.beam.reading import Reading
from pipelines.beam.runner import pipeline
from pipelines.beam.shards import SPEC_KEY, Task, WriteSongs, plan_path, read_plan, shard_path
from pipelines.config import BuildConfig
from pipelines.io import files
from pipelines.registry import FEATURES, SOURCES
from schemas.contracts import Item
from schemas.manifest import Lock, Pin, canonical_sha256, lock_from_json, to_json
from schemas.reject import BuildFailed
from schemas.remi import vocabulary_sha256
from schemas.row import SCHEMA_VERSION
from schemas.settings import SettingsError

LOCK = "ingest.lock.json"


def ingest(config: BuildConfig, out: str, beam_args: Sequence[str]) -> Lock:
    """Read every song of the build's sources; shards that stand already are left as they are."""
    items = list_items(config)
    spec = {
        **config.ingest_spec(),
        **_versions(),
        "items": {name: _listing(items[name]) for name in items},
    }
    claim(out, spec)
    tasks = write_plan(out, config, spec, items)
    todo = [task for task in tasks if not _is_done(out, task)]
    total = sum(map(len, items.values()))
    if todo:
        left = sum(len(read_plan(out, task.index, task.n_shards)) for task in todo)
        with Progress(out, "ingest", total, skipped=total - left), pipeline(beam_args) as p:
            (
                p
                | "Shards" >> beam.Create(todo)
                | "Spread" >> beam.Reshuffle()
                | "Write songs" >> beam.ParDo(WriteSongs(out, reading(config)))
            )
    return close(out, config, spec)


def list_items(config: BuildConfig) -> dict[str, list[Item]]:
    """The songs of each source, by name of source; raises SettingsError where a source has none."""
    found = {}
    for name, settings in sorted(config.sources.items()):
        source = SOURCES[name]
        if source.prepare:
            source.prepare(settings)
        if not settings.root or not files.exists(settings.root):
            raise SettingsError(
                f"no folder at {settings.root!r}: point sources.{name}.root at the corpus"
            )
        try:
            found[name] = list(source.items(files.BeamFiles(), settings))
        except (OSError, ValueError) as error:
            raise SettingsError(f"sources.{name}: {error}") from error
        if not found[name]:
            raise SettingsError(
                f"no {name} song below {settings.root!r}: point sources.{name}.root at the corpus"
            )
        if len({item.key for item in found[name]}) != len(found[name]):
            raise ValueError(f"source {name} lists a key twice")
    return found


def _versions() -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "vocabulary_sha256": vocabulary_sha256(),
        "moodroll": version("moodroll"),
    }


def _listing(items: Sequence[Item]) -> dict[str, Any]:
    return {"songs": len(items), "sha256": canonical_sha256([asdict(item) for item in items])}


def claim(out: str, spec: Mapping[str, Any]) -> None:
    """Make `out` this ingest's folder; raises SettingsError, with nothing written, where it is
    something else's."""
    lock_path = files.join(out, LOCK)
    if files.exists(lock_path):
        held = _lock_at(lock_path).spec
        differs = sorted(key for key in {*held, *spec} if held.get(key) != spec.get(key))
        if differs:
            raise SettingsError(
                f"{out} holds another build, it differs in {', '.join(differs)}: choose another --out"
            )
        return
    if files.exists(out) and files.BeamFiles().walk(out):
        raise SettingsError(f"{out} is not empty and holds no build: choose another --out")
    try:
        files.make_folder(out)
        files.write_text(lock_path, to_json(Lock(dict(spec))))
    except OSError as error:
        raise SettingsError(
            f"cannot write to {out} ({error.strerror or error}): choose another --out"
        ) from error


def _lock_at(path: str) -> Lock:
    try:
        return lock_from_json(files.read_bytes(path).decode())
    except ValueError as error:
        raise SettingsError(
            f"{path} is spoilt ({error}): ingest again, into another --out"
        ) from error


def write_plan(
    out: str, config: BuildConfig, spec: Mapping[str, Any], items: Mapping[str, list[Item]]
) -> list[Task]:
    """List each shard's keys in a file of its own, so that workers need nothing of the
    launcher's memory."""
    for folder in ("plan", "progress", "songs", "signatures", "rejects"):
        files.make_folder(files.join(out, folder))
    for folder in ("songs", "signatures", "rejects"):
        files.remove_where(files.join(out, folder), lambda path: files.PART in path)
    planned: list[list[Item]] = [[] for _ in range(config.shards)]
    for item in sorted(
        (item for listed in items.values() for item in listed), key=lambda item: item.song_id
    ):
        planned[shard_of(item.song_id, config.shards)].append(item)
    common = {key: value for key, value in spec.items() if key != "items"}
    tasks = []
    for index, chosen in enumerate(planned):
        plain = [asdict(item) for item in chosen]
        path = plan_path(out, index, config.shards)
        if not files.exists(path):
            files.write_text(path, json.dumps(plain))
        tasks.append(Task(index, config.shards, canonical_sha256([common, plain])))
    return tasks


def shard_of(song_id: str, n_shards: int) -> int:
    """The shard of a song, by hash alone: other songs coming or going never move it."""
    return int.from_bytes(hashlib.sha256(song_id.encode()).digest()[:8], "big") % n_shards


def reading(config: BuildConfig) -> Reading:
    """What workers are handed: functions and settings, both found by name on any machine."""
    return Reading(
        {
            name: (SOURCES[name].parse, settings.root, settings)
            for name, settings in config.sources.items()
        },
        tuple(
            (feature.compute, getattr(config, feature.name) if feature.name else None)
            for feature in FEATURES
        ),
        config.remi,
        config.limits,
    )


def _is_done(out: str, task: Task) -> bool:
    path = shard_path(out, "songs", task.index, task.n_shards)
    if not files.exists(path):
        return False
    with files.open_input(path) as stream:
        return pq.read_metadata(stream).metadata.get(SPEC_KEY) == task.spec_sha256.encode()


def close(out: str, config: BuildConfig, spec: Mapping[str, Any]) -> Lock:
    """Count what the shards hold, check that nothing is lost, and write the lock; raises
    BuildFailed for too many rejects."""
    kept, rejected = Counter[str](), Counter[str]()
    reasons: dict[str, Counter[str]] = {name: Counter() for name in config.sources}
    inputs: dict[str, list[tuple[str, str]]] = {name: [] for name in config.sources}
    for index in range(config.shards):
        songs = read_columns(
            shard_path(out, "songs", index, config.shards), ["song_id", "source", "source_sha256"]
        )
        rejects = read_columns(
            shard_path(out, "rejects", index, config.shards), ["song_id", "source", "reason"]
        )
        _check_shard(out, index, config.shards, songs, rejects)
        kept.update(songs["source"].to_pylist())
        rejected.update(rejects["source"].to_pylist())
        for row in songs.to_pylist():
            inputs[row["source"]].append((row["song_id"], row["source_sha256"]))
        for row in rejects.to_pylist():
            reasons[row["source"]][row["reason"]] += 1
            inputs[row["source"]].append((row["song_id"], row["reason"]))
    names = sorted(config.sources)
    lock = Lock(
        dict(spec),
        complete=True,
        read={name: spec["items"][name]["songs"] for name in names},
        kept={name: kept[name] for name in names},
        rejected={name: rejected[name] for name in names},
        reasons={name: dict(sorted(reasons[name].items())) for name in names},
        pins=[
            Pin(name, len(inputs[name]), canonical_sha256(sorted(inputs[name]))) for name in names
        ],
    )
    files.write_text(files.join(out, LOCK), to_json(lock))
    files.remove_where(files.join(out, "progress"), lambda path: True)
    _refuse_bad_corpus(lock, config.max_reject_share)
    return lock


def _check_shard(out: str, index: int, n_shards: int, songs: pa.Table, rejects: pa.Table) -> None:
    """Every planned key is a song or a reject, once."""
    came = sorted(songs["song_id"].to_pylist() + rejects["song_id"].to_pylist())
    planned = sorted(item.song_id for item in read_plan(out, index, n_shards))
    if came != planned:
        raise ValueError(
            f"shard {index}: {len(planned)} songs were planned, {len(came)} came out, or not the same ones"
        )


def _refuse_bad_corpus(lock: Lock, max_reject_share: float) -> None:
    for name, read in lock.read.items():
        share = lock.rejected[name] / read
        if share > max_reject_share:
            raise BuildFailed(
                f"{lock.rejected[name]} of {read} {name} files ({share:.0%}) could not be read, max_reject_share is "
                f"{max_reject_share:.0%}: see rejects/ for the reasons, mend the corpus or raise max_reject_share"
            )


def read_lock(out: str) -> Lock:
    """The lock of a finished ingest; raises SettingsError where there is none."""
    path = files.join(out, LOCK)
    if not files.exists(path):
        raise SettingsError(f"no ingest at {out}: run moodroll-data ingest first")
    lock = _lock_at(path)
    if not lock.complete:
        raise SettingsError(
            f"the ingest at {out} is not finished: run the same moodroll-data ingest again"
        )
    return lock
