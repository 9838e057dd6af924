"""curate: every verdict on every song, from small tables alone, into the catalog.
Minutes, and no song is read again."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.beam.catalog import read_facts, together, write_catalog
from pipelines.beam.labels import MSD_GAVE, LabelSongs, by_bucket
from pipelines.beam.pairs import NearPairs, SameTitles, corpus_of
from pipelines.beam.progress import by_shard, counted
from pipelines.beam.runner import pipeline
from pipelines.catalog import FACTS, Rules, apply_filters, decide, thresholds_of, waterfall
from pipelines.config import CurateConfig
from pipelines.dedupe.clusters import PAIRS
from pipelines.dedupe.copies import exact_pairs
from pipelines.filters import FILTERS
from pipelines.io import files
from pipelines.io.tables import read_columns, write_table
from pipelines.labels.config import Labelling
from pipelines.labels.corroboration import ALIKE, WORKS, corroborate
from pipelines.labels.given import GIVEN, merge_given
from pipelines.labels.groups import KEYS
from pipelines.labels.join import MATCHED
from pipelines.labels.own_songs import SONG_NAMES, own_keys, own_splits, with_own_labels
from pipelines.labels.people import PEOPLE, against_people
from pipelines.labels.settle import settle
from pipelines.labels.side_files import SideFiles, read_metadata, read_own
from pipelines.labels.splits import SPLITS
from pipelines.labels.summary import label_counts
from pipelines.layout import CURATE_LOCK, INGEST_LOCK, metadata_path, read_lock, shard_path
from schemas.columns import CATALOG
from schemas.manifest import Pin, to_json
from schemas.reject import BuildFailed, Reason
from schemas.settings import SettingsError

# The numbers that the catalog's words of labels were written from, and what became of
# groups.
LABEL_NUMBERS, GROUP_COUNTS = "label_numbers", "group_counts"
COUNTS_OF_GROUPS = pa.schema([("name", pa.string()), ("count", pa.int64())])


def curate(
    config: CurateConfig,
    corpus: str,
    out: str,
    beam_args: Sequence[str],
    side_files: SideFiles | None = None,
) -> dict[str, Any]:
    """Judge the songs ingested at `corpus` and write the catalog below `out`; gives what
    stands in the lock. side_files: what was read of them already, None to read them now."""
    lock = read_lock(corpus)
    unknown = sorted(set(lock.read) - set(config.filters))
    if unknown:
        raise SettingsError(
            f"{corpus} holds songs of {unknown[0]}: add [sources.{unknown[0]}] to the build"
        )
    n_shards = lock.spec["shards"]
    rules = Rules(FILTERS, config.filters, config.affect, config.splits, config.seed)
    sides = side_files or read_metadata(config.affect, config.splits, corpus, out)
    metadata, pins = sides.folder, sides.pins
    own, own_refused = own_labels(config, corpus, metadata, n_shards)
    written = {**sides.tables, "own": own, "own_refused": own_refused}
    claim(out)
    for kind, table in written.items():
        write_table(metadata_path(out, kind), table.combine_chunks())
    labelling = Labelling(
        metadata, metadata != out, corpus, n_shards, config.affect, config.splits.by_artist
    )
    with by_shard(out, "curate", n_shards), pipeline(beam_args) as p:
        shards = p | "Shards" >> beam.Create(range(n_shards)) | "Spread" >> beam.Reshuffle()
        facts = shards | "Judge" >> beam.Map(
            counted,
            read_facts,
            out,
            corpus,
            n_shards,
            partial(apply_filters, rules=rules),
        )
        signed = corpus_of(corpus, n_shards)
        near = shards | "Near" >> NearPairs(signed, config.dedupe)
        exact = (
            facts
            | "Content" >> beam.Map(pa.Table.select, ["song_id", "content_hash"])
            | "By content" >> beam.FlatMap(by_bucket, "content_hash")
            | "Same content" >> beam.GroupByKey()
            | "Exact pairs" >> beam.Map(pairs_in_bucket)
        )
        matched, keys, works, msd = facts | "Label" >> LabelSongs(labelling)
        alike = matched | "Same titles" >> SameTitles(signed, config.dedupe)
        decided = (
            {
                "facts": facts | "Facts" >> beam.WithKeys(0),
                "pairs": (exact, near)
                | "All pairs" >> beam.Flatten()
                | "Pairs" >> beam.WithKeys(0),
                "matched": matched | "Matched" >> beam.WithKeys(0),
                "keys": keys | "Keys" >> beam.WithKeys(0),
                "works": works | "Works" >> beam.WithKeys(0),
                "alike": alike | "Alike" >> beam.WithKeys(0),
            }
            | "Bring together" >> beam.CoGroupByKey()
            | "Decide"
            >> beam.FlatMap(decide_all, rules, out, n_shards).with_outputs(
                "numbers", "groups", main="catalog"
            )
        )
        _ = decided.catalog | "Write catalog" >> beam.Map(write_catalog, out, n_shards)
        _ = decided.numbers | "Write numbers" >> beam.Map(
            partial(write_table, metadata_path(out, LABEL_NUMBERS))
        )
        _ = decided.groups | "Write groups" >> beam.Map(
            partial(write_table, metadata_path(out, GROUP_COUNTS))
        )
        for kind, tables in msd.items():
            _ = (
                (tables, p | f"No {kind}" >> beam.Create([MSD_GAVE[kind].empty_table()]))
                | f"All {kind}" >> beam.Flatten()
                | f"Together {kind}" >> beam.WithKeys(0)
                | f"Gather {kind}" >> beam.GroupByKey()
                | f"Write {kind}"
                >> beam.Map(write_gathered, metadata_path(out, f"msd_{kind}"))
            )
    return close(config, out, n_shards, sum(lock.kept.values()), metadata, pins)


def own_labels(
    config: CurateConfig, corpus: str, metadata: str, n_shards: int
) -> tuple[pa.Table, pa.Table]:
    """What tables of one's own say of the songs at `corpus` (OWN, REFUSED); those of another
    build's metadata where it is taken."""
    held = [metadata_path(metadata, kind) for kind in ("own", "own_refused")]
    if metadata == corpus and not config.affect.own and all(map(files.exists, held)):
        return read_columns(held[0]), read_columns(held[1])
    songs = pa.concat_tables(
        read_columns(shard_path(corpus, "songs", index, n_shards), list(SONG_NAMES))
        for index in range(n_shards)
    )
    return read_own(config.affect, songs)


