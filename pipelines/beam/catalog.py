"""The coats around verdicts: statistics in, keyed tables between, catalog shards out."""

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from pipelines.io.tables import read_columns, write_rows
from pipelines.layout import curate_rejects_path, shard_path
from schemas.columns import CATALOG, REJECTS, STATISTICS
from schemas.reject import Reject


def read_facts(
    index: int, corpus: str, n_shards: int, judge: Callable[[pa.Table, int], pa.Table]
) -> pa.Table:
    """The statistics of one songs shard, judged."""
    return judge(
        read_columns(shard_path(corpus, "songs", index, n_shards), STATISTICS), index
    )


def together(tables: Iterable[pa.Table], empty: pa.Schema) -> pa.Table:
    """Tables as one; no table is an empty one. Their order is the runner's: whoever
    takes this sorts."""
    return pa.concat_tables([empty.empty_table(), *tables])


def write_catalog(verdicts: tuple[int, pa.Table], out: str, n_shards: int) -> int:
    """One shard of the catalog, its rows as those of the songs shard, and a Reject for
    every song that is not kept."""
    index, catalog = verdicts
    rows = catalog.to_pylist()
    write_rows(shard_path(out, "catalog", index, n_shards), CATALOG, rows)
    left = [vars(reject_of(row)) for row in rows if not row["kept"]]
    write_rows(curate_rejects_path(out, index, n_shards), REJECTS, left)
    return index


def reject_of(row: dict[str, Any]) -> Reject:
    """A song's first failed rule is its reason; the detail has what they all say."""
    return Reject(
        row["song_id"],
        row["source"],
        "curate",
        row["failed"][0],
        f"{', '.join(row['failed'])}: {row['detail']}",
    )
