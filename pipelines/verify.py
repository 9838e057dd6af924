"""verify: everything that a release claims, checked again from its own files."""

import logging
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.beam.parent import end_with
from pipelines.checks import (
    GROUPINGS,
    KEYS,
    LABELS,
    SHINGLES,
    Checked,
    check_shard,
    key_leaks,
)
from pipelines.dedupe.candidates import DedupeConfig
from pipelines.dedupe.clusters import similar_pairs
from pipelines.labels.config import AffectConfig
from pipelines.labels.thresholds import Thresholds, apply_rule, fit_thresholds
from pipelines.layout import find_release, read_manifest
from pipelines.manifest_checks import (
    foreign_files,
    manifest_sha256,
    odd_shards,
    own_faults,
    report_faults,
    row_faults,
)
from pipelines.report.sidecars import side_faults
from schemas.columns import SCHEMA_VERSION
from schemas.remi import vocabulary_sha256
from schemas.settings import build
from schemas.working import stage

# Below this many songs a check is over before a second process has started.
SONGS_WORTH_PROCESSES = 500


def verify(folder: str, sha256: str = "") -> list[str]:
    """What differs from what the manifest says, a sentence each; nothing where the
    release is sound. sha256: what the manifest's own hash must be, "" for any."""
    release = find_release(folder)
    manifest = read_manifest(release)
    if sha256 and (own := manifest_sha256(release)) != sha256.lower():
        return [f"the manifest has sha256 {own}, not {sha256}"]
    for name, ours in (
        ("schema_version", SCHEMA_VERSION),
        ("vocabulary_sha256", vocabulary_sha256()),
    ):
        if manifest.get(name) != ours:
            return [
                f"the release has {name} {manifest.get(name)}, this moodroll reads {ours}"
            ]
    # Of an odd manifest no more is asked: the rest would speak of nothing else.
    return _told(odd_shards, manifest) or _faults(release, manifest)


def _faults(release: str, manifest: Mapping[str, Any]) -> list[str]:
    checked: list[tuple[Mapping[str, Any], Checked]] = []
    problems = _told(foreign_files, release, manifest)
    problems += _told(own_faults, manifest)
    problems += _told(lambda: _gather(checked, check_shards(release, manifest)))
    problems += [problem for _, (found, _) in checked for problem in found]
    problems += _told(grouping_faults, checked, manifest)
    problems += _told(row_faults, checked, manifest)
    problems += _told(label_faults, checked, manifest)
    problems += _told(side_faults, release, manifest)
    return problems + _told(report_faults, release, manifest)


def _gather(checked: list[Any], found: Iterable[Any]) -> Iterable[str]:
    checked.extend(found)
    return ()


def _told(check: Callable[..., Iterable[str]], *arguments: Any) -> list[str]:
    """The problems that a check finds; where what it is given is not of the kinds that it must be,
    that is the problem."""
    problems = []
    try:
        # One by one: those that were found before it failed stand.
        for problem in check(*arguments):
            problems.append(problem)  # noqa: PERF402
    except (
        ArithmeticError, AttributeError, IndexError, KeyError, RecursionError, TypeError,
        ValueError, pa.ArrowException,
    ) as error:  # fmt: skip
        name = getattr(check, "__name__", "").strip("<>_")
        problems.append(
            f"the manifest is not in order ({name}): {type(error).__name__}: {error}"
        )
    return problems


def grouping_faults(
    checked: Sequence[tuple[Mapping[str, Any], Checked]], manifest: Mapping[str, Any]
) -> Iterator[str]:
    """Songs that stand twice, wrong counts of splits, and whatever stands in two splits."""
    songs = {
        name: [
            (value, shard["split"])
            for shard, (_, columns) in checked
            for value in columns[name]
        ]
        for name in GROUPINGS
    }
    yield from miscounts(songs["song_id"], manifest["splits"])
    for name in GROUPINGS:
        yield from leaks(name, songs[name])
    yield from key_leaks(keys_of(checked))
    yield from near_leaks(checked, build(DedupeConfig, manifest["config"]["dedupe"]))


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


def keys_of(
    checked: Iterable[tuple[Mapping[str, Any], Checked]],
) -> Iterator[tuple[str, str, list[str]]]:
    """song_id, split and keys of every song."""
    for shard, (_, columns) in checked:
        for song_id, keys in zip(columns["song_id"], columns[KEYS], strict=True):
            yield song_id, shard["split"], keys


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
            for name in ("valence_class", "arousal_class", "quadrant")
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