def refuse_taken(out: str, corpus: str) -> None:
    """Raise SettingsError where a split of `corpus` would be written over something
    else, or over the corpus itself."""
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
            files.remove_where(files.join(out, folder), lambda path: files.PART in path)
        files.write_text(files.join(out, CURATE_LOCK), to_json({}))
    except OSError as error:
        raise SettingsError(
            f"cannot write to {out} ({error.strerror or error}): choose another --out"
        ) from error


def pairs_in_bucket(bucket: tuple[int, Iterable[pa.Table]]) -> pa.Table:
    """The pairs of one content among the songs of a bucket."""
    return exact_pairs(pa.concat_tables(bucket[1]))


def decide_all(
    keyed: tuple[int, Mapping[str, Iterable[pa.Table]]],
    rules: Rules,
    out: str,
    n_shards: int,
) -> Iterator[Any]:
    """(shard, catalog rows) of every shard, and on the side the numbers behind the
    labels and what became of groups."""
    tables = keyed[1]
    own = read_columns(metadata_path(out, "own"))
    pairs = together(tables["pairs"], PAIRS)
    matched = together(tables["matched"], MATCHED)
    works, alike = together(tables["works"], WORKS), together(tables["alike"], ALIKE)
    counts = corroborate(matched, works, pairs, alike)
    given = [read_columns(metadata_path(out, "given")), own_splits(own).cast(GIVEN)]
    catalog, numbers, groups = decide(
        together(tables["facts"], FACTS),
        pairs,
        with_own_labels(settle(matched, counts, rules.affect), own),
        together([*tables["keys"], own_keys(own, KEYS)], KEYS),
        rules,
        merge_given(given),
    )
    yield beam.pvalue.TaggedOutput("numbers", numbers)
    counted = pa.table([list(groups), list(groups.values())], COUNTS_OF_GROUPS)
    yield beam.pvalue.TaggedOutput("groups", counted)
    for shard in range(n_shards):
        yield shard, catalog.filter(pc.equal(catalog["shard"], shard)).select(CATALOG.names)


def write_gathered(keyed: tuple[int, Iterable[pa.Table]], path: str) -> None:
    """Tables from all shards as one file, each row once, sorted by their first two
    columns."""
    table = pa.concat_tables(keyed[1])
    table = table.group_by(table.column_names, use_threads=False).aggregate([])
    write_table(
        path,
        table.sort_by(
            [(name, "ascending") for name in table.column_names[:2]]
        ).combine_chunks(),
    )


