"""The token cache: a release as flat files, converted once and memory-mapped from then on."""

import hashlib
import json
import os
import shutil
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from schemas.manifest import canonical_sha256
from schemas.remi import N_BEATS
from schemas.row import rows_of
from schemas.working import stage
from training.config import AXES, UNLABELLED, ViewConfig
from training.data.release import Release, read_shard
from training.data.views import view_row
from training.errors import RunFailed

SPLITS = ("train", "validation", "test")


CACHE_VERSION = 3


META, SONGS_FILE = "meta.json", "songs.npz"


# The flat files of a split, and what stands in songs.npz, a value a song.
FILES = {"tokens": "u2", "bar_offset": "i8", "rhythm": "u1", "key": "u1", "tonic": "u1"}


SONGS = {
    "n_bars": "i8", "label_rank": "f8", "judge": "?", "is_cut": "?", "labels": "i8", "ids": "U",
}  # fmt: skip


def prepare(release: Release, view: ViewConfig, cache: str | None = None) -> Path:
    """Folder of the release's flat files under `view`, made once; beside the release, or
    under `cache`. What is torn or was changed since is made again."""
    asked = {field.name: getattr(view, field.name) for field in fields(ViewConfig)}
    name = canonical_sha256([CACHE_VERSION, release.sha256, asked])[:16]
    folder = (Path(cache) if cache else _beside(release.url)) / name
    if folder.exists():
        with stage("the token cache is checked"):
            fault = fault_of(folder)
        if not fault:
            return folder
        print(f"{folder} {fault}: it is made again", file=sys.stderr, flush=True)
    try:
        _make(folder, release, view, asked)
    except OSError as error:
        raise RunFailed(
            f"{folder.parent} cannot be written ({error.strerror}): name another folder with --cache"
        ) from error
    return folder


def _make(folder: Path, release: Release, view: ViewConfig, asked: dict[str, Any]) -> None:
    """Write the flat files under a temporary name, to the disk, and rename them."""
    remove_leftovers(folder.parent)
    making = folder.with_name(f"{folder.name}.{_writer(os.getpid())}")
    making.mkdir(parents=True)
    try:
        counts = {split: _convert(release, split, view, making / split) for split in SPLITS}
        facts = {
            "release": release.sha256,
            "view": asked,
            "splits": counts,
            "files": {name: list(_seal(making / name)) for name in _names()},
        }
        text = json.dumps({**facts, "sha256": canonical_sha256(facts)}, indent=2)
        (making / META).write_text(text)
        _seal(making / META)
        if folder.exists() and fault_of(folder):
            shutil.rmtree(folder, ignore_errors=True)
        try:
            making.rename(folder)
        except OSError:
            # Another process was quicker, and made the same.
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _names() -> list[str]:
    """The files of a cache, but for META, which says what they must be."""
    return [f"{split}/{name}" for split in SPLITS for name in (*FILES, SONGS_FILE)]


def _seal(path: Path) -> tuple[int, str]:
    """See that a file is on the disk; its size and hash."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return path.stat().st_size, sha256


def fault_of(folder: Path) -> str:
    """What is wrong with a cache, in words that follow its name; "" where it is whole."""
    try:
        facts = json.loads((folder / META).read_text("utf-8"))
        sealed = facts.pop("sha256")
        if sealed != canonical_sha256(facts):
            return f"has a {META} that was changed"
        for name in _names():
            if (size := (folder / name).stat().st_size) != facts["files"][name][0]:
                return f"has {size:,} bytes of {name}, not {facts['files'][name][0]:,}"
        for name in _names():
            if _seal(folder / name)[1] != facts["files"][name][1]:
                return f"has a {name} that was changed"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "is not whole"
    return ""


def _writer(pid: int) -> str:
    """The end of the name of a cache that a process of this machine makes."""
    return f"{socket.gethostname()}-{pid}.part"


def remove_leftovers(folder: Path) -> None:
    """Take away what killed runs of this machine have left half made."""
    for path in folder.glob(f"*.{socket.gethostname()}-*.part"):
        pid = path.name.removesuffix(".part").rpartition("-")[2]
        if pid.isdecimal() and not _lives(int(pid)):
            shutil.rmtree(path, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another's
        return True
    return True


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
    total = sum(shard["rows"] for shard in shards)
    with (
        stage(f"tokens of {split}", lambda: f"{counts['songs']:,} of {total:,} songs"),
        ExitStack() as stack,
    ):
        files = {name: stack.enter_context(open(folder / name, "wb")) for name in FILES}
        files["bar_offset"].write(bytes(8))
        for row in (row for shard in shards for row in rows_of(read_shard(release, shard))):
            try:
                seen = view_row(row, view, remi)
            except (ValueError, IndexError) as error:
                raise RunFailed(
                    f"{release.url}: {row['song_id']} cannot be read ({error}): "
                    "moodroll-data verify says what differs"
                ) from error
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
            of_song = (row["label_rank"], row["judge"], row["is_cut"])
            songs.append((len(seen.key), *of_song, labels, row["song_id"]))
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
    np.savez(folder / SONGS_FILE, **stored)
    return counts


@dataclass(frozen=True, eq=False)
class Split:
    """The songs of one split as flat arrays: tokens (memory-mapped), bar_offset, rhythm
    (n_bars, 16), key and tonic (n_bars), and a value a song: n_bars, first_bar,
    label_rank, judge, is_cut, labels (n_songs, 2: arousal, valence; -1 unlabelled), ids."""

    tokens: np.ndarray
    bar_offset: np.ndarray
    rhythm: np.ndarray
    key: np.ndarray
    tonic: np.ndarray
    n_bars: np.ndarray
    first_bar: np.ndarray
    label_rank: np.ndarray
    judge: np.ndarray
    is_cut: np.ndarray
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
    with np.load(folder / split / SONGS_FILE, allow_pickle=False) as stored:
        songs = dict(stored)
    labels, ids = songs.pop("labels").reshape(-1, len(AXES)), songs.pop("ids").tolist()
    first_bar = np.cumsum(songs["n_bars"]) - songs["n_bars"]
    counts = json.loads((folder / META).read_text())["splits"][split]
    return Split(
        **flat, **songs, first_bar=first_bar, labels=labels, ids=ids, counts=counts
    )
