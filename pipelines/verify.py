"""verify: everything that a release claims, checked again from its own files."""

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipelines.dedupe.fingerprint import content_hash
from pipelines.describe import find_release, read_manifest
from pipelines.features import rhythm
from pipelines.stages import files
from pipelines.stages.release import DATA
from schemas.grid import quantise
from schemas.remi import RemiConfig, encode, vocabulary_sha256
from schemas.row import RELEASE, SCHEMA_VERSION, from_row, rows_of
from schemas.settings import build

# What the songs of one split alone may have: a value that stands in two splits is a leak.
GROUPINGS = ("song_id", "group_id", "cluster_id", "content_hash", "msd_track_id")


def verify(folder: str) -> list[str]:
    """What differs from what the manifest says, a sentence each; nothing where the release is sound."""
    release = find_release(folder)
    manifest = read_manifest(release)
    for name, ours in (("schema_version", SCHEMA_VERSION), ("vocabulary_sha256", vocabulary_sha256())):
        if manifest.get(name) != ours:
            return [f"the release has {name} {manifest.get(name)}, this moodroll reads {ours}"]
    claimed = {shard["path"] for shard in manifest["shards"]}
    there = {f"{DATA}/{info.path}" for info in files.BeamFiles().walk(files.join(release, DATA))}
    problems = [f"{path} is not in the manifest" for path in sorted(there - claimed)]
    # Children import Beam's filesystems, and need not say what else Beam looked for.
    quiet = {"initializer": logging.disable, "initargs": (logging.WARNING,)}
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), **quiet) as pool:
        found = pool.map(partial(check_shard, release, manifest["config"]["remi"]), manifest["shards"])
        where: dict[str, dict[str, set[str]]] = {name: defaultdict(set) for name in GROUPINGS}
        rows: dict[str, int] = dict.fromkeys(manifest["splits"], 0)
        seen: set[str] = set()
        for shard, (shard_problems, groups) in zip(manifest["shards"], found, strict=True):
            problems += shard_problems
            rows[shard["split"]] += len(groups["song_id"])
            problems += [f"{song_id} stands twice" for song_id in seen.intersection(groups["song_id"])]
            seen.update(groups["song_id"])
            for name in GROUPINGS:
                for value in groups[name]:
                    if value:
                        where[name][value].add(shard["split"])
    problems += [f"{s} has {n} songs, the manifest says {manifest['splits'][s]}" for s, n in rows.items() if n != manifest["splits"][s]]
    return problems + list(leaks(where))


def leaks(where: Mapping[str, Mapping[str, Iterable[str]]]) -> Iterator[str]:
    """A sentence for every value that stands in two splits."""
    for name, values in where.items():
        for value, splits in sorted(values.items()):
            if len(set(splits)) > 1:
                yield f"{name} {value} stands in {' and '.join(sorted(set(splits)))}: a leak"


def check_shard(release: str, remi: Mapping[str, Any], shard: Mapping[str, Any]) -> tuple[list[str], dict[str, list[Any]]]:
    """What is wrong with one shard, and the grouping columns of its songs."""
    nothing: dict[str, list[Any]] = {name: [] for name in GROUPINGS}
    try:
        data = files.read_bytes(files.join(release, *shard["path"].split("/")))
    except OSError as error:
        return [f"{shard['path']} cannot be read: {error.strerror}"], nothing
    if hashlib.sha256(data).hexdigest() != shard["sha256"]:
        return [f"{shard['path']} has {len(data)} bytes that are not those the manifest hashes"], nothing
    table = pq.read_table(BytesIO(data))
    if not table.schema.equals(RELEASE):
        return [f"{shard['path']} has another schema than this moodroll's release"], nothing
    problems = []
    if table.num_rows != shard["rows"]:
        problems.append(f"{shard['path']} has {table.num_rows} rows, the manifest says {shard['rows']}")
    config = build(RemiConfig, remi)
    for row in rows_of(table):
        problems += [f"{shard['path']} {row['song_id']}: {wrong}" for wrong in check_row(row, shard["split"], config)]
    return problems, {name: table[name].to_pylist() for name in GROUPINGS}


def check_row(row: Mapping[str, Any], split: str, config: RemiConfig) -> Iterator[str]:
    """What is wrong with one song, recomputed from its notes."""
    if row["split"] != split:
        yield f"it says split {row['split']} in a shard of {split}"
    try:
        song = from_row(row)
    except ValueError as error:
        yield f"its notes break the record: {error}"
        return
    grid = quantise(song)
    remi = encode(song, grid, config)
    again = {"remi": remi.tokens, "remi_bar_offset": remi.bar_offset, **rhythm.compute(song, grid), **vars(remi.losses)}
    again["content_hash"] = content_hash(song, grid)
    for name, value in again.items():
        if not np.array_equal(row[name], value):
            yield f"{name} is not what its notes give"
    for name in ("key", "key_confidence"):
        if len(row[name]) != len(song.bars):
            yield f"{name} has {len(row[name])} values for {len(song.bars)} bars"
    if (row["valence_class"] is None) != (row["arousal_class"] is None):
        yield "it has one of the two classes"
