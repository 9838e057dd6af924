"""Data: a release to batches. Tokens are converted once into flat files and memory-mapped; a batch is a pure function
of its number, so a run that resumes, and every rank, worker and thread, reads exactly what it should.
"""

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.manifest import canonical_sha256
from schemas.remi import BAR_TOKEN, EOS, N_BEATS, PAD, RemiConfig, vocabulary_sha256
from schemas.row import SCHEMA_VERSION, rows_of
from training.config import DataConfig, RunFailed, ViewConfig
from training.views import view_row

AXES = ("arousal", "valence")
UNLABELLED = -1
SPLITS = ("train", "validation", "test")
CACHE_VERSION = 1
COLUMNS = [
    "song_id", "source", "source_key", "title", "artist", "genre", "note_start", "note_duration", "note_pitch", "note_velocity",
    "note_track", "bar_start", "bar_length", "bar_numerator", "bar_denominator", "tempo_start", "tempo_bpm", "meter_source",
    "source_sha256", "folder_track_ids", "remi", "remi_bar_offset", "rhythm_onsets", "rhythm_sounding", "key", "n_notes",
    "tokens_per_bar_max", "label_rank", "judge", "valence_class", "arousal_class",
]  # fmt: skip
# Name, type and values a bar (or a song) of each flat file of a split; tokens and offsets stand apart.
BAR_ARRAYS = {"rhythm": ("u1", N_BEATS), "key": ("u1", 1)}
SONG_ARRAYS = {"n_bars": "i4", "label_rank": "f8", "judge": "?", "label_arousal": "i1", "label_valence": "i1"}


@dataclass(frozen=True)
class Release:
    """A published release: where it stands (folder or any fsspec URL), its manifest, and a hash of all that is in it."""

    url: str
    manifest: dict[str, Any]
    sha256: str


def open_release(url: str) -> Release:
    """The release in a folder, in a build's folder or at a URL; RunFailed where this program cannot read it."""
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
        raise RunFailed(f"{url} is not a release: it has no manifest.json; build one with moodroll-data build")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise RunFailed(
            f"{place} has schema version {manifest.get('schema_version')}, this program reads {SCHEMA_VERSION}: build it anew"
        )
    if manifest.get("vocabulary_sha256") != vocabulary_sha256():
        raise RunFailed(
            f"{place} was written with another token vocabulary than this program's REMI-923: build the release anew"
        )
    shards = sorted((shard["path"], shard["sha256"]) for shard in manifest["shards"])
    return Release(place, manifest, canonical_sha256(shards))


