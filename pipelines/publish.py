"""publish: the kept songs with their verdicts, as the shards that people train from. Map only."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import apache_beam as beam
from apache_beam.transforms.combiners import ToList

from pipelines.beam.release import DATA, write_release
from pipelines.beam.runner import pipeline
from pipelines.config import CurateConfig
from pipelines.curate import read_curated
from pipelines.ingest import read_lock
from pipelines.io import files
from pipelines.labels.splits import SPLITS
from pipelines.report.lineage import dated, lineage
from pipelines.report.sidecars import write_side_files
from schemas.manifest import Shard, canonical_sha256, to_json
from schemas.remi import vocabulary_sha256
from schemas.row import RELEASE, SCHEMA_VERSION
from schemas.settings import SettingsError, public

MANIFEST = "manifest.json"


def publish(corpus: str, out: str, beam_args: Sequence[str]) -> dict[str, Any]:
    """Write the release of a curated corpus below `out`/release; gives its manifest."""
    lock, curated = read_lock(corpus), read_curated(out)
    n_shards, release = lock.spec["shards"], files.join(out, "release")
    files.make_folder(files.join(release, DATA))
    # Until the new manifest stands, the folder is no release: whoever reads it meanwhile is told
    # so.
    for name in (MANIFEST, "README.md", "croissant.json", "report.html"):
        files.remove(files.join(release, name))
    names = {
        f"{DATA}/{files.shard_name(split, i, n_shards)}"
        for split in SPLITS
        for i in range(n_shards)
    }
    files.remove_where(files.join(release, DATA), lambda path: f"{DATA}/{path}" not in names)
    columns = {
        field.name: {
            "type": str(field.type),
            "description": field.metadata[b"description"].decode(),
        }
        for field in RELEASE
    }
    manifest = {
        "name": curated["config"]["name"],
        "dated": dated(),
        "schema_version": SCHEMA_VERSION,
        "schema_sha256": canonical_sha256(columns),
        "vocabulary_sha256": vocabulary_sha256(),
        "versions": {
            name: version(name)
            for name in ("moodroll", "apache-beam", "numpy", "pyarrow", "music21", "symusic")
        },
        "config": {**lock.spec, **curated["config"]},
        "ingest": {
            name: public(getattr(lock, name))
            for name in ("read", "kept", "rejected", "reasons", "pins")
        },
        **{name: value for name, value in curated.items() if name != "config"},
        "columns": columns,
    }
    with pipeline(beam_args) as p:
        (
            p
            | "Shards" >> beam.Create(range(n_shards))
            | "Spread" >> beam.Reshuffle()
            | "Write release" >> beam.FlatMap(write_release, corpus, out, release, n_shards, SPLITS)
            | "All shards" >> ToList()
            | "Write manifest" >> beam.Map(write_manifest, release, manifest)
        )
    # Not at the top: matplotlib takes its second, and only the report draws.
    from pipelines.report.page import write_report

    published: dict[str, Any] = json.loads(files.read_bytes(files.join(release, MANIFEST)))
    write_report(release, published, out)
    return published


def refuse_other_settings(config: CurateConfig, out: str) -> None:
    """Raise SettingsError where the catalog at `out` was made by other settings than these."""
    held, asked = read_curated(out)["config"], config.curate_spec()
    differs = [name for name in asked if held.get(name) != asked[name]]
    if differs:
        raise SettingsError(
            f"the catalog at {out} was made with another {', '.join(differs)}: run moodroll-data curate first"
        )


def write_manifest(shards: Sequence[Shard], release: str, manifest: dict[str, Any]) -> None:
    """The manifest with what was written; it comes last, so that it stands for a whole release."""
    rows = Counter[str]()
    for shard in shards:
        rows[shard.split] += shard.rows
    if any(rows[split] != kept for split, kept in manifest["splits"].items()):
        raise ValueError(f"the catalog keeps {manifest['splits']}, the shards have {dict(rows)}")
    whole = {**manifest, "shards": [asdict(shard) for shard in sorted(shards)]}
    whole["lineage"] = lineage(whole)
    write_side_files(release, whole)
    files.write_text(files.join(release, MANIFEST), to_json(whole))
