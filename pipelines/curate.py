"""curate: every verdict on every song, from small tables alone, into the catalog. Minutes, and
no song is read again."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import combinations, pairwise
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.beam.catalog import read_facts, together, write_catalog
from pipelines.beam.labels import MSD_GAVE, NAMED, Labelling, LabelSongs, by_bucket
from pipelines.beam.pairs import NearPairs, corpus_of
from pipelines.beam.runner import pipeline
from pipelines.catalog import (
    FACTS,
    Rules,
    decide,
    exact_pairs,
    judge_songs,
    thresholds_of,
    waterfall,
)
from pipelines.config import CurateConfig
from pipelines.dedupe.clusters import PAIRS
from pipelines.filters import FILTERS
from pipelines.io import files
from pipelines.io.tables import read_columns, write_table
from pipelines.labels.groups import KEYS
from pipelines.labels.side_files import read_metadata
from pipelines.labels.splits import SPLITS
from pipelines.labels.trust import trust_without_name
from pipelines.layout import CURATE_LOCK, INGEST_LOCK, metadata_path, read_lock, shard_path
from schemas.labels import QUADRANT_CLASSES
from schemas.manifest import Pin, to_json
from schemas.reject import BuildFailed, Reason
from schemas.row import CATALOG
from schemas.settings import SettingsError

# Lower ends of the bands of label_trust that matches are counted by.
TRUST_BANDS = (0.0, 0.5, 0.8)


def curate(config: CurateConfig, corpus: str, out: str, beam_args: Sequence[str]) -> dict[str, Any]:
    """Judge the songs ingested at `corpus` and write the catalog below `out`; gives what stands
    in the lock."""
    lock = read_lock(corpus)
    unknown = sorted(set(lock.read) - set(config.filters))
    if unknown:
        raise SettingsError(
            f"{corpus} holds songs of {unknown[0]}: add [sources.{unknown[0]}] to the build"
        )
    n_shards = lock.spec["shards"]
    rules = Rules(FILTERS, config.filters, config.affect, config.splits, config.seed)
    metadata, tables, pins = read_metadata(config.affect, corpus, out)
    claim(out)
    for kind, table in tables.items():
        write_table(metadata_path(out, kind), table.combine_chunks())
    labelling = Labelling(
        metadata, metadata != out, corpus, n_shards, config.affect, config.splits.by_artist
    )
    with pipeline(beam_args) as p:
        shards = p | "Shards" >> beam.Create(range(n_shards)) | "Spread" >> beam.Reshuffle()
        facts = shards | "Judge" >> beam.Map(
            read_facts, corpus, n_shards, partial(judge_songs, rules=rules)
        )
        near = shards | "Near" >> NearPairs(corpus_of(corpus, n_shards), config.dedupe)
        exact = (
            facts
            | "Content" >> beam.Map(pa.Table.select, ["song_id", "content_hash"])
            | "By content" >> beam.FlatMap(by_bucket, "content_hash")
            | "Same content" >> beam.GroupByKey()
            | "Exact pairs" >> beam.Map(pairs_in_bucket)
        )
        labelled, keys, msd = facts | "Label" >> LabelSongs(labelling)
        (
            {
                "facts": facts | "Facts" >> beam.WithKeys(0),
                "pairs": (exact, near)
                | "All pairs" >> beam.Flatten()
                | "Pairs" >> beam.WithKeys(0),
                "labelled": labelled | "Labelled" >> beam.WithKeys(0),
                "keys": keys | "Keys" >> beam.WithKeys(0),
            }
            | "Bring together" >> beam.CoGroupByKey()
            | "Decide" >> beam.FlatMap(decide_all, rules, n_shards)
            | "Write catalog" >> beam.Map(write_catalog, out, n_shards)
        )
        for kind, tables in msd.items():
            _ = (
                (tables, p | f"No {kind}" >> beam.Create([MSD_GAVE[kind].empty_table()]))
                | f"All {kind}" >> beam.Flatten()
                | f"Together {kind}" >> beam.WithKeys(0)
                | f"Gather {kind}" >> beam.GroupByKey()
                | f"Write {kind}" >> beam.Map(write_gathered, metadata_path(out, f"msd_{kind}"))
            )
    return close(config, out, n_shards, sum(lock.kept.values()), metadata, pins)


def refuse_taken(out: str, corpus: str) -> None:
    """Raise SettingsError where a split of `corpus` would be written over something else, or
    over the corpus itself."""
    if files.exists(files.join(out, INGEST_LOCK)):
        raise SettingsError(
            f"{out} holds an ingest, and a split of {corpus} would replace its release: choose another --out"
        )
    if (
        not files.exists(files.join(out, CURATE_LOCK))
        and files.exists(out)
        and files.BeamFiles().walk(out)
    ):
        raise SettingsError(f"{out} is not empty and holds no split: choose another --out")


def claim(out: str) -> None:
    """Make `out` a catalog's folder, with a lock that says it is not finished; raises
    SettingsError where it cannot be."""
    try:
        for folder in ("catalog", "rejects", "metadata"):
            files.make_folder(files.join(out, folder))
        files.write_text(files.join(out, CURATE_LOCK), to_json({}))
    except OSError as error:
        raise SettingsError(
            f"cannot write to {out} ({error.strerror or error}): choose another --out"
        ) from error


def pairs_in_bucket(bucket: tuple[int, Iterable[pa.Table]]) -> pa.Table:
    """The pairs of one content among the songs of a bucket."""
    return exact_pairs(pa.concat_tables(bucket[1]))


def decide_all(
    keyed: tuple[int, Mapping[str, Iterable[pa.Table]]], rules: Rules, n_shards: int
) -> Iterator[tuple[int, pa.Table]]:
    """(shard, catalog rows) of every shard."""
    facts, pairs = together(keyed[1]["facts"], FACTS), together(keyed[1]["pairs"], PAIRS)
    catalog = decide(
        facts, pairs, together(keyed[1]["labelled"], NAMED), together(keyed[1]["keys"], KEYS), rules
    )
    for shard in range(n_shards):
        yield shard, catalog.filter(pc.equal(catalog["shard"], shard)).select(CATALOG.names)


def write_gathered(keyed: tuple[int, Iterable[pa.Table]], path: str) -> None:
    """Tables from all shards as one file, each row once, sorted by their first two columns."""
    table = pa.concat_tables(keyed[1])
    table = table.group_by(table.column_names, use_threads=False).aggregate([])
    write_table(
        path,
        table.sort_by([(name, "ascending") for name in table.column_names[:2]]).combine_chunks(),
    )


def close(
    config: CurateConfig, out: str, n_shards: int, n_songs: int, metadata: str, pins: Sequence[Pin]
) -> dict[str, Any]:
    """Count the catalog, check that every ingested song is in it, and write the lock."""
    catalog = pa.concat_tables(
        read_columns(shard_path(out, "catalog", i, n_shards)) for i in range(n_shards)
    )
    if catalog.num_rows != n_songs:
        raise ValueError(f"{n_songs} songs were ingested, the catalog has {catalog.num_rows}")
    kept, thresholds = catalog.filter(catalog["kept"]), thresholds_of(catalog, config.affect)
    labels, refused = label_counts(catalog), refused_counts(metadata, out)
    wanted = bool(config.affect.labels) or labels["labelled"] > 0
    if wanted and (thresholds is None or not labels["labelled"]):
        rows = (
            f" (refused rows: {sum(refused.values()):,}, see metadata/refused.parquet)"
            if refused
            else ""
        )
        raise BuildFailed(
            f"no training song has a label{rows}: check that affect.matches and affect.labels are of this corpus"
        )
    lock = {
        "config": config.curate_spec(),
        "waterfall": waterfall(catalog, [*(rule.name for rule in FILTERS), Reason.DUPLICATE]),
        "clusters": cluster_sizes(catalog),
        "splits": {split: kept["split"].to_pylist().count(split) for split in SPLITS},
        "thresholds": asdict(thresholds) if thresholds else None,
        "labels": labels,
        "metadata": {"pins": [asdict(pin) for pin in pins], "refused": refused},
    }
    files.write_text(files.join(out, CURATE_LOCK), to_json(lock))
    return lock


def cluster_sizes(catalog: pa.Table) -> dict[str, int]:
    """How many duplicate clusters there are of each size, by size; a song alone is none."""
    members = Counter(catalog["cluster_id"].to_pylist())
    sizes = Counter(size for size in members.values() if size > 1)
    return {str(size): sizes[size] for size in sorted(sizes)}


def label_counts(catalog: pa.Table) -> dict[str, Any]:
    """Kept songs by source of label and by reason for none, by quadrant and split, and where
    matches disagree."""
    kept = catalog.filter(catalog["kept"])
    rows = kept.select(
        [
            "split",
            "quadrant",
            "label_source",
            "label_spread",
            "label_evidence",
            "trusted",
            "judge",
            "unlabelled",
            "valence",
        ]
    ).to_pylist()
    labelled = [row for row in rows if row["valence"] is not None]
    sources = Counter(row["label_source"].split(" lent by ")[0] for row in labelled)
    quadrants = Counter((row["split"], row["quadrant"] or "none") for row in labelled)
    return {
        "labelled": len(labelled),
        "trusted": sum(row["trusted"] for row in labelled),
        "lent": sum(" lent by " in row["label_source"] for row in labelled),
        "sources": dict(sorted(sources.items())),
        "unlabelled": dict(
            sorted(Counter(row["unlabelled"] for row in rows if row["valence"] is None).items())
        ),
        "disagreeing": {
            str(over): sum((row["label_spread"] or 0) > over for row in labelled)
            for over in (0.0, 0.1, 0.2)
        },
        "judge": sum(row["judge"] for row in rows),
        "cluster_agreement": cluster_agreement(catalog),
        "audit": name_audit(row["label_evidence"] for row in labelled),
        "quadrants": {
            split: {name: quadrants[split, name] for name in (*QUADRANT_CLASSES, "none")}
            for split in SPLITS
        },
    }


def name_audit(evidence: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Of labels whose song has a known true name, how many matches bear its title, and how many its
    artist too.

    By bands of label_trust as it would be without the name, from the band's name; the choice
    between several matches of a song is made with the name.
    """
    judged = [found for found in map(trust_without_name, evidence) if found]
    bands = {
        str(low): [name for name, trust in judged if low <= trust < high]
        for low, high in pairwise((*TRUST_BANDS, 2.0))
    }
    counts = {
        low: {
            "songs": len(names),
            "title": len(names) - names.count("other"),
            "artist": names.count("title+artist"),
        }
        for low, names in bands.items()
    }
    return {"songs": len(judged), "by_trust_without_name": counts}


def cluster_agreement(catalog: pa.Table) -> dict[str, Any]:
    """How often two songs of one duplicate cluster, each with a label of its own, have the same
    classes."""
    own = pc.invert(pc.fill_null(pc.match_substring(catalog["label_source"], " lent by "), True))
    rows = catalog.filter(own).select(["cluster_id", "valence_class", "arousal_class"]).to_pylist()
    clusters: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        clusters.setdefault(row["cluster_id"], []).append(row)
    pairs = [pair for members in clusters.values() for pair in combinations(members, 2)]
    same = {
        axis: sum(a[f"{axis}_class"] == b[f"{axis}_class"] for a, b in pairs)
        for axis in ("valence", "arousal")
    }
    return {"pairs": len(pairs), **same}


def refused_counts(metadata: str, out: str) -> dict[str, int]:
    """Refused rows of label tables and refused MSD files by why, without the values that stand
    after a colon."""
    paths = metadata_path(metadata, "refused"), metadata_path(out, "msd_refused")
    whys = Counter(
        why.partition(":")[0] for path in paths for why in read_columns(path)["why"].to_pylist()
    )
    return dict(sorted(whys.items()))