def read_shard(release: Release, shard: dict[str, Any]) -> pa.Table:
    """The rows of one shard, its bytes checked against the manifest; RunFailed where they differ."""
    path = f"{release.url}/{shard['path']}"
    try:
        with fsspec.open(path, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise RunFailed(f"{path} cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest() != shard["sha256"]:
        raise RunFailed(f"{path} is not the file that was published (its sha256 differs): fetch the release again")
    table = pq.read_table(pa.BufferReader(content), columns=COLUMNS)
    if missing := set(COLUMNS) - set(table.column_names):
        raise RunFailed(f"{path} has no column {min(missing)}: build the release anew")
    return table


def prepare(release: Release, view: ViewConfig, cache: str | None = None) -> Path:
    """Folder of the release's flat files under `view`, made once; beside the release, or under `cache`."""
    asked = {field.name: getattr(view, field.name) for field in fields(ViewConfig)}
    name = canonical_sha256([CACHE_VERSION, release.sha256, asked])[:16]
    folder = (Path(cache) if cache else _beside(release.url)) / name
    if (folder / "meta.json").exists():
        return folder
    making = folder.with_name(f"{name}.{os.getpid()}.part")
    try:
        making.mkdir(parents=True)
    except OSError as error:
        raise RunFailed(f"{making.parent} cannot be written ({error.strerror}): name another folder with --cache") from error
    try:
        counts = {split: _convert(release, split, view, making) for split in SPLITS}
        meta = {"release": release.sha256, "view": asked, "splits": counts}
        (making / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")
        if not (folder / "meta.json").exists():
            making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def _beside(url: str) -> Path:
    if "://" in url:
        return Path.home() / ".cache" / "moodroll"
    place = Path(url).absolute()
    return place.with_name(place.name + ".cache")


def _convert(release: Release, split: str, view: ViewConfig, folder: Path) -> dict[str, int]:
    """Write the flat files of one split, shard after shard; what was counted."""
    remi = RemiConfig(**release.manifest.get("config", {}).get("remi", {}))
    names = ["tokens", "bar_offset", *BAR_ARRAYS, *SONG_ARRAYS]
    files = {name: open(folder / f"{split}.{name}", "wb") for name in names}  # noqa: SIM115  closed below
    counts = dict.fromkeys(("songs", "bars", "tokens", "bars_over", "notes", "notes_cut"), 0)
    ids: list[str] = []
    files["bar_offset"].write(np.zeros(1, np.int64).tobytes())
    try:
        for shard in sorted((s for s in release.manifest["shards"] if s["split"] == split), key=lambda s: s["path"]):
            for row in rows_of(read_shard(release, shard)):
                seen = view_row(row, view, remi)
                files["tokens"].write(seen.tokens.tobytes())
                files["bar_offset"].write((seen.bar_offset[1:] + counts["tokens"]).tobytes())
                files["rhythm"].write(np.ascontiguousarray(seen.rhythm).tobytes())
                files["key"].write(seen.key.tobytes())
                labels = [UNLABELLED if row[f"{axis}_class"] is None else row[f"{axis}_class"] for axis in AXES]
                values = (len(seen.key), row["label_rank"], row["judge"], *labels)
                for (name, dtype), value in zip(SONG_ARRAYS.items(), values, strict=True):
                    files[name].write(np.array(value, dtype).tobytes())
                ids.append(row["song_id"])
                found = (1, len(seen.key), len(seen.tokens), seen.bars_over, seen.notes, seen.notes_cut)
                counts = {name: total + more for (name, total), more in zip(counts.items(), found, strict=True)}
    finally:
        for file in files.values():
            file.close()
    (folder / f"{split}.ids").write_text("\n".join(ids))
    return counts


@dataclass(frozen=True, eq=False)
class Split:
    """The songs of one split as flat arrays: tokens (memory-mapped), bar_offset, rhythm (n_bars, 16), key (n_bars), and a
    value a song: n_bars, first_bar, label_rank, judge, labels (n_songs, 2: arousal, valence; -1 unlabelled), ids."""

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

    def flat(name: str, dtype: str) -> np.ndarray:
        path = folder / f"{split}.{name}"
        return np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)

    bars = {
        name: flat(name, dtype).reshape(-1, width).squeeze(1) if width == 1 else flat(name, dtype).reshape(-1, width)
        for name, (dtype, width) in BAR_ARRAYS.items()
    }
    songs = {name: np.array(flat(name, dtype)) for name, dtype in SONG_ARRAYS.items()}
    labels = np.stack([songs.pop(f"label_{axis}") for axis in AXES], axis=1).astype(np.int64)
    ids = (folder / f"{split}.ids").read_text().split("\n") if len(labels) else []
    first = np.cumsum(songs["n_bars"], dtype=np.int64) - songs["n_bars"]
    counts = json.loads((folder / "meta.json").read_text())["splits"][split]
    return Split(
        flat("tokens", "u2"), flat("bar_offset", "i8"), **bars, first_bar=first, labels=labels, ids=ids, counts=counts, **songs
    )


@dataclass(frozen=True, eq=False)
class Batch:
    """B crops of T bars: tokens, target int16 (B, T, L), PAD where there is none; rhythm uint8 (B, T, 16); key uint8 (B, T);
    label int64 (B, 2), -1 where none is used; song, start: which bars these are."""

    tokens: np.ndarray
    target: np.ndarray
    rhythm: np.ndarray
    key: np.ndarray
    label: np.ndarray
    song: np.ndarray
    start: np.ndarray


def crops(split: Split, song: np.ndarray, start: np.ndarray, bars: int, length: int, label: np.ndarray) -> Batch:
    """Crops of `bars` bars from bar `start` of each song; a bar's last target is the next Bar, or EOS after the song's last."""
    bar = (split.first_bar[song] + start)[:, None] + np.arange(bars)
    first = split.bar_offset[bar]
    n_tokens = split.bar_offset[bar + 1] - first
    place = np.arange(length)
    at = np.minimum(first[..., None] + place, len(split.tokens) - 1)
    inside = place < n_tokens[..., None]
    tokens = np.where(inside, split.tokens[at], PAD).astype(np.int16)
    target = np.where(place < n_tokens[..., None] - 1, split.tokens[np.minimum(at + 1, len(split.tokens) - 1)], PAD).astype(
        np.int16
    )
    is_end = bar == (split.first_bar + split.n_bars - 1)[song][:, None]
    np.put_along_axis(target, n_tokens[..., None] - 1, np.where(is_end, EOS, BAR_TOKEN)[..., None].astype(np.int16), axis=2)
    return Batch(tokens, target, split.rhythm[bar], split.key[bar], label, song, start)


def used_labels(split: Split, usable: np.ndarray, supervision: float) -> np.ndarray:
    """Labels (n_songs, 2) with -1 wherever the supervision rate withholds them: the lowest label_rank are used first."""
    labels = np.where(usable[:, None], split.labels, UNLABELLED)
    labelled = np.flatnonzero((labels != UNLABELLED).any(axis=1))
    allowed = (
        labelled
        if supervision >= 1
        else labelled[np.argsort(split.label_rank[labelled], kind="stable")][: round(supervision * usable.sum())]
    )
    used = np.full_like(labels, UNLABELLED)
    used[allowed] = labels[allowed]
    return used


class Loader:
    """Endless batches of one split; `step` is the next one's number and the loader's whole state.

    Every epoch takes each usable song once, in an order and at a random bar that (seed, epoch) alone decide; an epoch
    runs on into the next without a short batch. Rank r of `world` takes every world-th crop of each batch. Songs shorter
    than a crop, and (of the training split) songs set aside for judges, are left out: `left_out` counts them.
    """

    def __init__(
        self, split: Split, config: DataConfig, batch: int, seed: int, rank: int = 0, world: int = 1, judges: bool = False
    ) -> None:
        long_enough = split.n_bars >= config.bars
        if not long_enough.any():
            longest = int(split.n_bars.max()) if len(split.n_bars) else 0
            raise RunFailed(f"no song has data.bars = {config.bars} bars (the longest has {longest}): lower data.bars")
        usable = long_enough & (judges | ~split.judge)
        self.left_out = {"too_short": int((~long_enough).sum()), "for_judges": int((long_enough & ~usable).sum())}
        if not usable.any():
            raise RunFailed(
                "every song that is long enough is set aside for judges: build the release with a smaller judge share"
            )
        if batch % world:
            raise RunFailed(f"train.batch = {batch} does not divide among {world} ranks")
        self.labels = used_labels(split, usable, config.supervision)
        has_label = (self.labels != UNLABELLED).any(axis=1)
        self.n_songs, self.n_labelled = int(usable.sum()), int(has_label.sum())
        if config.supervision > 0 and not self.n_labelled:
            raise RunFailed(
                "no song of the split has a label: give a labelled release, or set data.supervision=0 to train without"
            )
        self.split, self.config, self.seed, self.rank, self.world, self.step = split, config, seed, rank, world, 0
        groups = [(np.flatnonzero(usable), batch)]
        if config.labelled_share >= 0:
            n_labelled = round(config.labelled_share * batch)
            groups = [
                (np.flatnonzero(usable & has_label), n_labelled),
                (np.flatnonzero(usable & ~has_label), batch - n_labelled),
            ]
            if any(count and not len(songs) for songs, count in groups):
                raise RunFailed(
                    f"data.labelled_share = {config.labelled_share} needs both labelled and unlabelled songs in the split"
                )
        self.groups = [(songs, count) for songs, count in groups if count]
        self._order = lru_cache(maxsize=8)(self._shuffle)

    def _shuffle(self, group: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng([self.seed, group, epoch])
        songs = random.permutation(self.groups[group][0])
        room = self.split.n_bars[songs] - self.config.bars + 1
        return songs, np.floor(random.random(len(songs)) * room).astype(np.int64)

    def batch_at(self, step: int) -> Batch:
        """This rank's part of batch number `step`."""
        chosen: list[tuple[int, int]] = []
        for group, (songs, count) in enumerate(self.groups):
            for place in range(step * count, (step + 1) * count):
                order, starts = self._order(group, place // len(songs))
                chosen.append((int(order[place % len(songs)]), int(starts[place % len(songs)])))
        song, start = np.array(chosen[self.rank :: self.world], np.int64).T
        return crops(self.split, song, start, self.config.bars, self.config.tokens_per_bar, self.labels[song])

    def __iter__(self) -> Iterator[Batch]:
        """Batches from `step` on, made ahead by threads; `step` moves on as each is taken."""
        with ThreadPoolExecutor(max(1, self.config.threads)) as pool:
            ahead = deque(pool.submit(self.batch_at, self.step + later) for later in range(self.config.threads + 1))
            while True:
                batch = ahead.popleft().result()
                ahead.append(pool.submit(self.batch_at, self.step + self.config.threads + 1))
                self.step += 1
                yield batch

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands."""
        return {"step": self.step, "seed": self.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to where state_dict was taken; RunFailed for another seed, whose batches are others."""
        if state["seed"] != self.seed:
            raise RunFailed(
                f"the checkpoint's data came in the order of seed {state['seed']}, not {self.seed}: keep train.seed"
            )
        self.step = state["step"]


def describe(loader: Loader) -> dict[str, Any]:
    """What a run's log says of its data, with the share of bars that did not fit and of notes cut for it."""
    counts = loader.split.counts
    shares = {
        "bars_over_share": counts["bars_over"] / max(counts["bars"], 1),
        "notes_cut_share": counts["notes_cut"] / max(counts["notes"], 1),
    }
    return {**counts, **shares, "songs_used": loader.n_songs, "songs_labelled": loader.n_labelled, **loader.left_out}


def as_plain(config: Any) -> Any:
    """A frozen configuration as JSON values."""
    return json.loads(json.dumps(asdict(config)))
