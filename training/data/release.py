"""A published release as flat files: checked against its manifest, converted once,
memory-mapped from then on."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.columns import SCHEMA_VERSION
from schemas.manifest import canonical_sha256
from schemas.remi import RemiConfig, vocabulary_sha256
from training.errors import RunFailed

COLUMNS = [
    "song_id", "source", "source_key", "title", "artist", "genre", "note_start", "note_duration", "note_pitch", "note_velocity",
    "note_track", "bar_start", "bar_length", "bar_numerator", "bar_denominator", "tempo_start", "tempo_bpm", "meter_source",
    "source_sha256", "folder_track_ids", "remi", "remi_bar_offset", "rhythm_onsets", "rhythm_sounding", "key", "song_key",
    "n_notes", "tokens_per_bar_max", "label_rank", "judge", "valence_class", "arousal_class",
]  # fmt: skip


@dataclass(frozen=True)
class Release:
    """A published release: where it stands (folder or any fsspec URL), its manifest, and
    a hash of all that is in it."""

    url: str
    manifest: dict[str, Any]
    sha256: str

    @property
    def remi(self) -> RemiConfig:
        """How its tokens were written."""
        return RemiConfig(**self.manifest.get("config", {}).get("remi", {}))


def open_release(url: str) -> Release:
    """The release in a folder, in a build's folder or at a URL; RunFailed where this
    program cannot read it."""
    for place in (url.rstrip("/"), url.rstrip("/") + "/release"):
        try:
            with fsspec.open(f"{place}/manifest.json", "rt", encoding="utf-8") as stream:
                manifest = json.load(stream)
            break
        except FileNotFoundError:
            continue
        except (OSError, ValueError, ImportError) as error:
            raise RunFailed(f"{place}/manifest.json cannot be read: {error}") from error
    else:
        raise RunFailed(
            f"{url} is not a release: it has no manifest.json; build one with moodroll-data build"
        )
    if not isinstance(manifest, dict) or not {
        "schema_version",
        "vocabulary_sha256",
        "shards",
    } <= set(manifest):
        raise RunFailed(
            f"{place}/manifest.json is not a release's: it lists no shards; build one with moodroll-data build"
        )
    if manifest["schema_version"] != SCHEMA_VERSION:
        found = manifest["schema_version"]
        raise RunFailed(
            f"{place} has schema version {found}, this program reads {SCHEMA_VERSION}: build it anew"
        )
    if manifest["vocabulary_sha256"] != vocabulary_sha256():
        raise RunFailed(
            f"{place} has another token vocabulary than this program's REMI-923: build the release anew"
        )
    shards = sorted((shard["path"], shard["sha256"]) for shard in manifest["shards"])
    return Release(place, manifest, canonical_sha256(shards))


def read_shard(release: Release, shard: dict[str, Any]) -> pa.Table:
    """The rows of one shard, its bytes checked against the manifest; RunFailed where they
    differ."""
    path = f"{release.url}/{shard['path']}"
    try:
        with fsspec.open(path, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise RunFailed(f"{path} cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest() != shard["sha256"]:
        raise RunFailed(
            f"{path} is not the file that was published (its sha256 differs): fetch the release again"
        )
    table = pq.read_table(pa.BufferReader(content), columns=COLUMNS)
    if missing := set(COLUMNS) - set(table.column_names):
        raise RunFailed(f"{path} has no column {min(missing)}: build the release anew")
    return table
