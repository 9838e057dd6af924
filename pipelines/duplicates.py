"""duplicates: a song's cluster and group, with how alike their members are, recomputed
from the signatures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dedupe.candidates import DedupeConfig, Pairs
from pipelines.dedupe.clusters import compare, shared_shingles
from pipelines.io.tables import read_columns
from pipelines.layout import read_curated, read_lock, shard_path
from schemas.settings import SettingsError, build

COLUMNS = ["song_id", "kept", "cluster_id", "group_id", "split", "detail"]


def duplicates(folder: str, song_id: str) -> list[dict[str, Any]]:
    """The songs of a song's group, by song_id, in a build's folder: verdicts, titles, and
    likeness to that song.

    Raises SettingsError where the folder holds no curated build or no such song.
    """
    lock, curated = read_lock(folder), read_curated(folder)
    n_shards = lock.spec["shards"]
    catalog = pa.concat_tables(
        read_columns(shard_path(folder, "catalog", i, n_shards), COLUMNS)
        for i in range(n_shards)
    )
    mine = catalog.filter(pc.equal(catalog["song_id"], song_id)).to_pylist()
    if not mine:
        raise SettingsError(
            f"no song {song_id} in the catalog of {folder}: give a song_id as it stands there"
        )
    members = catalog.filter(pc.equal(catalog["group_id"], mine[0]["group_id"])).sort_by(
        "song_id"
    )
    rows = members.append_column(
        "same_cluster", pc.equal(members["cluster_id"], mine[0]["cluster_id"])
    ).to_pylist()
    ids = [row["song_id"] for row in rows]
    titles = _look_up(folder, "songs", n_shards, ids, ["song_id", "title", "artist"])
    signatures = _look_up(folder, "signatures", n_shards, ids, ["song_id", "shingles"])
    likeness = alike(
        song_id, ids, signatures, build(DedupeConfig, curated["config"]["dedupe"])
    )
    return [
        {**row, **titles[row["song_id"]], **like}
        for row, like in zip(rows, likeness, strict=True)
    ]


def _look_up(
    folder: str, kind: str, n_shards: int, ids: Sequence[str], columns: list[str]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for index in range(n_shards):
        table = read_columns(shard_path(folder, kind, index, n_shards), columns)
        table = table.filter(pc.is_in(table["song_id"], pa.array(ids)))
        found.update({row["song_id"]: row for row in table.to_pylist()})
    return found


def alike(
    song_id: str,
    ids: Sequence[str],
    signatures: dict[str, dict[str, Any]],
    config: DedupeConfig,
) -> list[dict[str, float]]:
    """Jaccard and containment of one song with each."""
    shingles = [np.array(signatures[one]["shingles"], np.uint64) for one in ids]
    first, second = (
        np.full(len(ids), ids.index(song_id), np.int32),
        np.arange(len(ids), dtype=np.int32),
    )
    pairs = Pairs(first, second, shared_shingles(first, second, shingles))
    verdicts = compare(pairs, np.array([len(one) for one in shingles]), config)
    return [
        {"jaccard": float(j), "containment": float(c)}
        for j, c in zip(verdicts.jaccard, verdicts.containment, strict=True)
    ]


def duplicates_text(rows: Sequence[dict[str, Any]], song_id: str) -> str:
    """One line a song: likeness to the asked one, what became of it, and what it is
    called."""
    lines = [f"{'Jaccard':>8} {'contained':>9}  {'what':<9} {'split':<10} song"]
    for row in rows:
        what = "kept" if row["kept"] else "removed"
        name = " - ".join(part for part in (row["artist"], row["title"]) if part)
        mark = (
            " (asked)"
            if row["song_id"] == song_id
            else ""
            if row["same_cluster"]
            else " (same group, not a duplicate)"
        )
        lines.append(
            f"{row['jaccard']:8.2f} {row['containment']:9.2f}  {what:<9} {row['split']:<10} {row['song_id']} {name}{mark}"
        )
        if not row["kept"]:
            lines.append(f"{'':31}{row['detail']}")
    return "\n".join(line.rstrip() for line in lines)
