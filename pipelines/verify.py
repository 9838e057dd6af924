"""verify: everything that a release claims, checked again from its own files."""

import logging
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.beam.parent import end_with
from pipelines.checks import GROUPINGS, LABELS, SHINGLES, Checked, check_shard
from pipelines.dedupe.candidates import DedupeConfig
from pipelines.dedupe.clusters import similar_pairs
from pipelines.io import files
from pipelines.labels.config import AffectConfig
from pipelines.labels.thresholds import Thresholds, apply_rule, fit_thresholds
from pipelines.layout import DATA, find_release, read_manifest
from pipelines.report.sidecars import side_faults
from schemas.columns import SCHEMA_VERSION
from schemas.remi import vocabulary_sha256
from schemas.settings import build
from schemas.working import stage

# Below this many songs a check is over before a second process has started.
SONGS_WORTH_PROCESSES = 500


def verify(folder: str) -> list[str]:
    """What differs from what the manifest says, a sentence each; nothing where the
    release is sound."""
    release = find_release(folder)
    manifest = read_manifest(release)
    for name, ours in (
        ("schema_version", SCHEMA_VERSION),
        ("vocabulary_sha256", vocabulary_sha256()),
    ):
        if manifest.get(name) != ours:
            return [
                f"the release has {name} {manifest.get(name)}, this moodroll reads {ours}"
            ]
    checked = check_shards(release, manifest)
    songs = {
        name: [
            (value, shard["split"])
            for shard, (_, columns) in checked
            for value in columns[name]
        ]
        for name in GROUPINGS
    }
    return [
        *foreign_files(release, manifest),
        *(problem for _, (problems, _) in checked for problem in problems),
        *miscounts(songs["song_id"], manifest["splits"]),
        *(leak for name in GROUPINGS for leak in leaks(name, songs[name])),
        *near_leaks(checked, build(DedupeConfig, manifest["config"]["dedupe"])),
        *label_faults(checked, manifest),
        *side_faults(release, manifest),
    ]


def check_shards(
    release: str, manifest: Mapping[str, Any]
) -> list[tuple[Mapping[str, Any], Checked]]:
    """Every shard with what check_shard says of it; a process a core where there is
    enough to do."""
    shards = manifest["shards"]
    check = partial(check_shard, release, manifest["config"])
    if sum(shard["rows"] for shard in shards) < SONGS_WORTH_PROCESSES:
        return [(shard, check(shard)) for shard in shards]
    checked: list[Checked] = []
    with (
        stage("verify", lambda: f"{len(checked)} of {len(shards)} shards"),
        ProcessPoolExecutor(
            os.cpu_count(), get_context("spawn"), _be_quiet_and_follow, (os.getpid(),)
        ) as pool,
    ):
        checked.extend(pool.map(check, shards))
    return list(zip(shards, checked, strict=True))


def _be_quiet_and_follow(parent: int) -> None:
    """What a process that checks shards does first: it ends with the one that asks, which alone
    answers Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A remote release is read through Beam, which need not say what else it looked for.
    logging.disable(logging.ERROR)
    end_with(parent)


def foreign_files(release: str, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Files among the shards that the manifest does not name, which a glob would read
    along."""
    claimed = {shard["path"] for shard in manifest["shards"]}
    for info in files.BeamFiles().walk(files.join(release, DATA)):
        if f"{DATA}/{info.path}" not in claimed:
            yield f"{DATA}/{info.path} is not in the manifest"


def miscounts(songs: Iterable[tuple[str, str]], splits: Mapping[str, int]) -> Iterator[str]:
    """Songs that stand twice, and splits with another number of songs than the manifest
    says."""
    ids = [song_id for song_id, _ in songs]
    for song_id, times in Counter(ids).items():
        if times > 1:
            yield f"{song_id} stands {times} times"
    there = Counter(split for _, split in songs)
    for split in sorted({*splits, *there}):
        if there[split] != splits.get(split, 0):
            yield f"{split} has {there[split]} songs, the manifest says {splits.get(split, 0)}"


def leaks(name: str, values: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A sentence for every value of a grouping column that stands in two splits."""
    where: dict[str, set[str]] = defaultdict(set)
    for value, split in values:
        where[value].add(split)
    for value, splits in sorted(
        (value, splits) for value, splits in where.items() if value
    ):
        if len(splits) > 1:
            yield f"{name} {value} stands in {' and '.join(sorted(splits))}: a leak"


def near_leaks(
    checked: Iterable[tuple[Mapping[str, Any], Checked]], config: DedupeConfig
) -> Iterator[str]:
    """A sentence for every two songs of different splits that are alike enough to be one
    group."""
    songs = [
        (song_id, shard["split"], signature)
        for shard, (_, columns) in checked
        for song_id, signature in zip(columns["song_id"], columns[SHINGLES], strict=True)
    ]
    songs.sort(key=lambda song: song[0])
    pairs, verdicts = similar_pairs([signature for _, _, signature in songs], config)
    for first, second, jaccard, containment in zip(
        pairs.first.tolist(),
        pairs.second.tolist(),
        verdicts.jaccard,
        verdicts.containment,
        strict=True,
    ):
        (a, split_a, _), (b, split_b, _) = songs[first], songs[second]
        if split_a != split_b:
            yield f"{a} in {split_a} and {b} in {split_b} have Jaccard {jaccard:.2f}, containment {containment:.2f}: a leak"


def label_faults(
    checked: Iterable[tuple[Mapping[str, Any], Checked]], manifest: Mapping[str, Any]
) -> Iterator[str]:
    """Thresholds that the training rows do not give, classes that the thresholds do not,
    judges outside training."""
    claimed = manifest["thresholds"]
    rows = {
        name: [value for _, (_, columns) in checked for value in columns[name]]
        for name in (*LABELS, "song_id")
    }
    splits = np.array(
        [shard["split"] for shard, (_, columns) in checked for _ in columns["song_id"]]
    )
    if any(
        judge
        for judge, split in zip(rows["judge"], splits, strict=True)
        if split != "train"
    ):
        yield "a song is set aside for judges outside the training split"
    values = {name: pa.array(rows[name], pa.float64()) for name in ("valence", "arousal")}
    if claimed is None:
        if any(
            value is not None
            for name in ("valence_class", "arousal_class")
            for value in rows[name]
        ):
            yield "songs have classes and the manifest has no thresholds"
        return
    config = build(AffectConfig, manifest["config"]["affect"])
    train = {
        name: column.to_numpy(zero_copy_only=False)[splits == "train"]
        for name, column in values.items()
    }
    thresholds = fit_thresholds(config.threshold, config.margin, **train)
    if asdict(thresholds) != claimed:
        yield f"the training rows give the thresholds {asdict(thresholds)}, the manifest says {claimed}"
    again = apply_rule(pa.table(values), Thresholds(**claimed))
    for name in ("valence_class", "arousal_class", "quadrant"):
        wrong = [
            song
            for song, has, gives in zip(
                rows["song_id"], rows[name], again[name].to_pylist(), strict=True
            )
            if has != gives
        ]
        if wrong:
            yield f"{name} of {wrong[0]} and {len(wrong) - 1} others is not what its values and the thresholds give"
