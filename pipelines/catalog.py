"""Verdicts: what is decided about every song, kept or not, from the facts of all songs at
once.

Columnar and pure: a table of facts and a table of pairs in, the catalog out. Nothing
depends on the order of rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dedupe.clusters import components
from pipelines.dedupe.copies import numbered, surviving, why_duplicate
from pipelines.filters import FilterConfig
from pipelines.labels.allot import Allotted, Songs, allot
from pipelines.labels.config import TRAIN_MEDIAN, AffectConfig
from pipelines.labels.given import GIVEN, given_splits
from pipelines.labels.propagate import label_sources, propagate
from pipelines.labels.splits import SPLITS, Shares, is_for_judges, label_rank
from pipelines.labels.summary import numbers_of
from pipelines.labels.thresholds import Thresholds, apply_rule, fit_thresholds
from schemas.columns import CATALOG, SONGS, STATISTICS
from schemas.contracts import Filter
from schemas.reject import Reason
from schemas.row import to_table

FACTS = pa.schema(
    [
        *(SONGS.field(name) for name in STATISTICS),
        ("shard", pa.int32()),
        ("failed", pa.list_(pa.string())),
        ("details", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class Rules:
    """What decides: filters and their thresholds per source, the label rule, split
    shares and the seed."""

    filters: tuple[Filter, ...]
    thresholds: Mapping[str, FilterConfig]
    affect: AffectConfig
    shares: Shares
    seed: int


def apply_filters(statistics: pa.Table, shard: int, rules: Rules) -> pa.Table:
    """Facts: the statistics of a shard's songs with every rule each song fails and what
    it says."""
    rows = []
    for stats in statistics.to_pylist():
        verdicts = [
            (rule.name, rule.check(stats, rules.thresholds[stats["source"]]))
            for rule in rules.filters
        ]
        failed = {reason: says for reason, says in verdicts if says}
        rows.append(
            {
                **stats,
                "shard": shard,
                "failed": list(failed),
                "details": list(failed.values()),
            }
        )
    return to_table(rows, FACTS)


class Decided(NamedTuple):
    """catalog: CATALOG of all songs, with their shard as a last column, sorted by song_id;
    numbers: summary.NUMBERS of the same songs, from which the catalog's words of labels are
    written; groups: what became of groups, by name (allot.Allotted)."""

    catalog: pa.Table
    numbers: pa.Table
    groups: dict[str, int]


def decide(
    facts: pa.Table,
    pairs: pa.Table,
    labelled: pa.Table,
    keys: pa.Table,
    rules: Rules,
    given: pa.Table | None = None,
) -> Decided:
    """Every verdict on every song.

    pairs: PAIRS; labelled: settle.LABELLED, a row a song; keys: groups.KEYS, what songs are
    known by; given: given.GIVEN, published splits. Raises ValueError where these are not of
    the same songs.
    """
    facts, labelled = facts.sort_by("song_id"), labelled.sort_by("song_id")
    ids = facts["song_id"].to_pylist()
    if len(set(ids)) != len(ids) or labelled["song_id"].to_pylist() != ids:
        raise ValueError(
            "a song_id stands twice among the facts, or the labels are of other songs"
        )
    copies = numbered(ids, pairs.filter(pairs["duplicate"]))
    cluster = components(len(ids), copies.left, copies.right)
    survivor = surviving(facts, pc.is_valid(labelled["valence"]).to_numpy(), cluster)
    labelled = propagate(labelled, cluster)
    verdicts = filter_columns(facts, survivor, why_duplicate(ids, survivor, copies), rules)
    songs = songs_to_allot(facts, labelled, cluster, verdicts, given, rules)
    allotted = allot(songs, numbered(ids, pairs), keys, rules.seed, rules.shares)
    columns = {
        **label_columns(labelled),
        **set_aside(verdicts, allotted),
        **split_columns(ids, cluster, allotted, rules.seed),
        "song_id": ids,
        "source": facts["source"],
    }
    catalog = classed(assembled(columns, len(ids)), rules)
    catalog = catalog.append_column("shard", facts["shard"])
    return Decided(catalog, numbers_of(labelled), allotted.counts)


def songs_to_allot(
    facts: pa.Table,
    labelled: pa.Table,
    cluster: np.ndarray,
    verdicts: Mapping[str, Any],
    given: pa.Table | None,
    rules: Rules,
) -> Songs:
    """What allotting asks of songs. Shares are to hold in each source and quadrant; the
    thresholds of these quadrants are of all kept songs, since no split is known yet."""
    ids, kept = facts["song_id"].to_pylist(), np.array(verdicts["kept"], bool)
    values = labelled.select(["valence", "arousal"]).append_column("kept", pa.array(kept))
    thresholds = _thresholds(values.filter(values["kept"]), rules.affect)
    table = apply_rule(values, thresholds) if thresholds else values
    quadrant = table["quadrant"].to_pylist() if thresholds else [None] * len(ids)
    sources = facts["source"].to_pylist()
    published = GIVEN.empty_table() if given is None else given
    return Songs(
        ids,
        cluster,
        kept,
        [f"{source} {name or ''}" for source, name in zip(sources, quadrant, strict=True)],
        pc.is_valid(labelled["valence"]).to_numpy(),
        np.array(labelled["trusted"].to_pylist(), bool),
        given_splits(ids, facts["source_key"].to_pylist(), published),
    )


def label_columns(labelled: pa.Table) -> dict[str, Any]:
    """The catalog's columns of labels; words are written here, from numbers that stand
    beside."""
    columns = dict(zip(labelled.column_names, labelled.columns, strict=True))
    evidence = [words or [] for words in labelled["evidence"].to_pylist()]
    return {**columns, "label_source": label_sources(labelled), "label_evidence": evidence}


def filter_columns(
    facts: pa.Table, survivor: np.ndarray, says: Mapping[int, str], rules: Rules
) -> dict[str, Any]:
    """Every rule that each song fails, duplicates included, what each says, and the
    copies that each song stands for; says: what is said of each copy, by row."""
    failed, details = facts["failed"].to_pylist(), facts["details"].to_pylist()
    ids, sources = facts["song_id"].to_pylist(), facts["source"].to_pylist()
    copies: list[list[str]] = [[] for _ in ids]
    for song, detail in says.items():
        if rules.thresholds[sources[song]].drop_duplicates:
            copies[survivor[song]].append(ids[song])
            failed[song].append(Reason.DUPLICATE)
            details[song].append(detail)
    return {
        "kept": [not reasons for reasons in failed],
        "failed": failed,
        "detail": ["; ".join(said) for said in details],
        "duplicates": copies,
    }


def set_aside(verdicts: Mapping[str, Any], allotted: Allotted) -> dict[str, Any]:
    """The verdicts, and that songs which a key ties across splits are kept out of
    evaluation."""
    kept, failed, detail = (list(verdicts[name]) for name in ("kept", "failed", "detail"))
    for song, why in allotted.held.items():
        kept[song], detail[song] = False, why
        failed[song] = [Reason.HELD_OUT_OF_EVAL]
    return {**verdicts, "kept": kept, "failed": failed, "detail": detail}


def split_columns(
    ids: Sequence[str], cluster: np.ndarray, allotted: Allotted, seed: int
) -> dict[str, Any]:
    """Where each song falls, what it is known by, and the names of its cluster and group:
    of their first song."""
    return {
        "split": [SPLITS[split] for split in allotted.split.tolist()],
        "group_id": [ids[first] for first in allotted.group.tolist()],
        "cluster_id": [ids[first] for first in cluster.tolist()],
        "group_keys": allotted.keys,
        "label_rank": [label_rank(song_id, seed) for song_id in ids],
    }


def assembled(columns: Mapping[str, Any], n_songs: int) -> pa.Table:
    """Columns by name as a table with CATALOG's; null where there is none yet."""
    nothing = pa.nulls(n_songs)
    arrays = [_typed(columns.get(field.name, nothing), field.type) for field in CATALOG]
    return pa.table(arrays, CATALOG.names)


