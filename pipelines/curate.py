"""curate: every verdict on every song, from small tables alone, into the catalog. Minutes, and no note is read."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.affect.splits import SPLITS
from pipelines.config import BuildConfig
from pipelines.ingest import read_lock
from pipelines.registry import FILTERS
from pipelines.stages import files
from pipelines.stages.catalog import by_bucket, read_columns, read_facts, together, write_catalog
from pipelines.stages.pairs import NearPairs, corpus_of
from pipelines.stages.runner import pipeline
from pipelines.stages.shards import shard_path
from pipelines.verdicts import FACTS, PAIRS, Rules, decide, exact_pairs, judge_songs, waterfall
from schemas.manifest import to_json
from schemas.reject import Reason
from schemas.row import CATALOG
from schemas.settings import SettingsError, public

LOCK = "curate.lock.json"


def curate(config: BuildConfig, corpus: str, out: str, beam_args: Sequence[str]) -> dict[str, Any]:
    """Judge the songs ingested at `corpus` and write the catalog below `out`; gives what stands in the lock."""
    lock = read_lock(corpus)
    unknown = sorted(set(lock.read) - set(config.filters))
    if unknown:
        raise SettingsError(f"{corpus} holds songs of {unknown[0]}: add [sources.{unknown[0]}] to the build")
    n_shards, rules = lock.spec["shards"], Rules(FILTERS, config.filters, config.splits, config.seed)
    for folder in ("catalog", "rejects"):
        files.make_folder(files.join(out, folder))
    with pipeline(beam_args) as p:
        shards = p | "Shards" >> beam.Create(range(n_shards)) | "Spread" >> beam.Reshuffle()
        facts = shards | "Judge" >> beam.Map(read_facts, corpus, n_shards, partial(judge_songs, rules=rules))
        near = shards | "Near" >> NearPairs(corpus_of(corpus, n_shards), config.dedupe)
        exact = (
            facts
            | "By content" >> beam.FlatMap(by_bucket, "content_hash", ["song_id", "content_hash"])
            | "Same content" >> beam.GroupByKey()
            | "Exact pairs" >> beam.Map(pairs_in_bucket)
        )
        pairs = (exact, near) | "All pairs" >> beam.Flatten()
        (
            {"facts": facts | "Facts" >> beam.WithKeys(0), "pairs": pairs | "Pairs" >> beam.WithKeys(0)}
            | "Bring together" >> beam.CoGroupByKey()
            | "Decide" >> beam.FlatMap(decide_all, rules, n_shards)
            | "Write catalog" >> beam.Map(write_catalog, out, n_shards)
        )
    return close(config, out, n_shards, sum(lock.kept.values()))


def pairs_in_bucket(bucket: tuple[int, Iterable[pa.Table]]) -> pa.Table:
    """The pairs of one content among the songs of a bucket."""
    return exact_pairs(pa.concat_tables(bucket[1]))


def decide_all(
    keyed: tuple[int, Mapping[str, Iterable[pa.Table]]], rules: Rules, n_shards: int
) -> Iterator[tuple[int, pa.Table]]:
    """(shard, catalog rows) of every shard."""
    catalog = decide(together(keyed[1]["facts"], FACTS), together(keyed[1]["pairs"], PAIRS), rules)
    for shard in range(n_shards):
        yield shard, catalog.filter(pc.equal(catalog["shard"], shard)).select(CATALOG.names)


def close(config: BuildConfig, out: str, n_shards: int, n_songs: int) -> dict[str, Any]:
    """Count the catalog, check that every ingested song is in it, and write the lock."""
    columns = ["song_id", "source", "failed", "kept", "split", "cluster_id"]
    catalog = pa.concat_tables(read_columns(shard_path(out, "catalog", i, n_shards), columns) for i in range(n_shards))
    if catalog.num_rows != n_songs:
        raise ValueError(f"{n_songs} songs were ingested, the catalog has {catalog.num_rows}")
    kept = catalog.filter(catalog["kept"])
    lock = {
        "config": {name: public(getattr(config, name)) for name in ("name", "seed", "filters", "dedupe", "splits")},
        "waterfall": waterfall(catalog, [*(rule.reason for rule in FILTERS), Reason.DUPLICATE]),
        "clusters": cluster_sizes(catalog),
        "splits": {split: kept["split"].to_pylist().count(split) for split in SPLITS},
    }
    files.write_text(files.join(out, LOCK), to_json(lock))
    return lock


def cluster_sizes(catalog: pa.Table) -> dict[str, int]:
    """How many duplicate clusters there are of each size, by size; a song alone is none."""
    members = Counter(catalog["cluster_id"].to_pylist())
    sizes = Counter(size for size in members.values() if size > 1)
    return {str(size): sizes[size] for size in sorted(sizes)}


def read_curated(out: str) -> dict[str, Any]:
    """The lock of a finished curate; raises SettingsError where there is none."""
    path = files.join(out, LOCK)
    if not files.exists(path):
        raise SettingsError(f"no catalog at {out}: run moodroll-data curate first")
    return json.loads(files.read_bytes(path))
