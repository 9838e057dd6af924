"""A published release as flat files: checked against its manifest, converted once,
memory-mapped from then on."""

import hashlib
import json
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.manifest import canonical_sha256
from schemas.remi import N_BEATS, RemiConfig, vocabulary_sha256
from schemas.row import SCHEMA_VERSION, rows_of
from training.config import AXES, UNLABELLED, ViewConfig
from training.data.views import view_row
from training.errors import RunFailed

SPLITS = ("train", "validation", "test")
CACHE_VERSION = 2
COLUMNS = [
    "song_id", "source", "source_key", "title", "artist", "genre", "note_start", "note_duration", "note_pitch", "note_velocity",
    "note_track", "bar_start", "bar_length", "bar_numerator", "bar_denominator", "tempo_start", "tempo_bpm", "meter_source",
    "source_sha256", "folder_track_ids", "remi", "remi_bar_offset", "rhythm_onsets", "rhythm_sounding", "key", "n_notes",
    "tokens_per_bar_max", "label_rank", "judge", "valence_class", "arousal_class",
]  # fmt: skip
# The flat files of a split, and what stands in songs.npz, a value a song.
FILES = {"tokens": "u2", "bar_offset": "i8", "rhythm": "u1", "key": "u1"}
SONGS = {"n_bars": "i8", "label_rank": "f8", "judge": "?", "labels": "i8", "ids": "U"}


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


def prepare(release: Release, view: ViewConfig, cache: str | None = None) -> Path:
    """Folder of the release's flat files under `view`, made once; beside the release, or
    under `cache`."""
    asked = {field.name: getattr(view, field.name) for field in fields(ViewConfig)}
    name = canonical_sha256([CACHE_VERSION, release.sha256, asked])[:16]
    folder = (Path(cache) if cache else _beside(release.url)) / name
    if folder.exists():
        return folder
    making = folder.with_name(f"{name}.{os.getpid()}.part")
    try:
        making.mkdir(parents=True)
    except OSError as error:
        raise RunFailed(
            f"{making.parent} cannot be written ({error.strerror}): name another folder with --cache"
        ) from error
    try:
        counts = {split: _convert(release, split, view, making / split) for split in SPLITS}
        (making / "meta.json").write_text(
            json.dumps(
                {"release": release.sha256, "view": asked, "splits": counts}, indent=2
            )
        )
        try:
            making.rename(folder)
        except OSError:
            # Another process was quicker, and made the same.
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def _beside(url: str) -> Path:
    if "://" in url:
        return Path.home() / ".cache" / "moodroll"
    place = Path(url).absolute()
    return place.with_name(place.name + ".cache")


def _convert(
    release: Release, split: str, view: ViewConfig, folder: Path
) -> dict[str, int]:
    """Write the flat files of one split, shard after shard; what was counted."""
    shards = sorted(
        (shard for shard in release.manifest["shards"] if shard["split"] == split),
        key=lambda shard: shard["path"],
    )
    remi, songs = release.remi, []
    counts = dict.fromkeys(
        ("songs", "bars", "tokens", "bars_over", "notes", "notes_cut"), 0
    )
    folder.mkdir()
    with ExitStack() as stack:
        files = {name: stack.enter_context(open(folder / name, "wb")) for name in FILES}
        files["bar_offset"].write(bytes(8))
        for row in (row for shard in shards for row in rows_of(read_shard(release, shard))):
            seen = view_row(row, view, remi)
            arrays = (
                seen.tokens,
                seen.bar_offset[1:] + counts["tokens"],
                seen.rhythm,
                seen.key,
            )
            for (name, dtype), array in zip(FILES.items(), arrays, strict=True):
                files[name].write(np.ascontiguousarray(array, dtype).tobytes())
            labels = [
                UNLABELLED if row[f"{axis}_class"] is None else row[f"{axis}_class"]
                for axis in AXES
            ]
            songs.append(
                (len(seen.key), row["label_rank"], row["judge"], labels, row["song_id"])
            )
            found = (
                1,
                len(seen.key),
                len(seen.tokens),
                seen.bars_over,
                seen.notes,
                seen.notes_cut,
            )
            counts = {
                name: total + more
                for (name, total), more in zip(counts.items(), found, strict=True)
            }
    columns = zip(*songs, strict=True) if songs else [()] * len(SONGS)
    stored: dict[str, Any] = {
        name: np.array(c, SONGS[name]) for name, c in zip(SONGS, columns, strict=True)
    }
    np.savez(folder / "songs.npz", **stored)
    return counts


@dataclass(frozen=True, eq=False)
class Split:
    """The songs of one split as flat arrays: tokens (memory-mapped), bar_offset, rhythm
    (n_bars, 16), key (n_bars), and a value a song: n_bars, first_bar, label_rank, judge,
    labels (n_songs, 2: arousal, valence; -1 unlabelled), ids."""

    tokens: np.ndarray
    bar_offset: np.ndarray
    rhythm: np.ndarray
    key: np.ndarray
    n_bars: np.ndarray
    first_bar: np.ndarray
    label_rank: np.ndarray
    judge: np.ndarray
    labels: np.ndarray
    ids: list[str]
    counts: dict[str, int]


def open_split(folder: Path, split: str) -> Split:
    """One split of what `prepare` made."""
    paths = {name: folder / split / name for name in FILES}
    flat: dict[str, Any] = {
        name: np.memmap(path, FILES[name], "r")
        if path.stat().st_size
        else np.empty(0, FILES[name])
        for name, path in paths.items()
    }
    flat["rhythm"] = flat["rhythm"].reshape(-1, N_BEATS)
    with np.load(folder / split / "songs.npz", allow_pickle=False) as stored:
        songs = dict(stored)
    labels, ids = songs.pop("labels").reshape(-1, len(AXES)), songs.pop("ids").tolist()
    first_bar = np.cumsum(songs["n_bars"]) - songs["n_bars"]
    counts = json.loads((folder / "meta.json").read_text())["splits"][split]
    return Split(
        **flat, **songs, first_bar=first_bar, labels=labels, ids=ids, counts=counts
    )