def _typed(values: Any, kind: pa.DataType) -> pa.ChunkedArray:
    if isinstance(values, pa.ChunkedArray | pa.Array):
        return values.cast(kind)
    return pa.array(values, kind)


def classed(catalog: pa.Table, rules: Rules) -> pa.Table:
    """The catalog with classes, quadrants and judges, which need all songs' labels and
    splits."""
    thresholds = thresholds_of(catalog, rules.affect)
    if thresholds:
        catalog = apply_rule(catalog, thresholds)
    train = pc.and_(catalog["kept"], pc.equal(catalog["split"], "train"))
    labelled = catalog.filter(pc.and_(train, pc.is_valid(catalog["valence"])))["group_id"]
    judges = {
        group
        for group in set(labelled.to_pylist())
        if is_for_judges(group, rules.seed, rules.shares.judge)
    }
    chosen = pc.and_(
        train, pc.is_in(catalog["group_id"], pa.array(sorted(judges), pa.string()))
    )
    columns = {
        **dict(zip(catalog.column_names, catalog.columns, strict=True)),
        "judge": chosen,
    }
    return pa.table([_typed(columns[field.name], field.type) for field in CATALOG], CATALOG)


def thresholds_of(catalog: pa.Table, affect: AffectConfig) -> Thresholds | None:
    """The thresholds fitted on the kept training songs of a catalog; None where a median
    has nothing to be taken of."""
    train = catalog.filter(pc.and_(catalog["kept"], pc.equal(catalog["split"], "train")))
    return _thresholds(train, affect)


def _thresholds(songs: pa.Table, affect: AffectConfig) -> Thresholds | None:
    valence, arousal = (
        songs[name].cast(pa.float64()).to_numpy() for name in ("valence", "arousal")
    )
    if affect.threshold == TRAIN_MEDIAN and not np.isfinite(valence).any():
        return None
    return fit_thresholds(affect.threshold, affect.margin, valence, arousal)


def waterfall(catalog: pa.Table, rules: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Per source and in all: songs in, failing each rule, failing it alone, kept. No
    rule is first, so none hides another."""
    sources = np.array(catalog["source"].to_pylist(), dtype=object)
    failed = catalog["failed"].to_pylist()
    result = {}
    for name in [*sorted(set(sources.tolist())), "all"]:
        mine = [
            reasons
            for source, reasons in zip(sources, failed, strict=True)
            if name in (source, "all")
        ]
        result[name] = {
            "in": len(mine),
            "failed": {rule: sum(rule in reasons for reasons in mine) for rule in rules},
            "failed_alone": {
                rule: sum(reasons == [rule] for reasons in mine) for rule in rules
            },
            "kept": sum(not reasons for reasons in mine),
        }
    return result