def close(
    config: CurateConfig,
    out: str,
    n_shards: int,
    n_songs: int,
    metadata: str,
    pins: Sequence[Pin],
) -> dict[str, Any]:
    """Count the catalog, check that every ingested song is in it, and write the lock."""
    catalog = pa.concat_tables(
        read_columns(shard_path(out, "catalog", i, n_shards)) for i in range(n_shards)
    )
    if catalog.num_rows != n_songs:
        raise ValueError(
            f"{n_songs} songs were ingested, the catalog has {catalog.num_rows}"
        )
    kept, thresholds = (
        catalog.filter(catalog["kept"]),
        thresholds_of(catalog, config.affect),
    )
    numbers = read_columns(metadata_path(out, LABEL_NUMBERS))
    labels = label_counts(catalog, numbers, thresholds)
    refused, groups = refused_counts(metadata, out), group_counts(config, catalog, out)
    refuse_leaking_splits(config, groups)
    wanted = bool(config.affect.labels or config.affect.own) or labels["labelled"] > 0
    if wanted and (thresholds is None or not labels["labelled"]):
        rows = (
            f" (refused rows: {sum(refused.values()):,}, see metadata/refused.parquet)"
            if refused
            else ""
        )
        raise BuildFailed(
            f"no training song has a label{rows}: check that affect.matches and affect.labels are of this corpus"
        )
    people = against_people(
        read_columns(metadata_path(metadata, "labels")),
        said_by_people(metadata),
        thresholds,
    )
    lock = {
        "config": config.curate_spec(),
        "waterfall": waterfall(
            catalog,
            [
                *(rule.name for rule in FILTERS),
                Reason.DUPLICATE,
                Reason.HELD_OUT_OF_EVAL,
            ],
        ),
        "clusters": cluster_sizes(catalog),
        "groups": groups,
        "splits": {split: kept["split"].to_pylist().count(split) for split in SPLITS},
        "thresholds": asdict(thresholds) if thresholds else None,
        "labels": labels,
        "people": people,
        "metadata": {"pins": [asdict(pin) for pin in pins], "refused": refused},
    }
    files.write_text(files.join(out, CURATE_LOCK), to_json(lock))
    return lock


def said_by_people(metadata: str) -> pa.Table:
    """PEOPLE of a build's metadata; nothing where an older program wrote them."""
    path = metadata_path(metadata, "people")
    return read_columns(path) if files.exists(path) else PEOPLE.empty_table()


def cluster_sizes(catalog: pa.Table) -> dict[str, int]:
    """How many duplicate clusters there are of each size, by size; a song alone is none."""
    members = Counter(catalog["cluster_id"].to_pylist())
    sizes = Counter(size for size in members.values() if size > 1)
    return {str(size): sizes[size] for size in sorted(sizes)}


def group_counts(config: CurateConfig, catalog: pa.Table, out: str) -> dict[str, Any]:
    """What became of groups: the shares asked for, groups of each size in kept songs, what
    was cut, tied and set aside."""
    found = read_columns(metadata_path(out, GROUP_COUNTS)).to_pylist()
    members = Counter(catalog.filter(catalog["kept"])["group_id"].to_pylist())
    sizes = Counter(members.values())
    held = [
        row["split"]
        for row in catalog.select(["split", "failed"]).to_pylist()
        if Reason.HELD_OUT_OF_EVAL in row["failed"]
    ]
    return {
        "asked": {split: getattr(config.splits, split) for split in SPLITS},
        "sizes": {str(size): sizes[size] for size in sorted(sizes)},
        "held_out": {split: held.count(split) for split in SPLITS[1:]},
        **{row["name"]: row["count"] for row in found},
    }


def refuse_leaking_splits(config: CurateConfig, groups: Mapping[str, Any]) -> None:
    """Raise BuildFailed where published splits part songs that are one piece."""
    if groups["given_conflicts"] and config.splits.given_leaks == "fail":
        raise BuildFailed(
            f"the published splits leak: {groups['given_conflicts']:,} songs outside training are of one "
            "group with songs of another split, catalog/ says which; set splits.given_leaks='set_aside' "
            "to leave them out of evaluation"
        )


def refused_counts(metadata: str, out: str) -> dict[str, int]:
    """Refused rows of label tables and refused MSD files by why, without the values that
    stand after a colon."""
    paths = [
        metadata_path(metadata, "refused"),
        metadata_path(out, "msd_refused"),
        metadata_path(out, "own_refused"),
    ]
    whys = Counter(
        why.partition(":")[0]
        for path in paths
        for why in read_columns(path)["why"].to_pylist()
    )
    return dict(sorted(whys.items()))
