"""Checks: what one shard of a release must hold to be sound, and what of it is compared across shards."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.dedupe.fingerprint import content_hash
from pipelines.dedupe.shingles import ShingleConfig, shingles
from pipelines.features import rhythm, statistics
from pipelines.io import files
from pipelines.labels.names import ARTIST, TITLE, normalise
from pipelines.layout import DATA
from schemas.columns import RELEASE
from schemas.grid import quantise
from schemas.keys import NO_KEY
from schemas.remi import RemiConfig, encode
from schemas.row import from_row, rows_of, to_row
from schemas.settings import build
from schemas.song import Song

# Artist and title in normal form, as the corpus and as the matched track have them.
NAMES = {
    "artist and title": ("artist", "title"),
    "matched artist and title": ("msd_artist", "msd_title"),
}


# What each song says of the copies that it stands for
COPIES = "duplicates"


LABELS = ("valence", "arousal", "valence_class", "arousal_class", "quadrant", "judge")


# What the songs of one split alone may have: a value that stands in two splits is a leak.
GROUPINGS = ("song_id", "group_id", "cluster_id", "content_hash", "msd_track_id", *NAMES)


SHINGLES = "shingles"
# Lists of which no value may stand in two splits.
KEYS = "group_keys"


# Problems of a shard; the grouping columns of its songs and their shingles.
Checked = tuple[list[str], dict[str, list[Any]]]


def check_shard(
    release: str, config: Mapping[str, Any], shard: Mapping[str, Any]
) -> Checked:
    """What is wrong with one shard, and the grouping columns of its songs."""
    table, problems = read_shard(release, shard)
    remi, grams = (
        build(RemiConfig, config["remi"]),
        build(ShingleConfig, config["shingles"]),
    )
    signatures = []
    for row in rows_of(table):
        wrong, signature = check_row(row, shard["split"], remi, grams)
        wrong += missing_keys(row)
        problems += [f"{shard['path']} {row['song_id']}: {what}" for what in wrong]
        signatures.append(signature)
    columns = {
        name: table[name].to_pylist()
        for name in (*GROUPINGS, *LABELS, KEYS, COPIES)
        if name not in NAMES
    }
    return problems, {
        **columns,
        **{name: name_keys(table, *parts) for name, parts in NAMES.items()},
        SHINGLES: signatures,
    }


def read_shard(release: str, shard: Mapping[str, Any]) -> tuple[pa.Table, list[str]]:
    """The rows of a shard, none where it is not the one that was published, and what is
    wrong with it as a whole."""
    path, nothing = shard["path"], RELEASE.empty_table()
    try:
        data = files.read_bytes(files.join(release, *path.split("/")))
    except (OSError, ValueError) as error:
        says = getattr(error, "strerror", None) or error
        return nothing, [f"{path} cannot be read: {says}"]
    if (len(data), hashlib.sha256(data).hexdigest()) != (shard["bytes"], shard["sha256"]):
        return nothing, [
            f"{path} has {len(data)} bytes that are not those the manifest hashes"
        ]
    try:
        table = pq.read_table(BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        return nothing, [f"{path} is not Parquet: {error}"]
    if not table.schema.equals(RELEASE):
        return nothing, [f"{path} has another schema than this moodroll's release"]
    problems = []
    if table.num_rows != shard["rows"]:
        problems.append(
            f"{path} has {table.num_rows} rows, the manifest says {shard['rows']}"
        )
    # Whoever reads the release by its globs knows splits by these names alone.
    if not path.startswith(f"{DATA}/{shard['split']}-"):
        problems.append(f"{path} is named as of another split than {shard['split']}")
    return table, problems


def name_keys(table: pa.Table, artist: str, title: str) -> list[str]:
    """What a song is called, in normal form; empty where either part says nothing."""
    parts = (
        normalise(table[artist], ARTIST).to_pylist(),
        normalise(table[title], TITLE).to_pylist(),
    )
    return [
        f"{one}|{other}" if one and other else "" for one, other in zip(*parts, strict=True)
    ]


def missing_keys(row: Mapping[str, Any]) -> list[str]:
    """That a song is not known by the match it takes, where it is not."""
    track = row["msd_track_id"]
    known = track is None or f"track_id:{track}" in row[KEYS]
    return [] if known else [f"{KEYS} lacks its track {track}"]


def key_leaks(songs: Iterable[tuple[str, str, Iterable[str]]]) -> Iterator[str]:
    """A sentence for every key that stands in two splits; songs: song_id, split, keys."""
    first: dict[str, dict[str, str]] = {}
    for song_id, split, keys in songs:
        for key in keys:
            first.setdefault(key, {}).setdefault(split, song_id)
    for key, of in sorted(first.items()):
        if len(of) > 1:
            where = " and ".join(f"{song} in {split}" for split, song in sorted(of.items()))
            yield f"{key} ties {where}: a leak"


def check_row(
    row: Mapping[str, Any], split: str, remi: RemiConfig, grams: ShingleConfig
) -> tuple[list[str], np.ndarray]:
    """What is wrong with one song, and its shingles."""
    wrong = (
        []
        if row["split"] == split
        else [f"it says split {row['split']} in a shard of {split}"]
    )
    try:
        song = from_row(row)
    except ValueError as error:
        return [*wrong, f"its notes break the record: {error}"], np.zeros(0, np.uint64)
    return [*wrong, *differences(row, song, remi)], shingles(song.notes, grams)


def differences(row: Mapping[str, Any], song: Song, config: RemiConfig) -> Iterator[str]:
    """Columns that differ from what a song's notes, bars and tempi give."""
    grid = quantise(song)
    features = {
        **rhythm.compute(song, grid),
        **statistics.compute(song, grid),
        "content_hash": content_hash(song, grid),
    }
    for name, value in to_row(song, encode(song, grid, config), features).items():
        # Numbers that are no counts are published as float32.
        if not np.array_equal(
            row[name], np.float32(value) if isinstance(value, float) else value
        ):
            yield f"{name} is not what its notes give"
    # Keys are followed through the whole song, which takes longer than all the rest: here
    # they are only counted.
    for name in ("key", "key_confidence"):
        if len(row[name]) != len(song.bars):
            yield f"{name} has {len(row[name])} values for {len(song.bars)} bars"
    if max(row["key"], default=NO_KEY) > NO_KEY:
        yield f"key has a number over {NO_KEY}"
