"""Layout: where everything of a build and of a release stands, and what says that it is
finished.

A build's folder holds plan/ songs/ signatures/ rejects/ metadata/ catalog/ release/ and two
locks.
"""

import hashlib
import re
from typing import Any

from pipelines.io import files
from schemas.contracts import Item
from schemas.manifest import Lock, from_json, lock_from_json
from schemas.settings import SettingsError

INGEST_LOCK = "ingest.lock.json"
CURATE_LOCK = "curate.lock.json"
MANIFEST = "manifest.json"
REPORT = "report.html"
DATA = "data"
# What a manifest must hold for describe, verify and report to read it.
DESCRIBED = (
    "name", "dated", "schema_version", "splits", "ingest", "waterfall", "clusters", "groups",
    "thresholds", "labels", "metadata", "versions",
)  # fmt: skip


# Of what kind each part of a manifest is
KINDS: dict[str, tuple[type, ...]] = {
    "name": (str,), "dated": (str,), "splits": (dict,), "ingest": (dict,), "waterfall": (dict,),
    "clusters": (dict,), "thresholds": (dict, type(None)), "labels": (dict,), "metadata": (dict,),
    "versions": (dict,), "config": (dict,), "shards": (list,),
}  # fmt: skip
# What a build that was taken away while it worked may leave: workers that put their folders up
# again.
_LEFT = re.compile(
    r"(?:plan/(?:items|inputs|begun)-\d{5}-of-\d{5}(?:\.json)?"
    r"|(?:songs|signatures|catalog)/(?:songs|signatures|catalog)-\d{5}-of-\d{5}\.parquet"
    r"|rejects/(?:ingest|curate)-\d{5}-of-\d{5}\.parquet"
    r"|progress/\d{5}|curate\.lock\.json)(?:\.part-[-0-9a-f]+)?"
)


def is_of_a_build(path: str) -> bool:
    """Whether a path below a build's folder is one that a build without a lock may have left."""
    return _LEFT.fullmatch(path) is not None


def release_path(out: str) -> str:
    """Where the release of a build or split stands."""
    return files.join(out, "release")


def shard_name(stem: str, index: int, n_shards: int) -> str:
    """`stem-00007-of-00064.parquet`."""
    return f"{stem}-{index:05d}-of-{n_shards:05d}.parquet"


def shard_of(song_id: str, n_shards: int) -> int:
    """The shard of a song, by hash alone: other songs coming or going never move it."""
    return int.from_bytes(hashlib.sha256(song_id.encode()).digest()[:8], "big") % n_shards


def song_shards(index: int, n_files: int, n_shards: int) -> tuple[int, int]:
    """The song shards, from the first to before the second, whose songs of a split stand in
    the index-th of its files: dealt out in order and evenly."""
    return index * n_shards // n_files, (index + 1) * n_shards // n_files


def shard_path(out: str, kind: str, index: int, n_shards: int) -> str:
    """Where a shard of songs, signatures, rejects or catalog stands."""
    stem = "ingest" if kind == "rejects" else kind
    return files.join(out, kind, shard_name(stem, index, n_shards))


def curate_rejects_path(out: str, index: int, n_shards: int) -> str:
    """Where the songs of a shard stand that curate left out."""
    return files.join(out, "rejects", shard_name("curate", index, n_shards))


def metadata_path(out: str, kind: str) -> str:
    """Where a small table made of the side files of [affect] stands."""
    return files.join(out, "metadata", f"{kind}.parquet")


def plan_path(out: str, index: int, n_shards: int) -> str:
    """Where the songs of one shard are listed."""
    return files.join(out, "plan", f"items-{index:05d}-of-{n_shards:05d}.json")


def begun_path(out: str, index: int, n_shards: int) -> str:
    """Where it is marked when the reading of a shard began."""
    return files.join(out, "plan", f"begun-{index:05d}-of-{n_shards:05d}")


def inputs_path(out: str, index: int, n_shards: int) -> str:
    """Where the hashes of the files stand from which the songs of a shard were read."""
    return files.join(out, "plan", f"inputs-{index:05d}-of-{n_shards:05d}.json")


def read_plan(out: str, index: int, n_shards: int) -> list[Item]:
    """The songs of one shard, in the order in which they are read and written."""
    plain = from_json(files.read_bytes(plan_path(out, index, n_shards)))
    return [Item(**{**item, "paths": tuple(item["paths"])}) for item in plain]


def lock_at(path: str) -> Lock:
    """An ingest's lock, finished or not; raises SettingsError where it is spoilt."""
    try:
        return lock_from_json(files.read_bytes(path).decode())
    except ValueError as error:
        raise SettingsError(
            f"{path} is spoilt ({error}): ingest again, into another --out"
        ) from error


def read_lock(out: str) -> Lock:
    """The lock of a finished ingest; raises SettingsError where there is none."""
    path = files.join(out, INGEST_LOCK)
    if not files.exists(path):
        raise SettingsError(f"no ingest at {out}: run moodroll-data ingest first")
    lock = lock_at(path)
    if not lock.complete:
        raise SettingsError(
            f"the ingest at {out} is not finished: run the same moodroll-data ingest again"
        )
    return lock


def read_curated(out: str) -> dict[str, Any]:
    """The lock of a finished curate; raises SettingsError where there is none."""
    path = files.join(out, CURATE_LOCK)
    if not files.exists(path):
        raise SettingsError(f"no catalog at {out}: run moodroll-data curate first")
    try:
        curated: dict[str, Any] = dict(from_json(files.read_bytes(path)))
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{path} is spoilt ({error}): curate again") from error
    if not curated:
        raise SettingsError(
            f"the catalog at {out} is not finished: run the same command again"
        )
    return curated


def find_release(folder: str) -> str:
    """A release's folder, given it or the build's folder around it; raises SettingsError
    where there is neither."""
    for candidate in (folder, release_path(folder)):
        if files.exists(files.join(candidate, MANIFEST)):
            return candidate
    raise SettingsError(
        f"no release at {folder}: it has no {MANIFEST}; run moodroll-data build first"
    )


def read_manifest(release: str) -> dict[str, Any]:
    """The manifest of a release; raises SettingsError where it is not one."""
    path = f"{release}/{MANIFEST}"
    try:
        manifest = from_json(files.read_bytes(files.join(release, MANIFEST)))
    except ValueError as error:
        raise SettingsError(
            f"{path} is not JSON ({error}): publish the release again"
        ) from error
    held = manifest if isinstance(manifest, dict) else {}
    missing = [name for name in (*DESCRIBED, "config", "shards") if name not in held]
    if missing:
        raise SettingsError(f"{path} lacks {', '.join(missing)}: publish the release again")
    odd = [name for name, kinds in KINDS.items() if not isinstance(held[name], kinds)]
    if odd:
        raise SettingsError(
            f"{path} has another kind of value than it must in {', '.join(odd)}: "
            "publish the release again"
        )
    return held
