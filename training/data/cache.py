"""The token cache: a release as flat files, converted once and memory-mapped from then on."""

import json
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from schemas.manifest import canonical_sha256
from schemas.remi import N_BEATS
from schemas.row import rows_of
from training.config import AXES, UNLABELLED, ViewConfig
from training.data.release import Release, read_shard
from training.data.views import view_row
from training.errors import RunFailed

SPLITS = ("train", "validation", "test")


CACHE_VERSION = 3


# The flat files of a split, and what stands in songs.npz, a value a song.
FILES = {"tokens": "u2", "bar_offset": "i8", "rhythm": "u1", "key": "u1", "tonic": "u1"}


SONGS = {"n_bars": "i8", "label_rank": "f8", "judge": "?", "labels": "i8", "ids": "U"}


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
                seen.tonic,
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
    (n_bars, 16), key and tonic (n_bars), and a value a song: n_bars, first_bar,
    label_rank, judge, labels (n_songs, 2: arousal, valence; -1 unlabelled), ids."""

    tokens: np.ndarray
    bar_offset: np.ndarray
    rhythm: np.ndarray
    key: np.ndarray
    tonic: np.ndarray
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
