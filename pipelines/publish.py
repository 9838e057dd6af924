"""publish: the kept songs with their verdicts, as the shards that people train from. Map
only."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import apache_beam as beam
from apache_beam.transforms.combiners import ToList

from pipelines.beam.progress import by_shard, counted
from pipelines.beam.release import parts_of, write_part
from pipelines.beam.runner import pipeline
from pipelines.config import CurateConfig
from pipelines.io import files
from pipelines.layout import (
    DATA,
    MANIFEST,
    REPORT,
    read_curated,
    read_lock,
    release_path,
    shard_name,
)
from pipelines.manifest_checks import report_facts
from pipelines.report.card import CARD
from pipelines.report.croissant import CROISSANT
from pipelines.report.lineage import dated, lineage
from pipelines.report.sidecars import write_side_files
from pipelines.report.vocabulary import VOCABULARY
from schemas.code import installed_version
from schemas.columns import RELEASE, SCHEMA_VERSION, described
from schemas.manifest import Lock, Shard, canonical_sha256, to_json
from schemas.remi import vocabulary_sha256
from schemas.settings import SettingsError, public
from schemas.working import stage

# The libraries whose versions stand in the manifest, beside our own.
LIBRARIES = ("apache-beam", "numpy", "pyarrow", "music21", "symusic")


def publish(corpus: str, out: str, beam_args: Sequence[str]) -> dict[str, Any]:
    """Write the release of a curated corpus below `out`/release; gives its manifest."""
    lock = read_lock(corpus)
    curated = read_curated(out)
    release = release_path(out)
    n_shards: int = lock.spec["shards"]
    n_files = files_of(corpus, lock, curated)
    parts = parts_of(n_files, n_shards)
    clear(release, n_files)
    with by_shard(out, "publish", len(parts)), pipeline(beam_args) as p:
        (
            p
            | "Parts" >> beam.Create(range(len(parts)))
            | "Spread" >> beam.Reshuffle()
            | "Write release"
            >> beam.FlatMap(counted, write_part, out, parts, corpus, out, release, n_shards)
            | "All files" >> ToList()
            | "Write manifest"
            >> beam.Map(write_manifest, release, manifest_head(lock, curated))
        )
    # Not at the top: matplotlib takes its second, and only the report draws.
    from pipelines.report.page import write_report

    published: dict[str, Any] = json.loads(files.read_bytes(files.join(release, MANIFEST)))
    with stage("report"):
        write_report(release, published, out)
    return seal_report(release, published)


def seal_report(release: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Put the hash of report.html, which is drawn from the rest, into the manifest; gives it."""
    sealed = {**manifest, "report": report_facts(release)}
    files.write_text(files.join(release, MANIFEST), to_json(sealed))
    return sealed


def files_of(corpus: str, lock: Lock, curated: Mapping[str, Any]) -> dict[str, int]:
    """How many files each split is written in: as many as come nearest to file_megabytes, by
    the size of the song shards and the split's share of their songs; at least one."""
    n_shards: int = lock.spec["shards"]
    names = {shard_name("songs", index, n_shards) for index in range(n_shards)}
    listed = files.BeamFiles().walk(files.join(corpus, "songs"))
    n_bytes = sum(info.n_bytes or 0 for info in listed if info.path in names)
    bytes_a_song = n_bytes / max(sum(lock.kept.values()), 1)
    target = curated["config"]["file_megabytes"] * 1e6
    return {
        split: min(max(round(bytes_a_song * n_songs / target), 1), n_shards)
        for split, n_songs in curated["splits"].items()
    }


def clear(release: str, n_files: Mapping[str, int]) -> None:
    """Make the folder ready: no manifest, and no file of an earlier release with other
    names.

    Until the new manifest stands, the folder is no release: whoever reads it meanwhile is
    told so.
    """
    data = files.join(release, DATA)
    files.make_folder(data)
    files.remove_where(release, lambda path: files.PART in path)
    for name in (MANIFEST, CARD, CROISSANT, VOCABULARY, REPORT):
        files.remove(files.join(release, name))
    names = {shard_name(split, i, n) for split, n in n_files.items() for i in range(n)}
    files.remove_where(data, lambda path: path not in names)


def manifest_head(lock: Lock, curated: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest but for what the shards say of themselves."""
    columns = described(RELEASE)
    versions = {name: installed_version(name) for name in ("moodroll", *LIBRARIES)}
    counts = ("read", "kept", "rejected", "reasons", "pins")
    return {
        "name": curated["config"]["name"],
        "dated": dated(),
        "schema_version": SCHEMA_VERSION,
        "schema_sha256": canonical_sha256(columns),
        "vocabulary_sha256": vocabulary_sha256(),
        "versions": versions,
        "config": {**lock.spec, **curated["config"]},
        "ingest": {name: public(getattr(lock, name)) for name in counts},
        **{name: value for name, value in curated.items() if name != "config"},
        "columns": columns,
    }


def refuse_other_settings(config: CurateConfig, out: str) -> None:
    """Raise SettingsError where the catalog at `out` was made by other settings than
    these."""
    held = read_curated(out)["config"]
    wanted = config.curate_spec()
    differs = [name for name in wanted if held.get(name) != wanted[name]]
    if differs:
        raise SettingsError(
            f"the catalog at {out} was made with another {', '.join(differs)}: "
            "run moodroll-data curate first"
        )


def write_manifest(shards: Sequence[Shard], release: str, head: dict[str, Any]) -> None:
    """The manifest with what was written; it comes last, so that it stands for a whole
    release."""
    rows = Counter[str]()
    for shard in shards:
        rows[shard.split] += shard.rows
    if any(rows[split] != kept for split, kept in head["splits"].items()):
        raise ValueError(
            f"the catalog keeps {head['splits']}, the shards have {dict(rows)}"
        )
    manifest = {**head, "shards": [asdict(shard) for shard in sorted(shards)]}
    manifest["lineage"] = lineage(manifest)
    write_side_files(release, manifest)
    files.write_text(files.join(release, MANIFEST), to_json(manifest))
