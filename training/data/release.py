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
from schemas.settings import SettingsError, build
from training.data.values import check_values
from training.errors import RunFailed

COLUMNS = [
    "song_id", "source", "source_key", "title", "artist", "genre", "note_start", "note_duration", "note_pitch", "note_velocity",
    "note_track", "bar_start", "bar_length", "bar_numerator", "bar_denominator", "tempo_start", "tempo_bpm", "meter_source",
    "source_sha256", "folder_track_ids", "is_cut", "remi", "remi_bar_offset", "rhythm_onsets", "rhythm_sounding", "key", "song_key",
    "n_notes", "tokens_per_bar_max", "group_id", "label_rank", "judge", "valence_class", "arousal_class",
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
        try:
            return build(
                RemiConfig, self.manifest.get("config", {}).get("remi", {}), "remi"
            )
        except SettingsError as error:
            raise RunFailed(
                f"{self.url}/manifest.json was written by another version: {error}"
            ) from error


def open_release(url: str) -> Release:
    """The release in a folder, in a build's folder or at a URL; RunFailed where this
    program cannot read it."""
    for place in (url.rstrip("/"), url.rstrip("/") + "/release"):
        try:
            manifest = json.loads(_fetched(f"{place}/manifest.json"))
            break
        except FileNotFoundError:
            continue
        except (ValueError, RecursionError) as error:
            raise RunFailed(
                f"{place}/manifest.json cannot be read: {_short(error)}"
            ) from error
    else:
        raise RunFailed(
            f"{url} is not a release: it has no manifest.json; build one with moodroll-data build"
        )
    if not isinstance(manifest, dict) or not _lists_shards(manifest):
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


def _lists_shards(manifest: dict[str, Any]) -> bool:
    """Whether a manifest has what is read of it, in the form in which it is read."""
    if not {"schema_version", "vocabulary_sha256", "shards"} <= set(manifest):
        return False
    shards, remi = manifest["shards"], manifest.get("config", {})
    kinds = {"path": str, "split": str, "sha256": str, "rows": int}
    return (
        isinstance(remi, dict)
        and isinstance(remi.get("remi", {}), dict)
        and isinstance(shards, list)
        and all(
            isinstance(shard, dict)
            and all(type(shard.get(name)) is kind for name, kind in kinds.items())
            for shard in shards
        )
    )


def _fetched(url: str) -> bytes:
    """The bytes at a path or URL; raises FileNotFoundError, and RunFailed for whatever else its
    file system raises."""
    try:
        with fsspec.open(url, "rb") as stream:
            content: bytes = stream.read()
            return content
    except FileNotFoundError as error:
        # So fsspec says as well of a server that nobody reaches; then there is a cause.
        if error.__cause__ is not None and not hasattr(error.__cause__, "status"):
            raise RunFailed(f"{url} cannot be read: {_short(error.__cause__)}") from error
        raise
    except ImportError as error:
        raise RunFailed(f"{url} needs another package: {error}") from error
    # Each file system has exceptions of its own, and fsspec does not make them one kind
    except Exception as error:
        raise RunFailed(f"{url} cannot be read: {_short(error)}") from error


def _short(error: BaseException) -> str:
    says = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return (says or type(error).__name__)[:200]


def read_shard(release: Release, shard: dict[str, Any]) -> pa.Table:
    """The rows of one shard, its bytes checked against the manifest and its values against what
    is read of them; RunFailed where they differ."""
    path = f"{release.url}/{shard['path']}"
    try:
        content = _fetched(path)
    except FileNotFoundError as error:
        raise RunFailed(
            f"{path} cannot be read: it is not there; fetch the release again"
        ) from error
    if hashlib.sha256(content).hexdigest() != shard["sha256"]:
        raise RunFailed(
            f"{path} is not the file that was published (its sha256 differs): fetch the release again"
        )
    try:
        whole = pq.ParquetFile(pa.BufferReader(content))
        here = [name for name in COLUMNS if name in whole.schema_arrow.names]
        table = whole.read(columns=here)
    except (pa.ArrowException, OSError) as error:
        raise RunFailed(f"{path} is not Parquet: {_short(error)}") from error
    check_values(path, table, COLUMNS)
    return table
