"""Verdicts: what is decided about every song, kept or not, from the facts of all songs at once.

Columnar and pure: a table of facts and a table of pairs in, the catalog out. Nothing depends on the
order of rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dedupe.candidates import run_begins
from pipelines.dedupe.clusters import PAIRS, components, survivors
from pipelines.filters import FilterConfig
from pipelines.labels.config import TRAIN_MEDIAN, AffectConfig
from pipelines.labels.groups import linked
from pipelines.labels.propagate import propagate
from pipelines.labels.splits import Shares, judge, label_rank, split_of
from pipelines.labels.thresholds import Thresholds, apply_rule, fit_thresholds
from schemas.contracts import Filter
from schemas.reject import Reason
from schemas.row import CATALOG, SONGS, STATISTICS, to_table

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
    """What decides: filters and their thresholds per source, the label rule, split shares and
    the seed."""

    filters: tuple[Filter, ...]
    thresholds: Mapping[str, FilterConfig]
    affect: AffectConfig
    shares: Shares
    seed: int


def judge_songs(statistics: pa.Table, shard: int, rules: Rules) -> pa.Table:
    """Facts: the statistics of a shard's songs with every rule each song fails and what it says."""
    rows = []
    for stats in statistics.to_pylist():
        verdicts = [
            (rule.name, rule.check(stats, rules.thresholds[stats["source"]]))
            for rule in rules.filters
        ]
        failed = {reason: says for reason, says in verdicts if says}
        rows.append(
            {**stats, "shard": shard, "failed": list(failed), "details": list(failed.values())}
        )
    return to_table(rows, FACTS)


def exact_pairs(facts: pa.Table) -> pa.Table:
    """PAIRS of songs with one content hash: each with the smallest song_id of its hash; empty
    hashes match nothing."""
    hashes = np.array(facts["content_hash"].to_pylist(), dtype=object)
    ids = np.array(facts["song_id"].to_pylist(), dtype=object)
    order = np.lexsort((ids, hashes))
    hashes, ids = hashes[order], ids[order]
    first = np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)]
    leader = ids[np.maximum.accumulate(np.where(first, np.arange(len(ids)), 0))]
    pair = ~first & (hashes != "")
    ones = np.ones(int(pair.sum()), np.float32)
    return pa.table([leader[pair], ids[pair], ones, ones, ones > 0], schema=PAIRS)


def decide(
    facts: pa.Table, pairs: pa.Table, labelled: pa.Table, keys: pa.Table, rules: Rules
) -> pa.Table:
    """CATALOG of all songs, with their shard as a last column, sorted by song_id.

    pairs: PAIRS; labelled: stages.labels.NAMED, a row a song; keys: groups.KEYS, what songs of one
    group share.
    """
    facts, labelled = facts.sort_by("song_id"), labelled.sort_by("song_id")
    ids = facts["song_id"].to_pylist()
    if len(set(ids)) != len(ids) or labelled["song_id"].to_pylist() != ids:
        raise ValueError("a song_id stands twice among the facts, or the labels are of other songs")
    left, right = rows_named(ids, pairs["a"]), rows_named(ids, pairs["b"])
    duplicate = pairs["duplicate"].to_numpy(zero_copy_only=False).astype(bool)
    cluster = components(len(ids), left[duplicate], right[duplicate])
    links = linked(keys)
    linked_left, linked_right = rows_named(ids, links["a"]), rows_named(ids, links["b"])
    group = components(
        len(ids), np.concatenate([left, linked_left]), np.concatenate([right, linked_right])
    )
    survivor = surviving(facts, pc.is_valid(labelled["valence"]).to_numpy(), cluster)
    labelled = propagate(labelled, cluster, survivor == np.arange(len(ids)))
    why = why_duplicate(
        ids, survivor, left[duplicate], right[duplicate], pairs.filter(pairs["duplicate"])
    )
    failed, details, copies = failures(facts, survivor, why, rules)
    split_of_group = {
        first: split_of(ids[first], rules.seed, rules.shares) for first in set(group.tolist())
    }
    columns: dict[str, Any] = {
        **{name: labelled[name] for name in labelled.column_names},
        "label_evidence": [evidence or [] for evidence in labelled["evidence"].to_pylist()],
        "song_id": ids,
        "source": facts["source"],
        "kept": [not reasons for reasons in failed],
        "failed": failed,
        "detail": ["; ".join(says) for says in details],
        "split": [split_of_group[first] for first in group.tolist()],
        "group_id": [ids[first] for first in group.tolist()],
        "cluster_id": [ids[first] for first in cluster.tolist()],
        "duplicates": copies,
        "label_rank": [label_rank(song_id, rules.seed) for song_id in ids],
    }
    nothing = pa.nulls(len(ids))
    arrays = [_typed(columns.get(field.name, nothing), field.type) for field in CATALOG]
    return classed(pa.table(arrays, CATALOG.names), rules).append_column("shard", facts["shard"])


def _typed(values: Any, kind: pa.DataType) -> pa.ChunkedArray:
    return (
        values.cast(kind)
        if isinstance(values, pa.ChunkedArray | pa.Array)
        else pa.array(values, kind)
    )


def failures(
    facts: pa.Table, survivor: np.ndarray, why: Mapping[int, str], rules: Rules
) -> tuple[list[list[str]], list[list[str]], list[list[str]]]:
    """Every rule that each song fails, duplicates included, what each says, and the copies that
    each song stands for."""
    failed, details = facts["failed"].to_pylist(), facts["details"].to_pylist()
    ids, sources = facts["song_id"].to_pylist(), facts["source"].to_pylist()
    copies: list[list[str]] = [[] for _ in ids]
    for song, says in why.items():
        if rules.thresholds[sources[song]].drop_duplicates:
            copies[survivor[song]].append(ids[song])
            failed[song].append(Reason.DUPLICATE)
            details[song].append(says)
    return failed, details, copies


def classed(catalog: pa.Table, rules: Rules) -> pa.Table:
    """The catalog with classes, quadrants and judges, which need all songs' labels and splits."""
    thresholds = thresholds_of(catalog, rules.affect)
    if thresholds:
        catalog = apply_rule(catalog, thresholds)
    train = pc.and_(catalog["kept"], pc.equal(catalog["split"], "train"))
    labelled = catalog.filter(pc.and_(train, pc.is_valid(catalog["valence"])))["group_id"]
    judges = {
        group for group in set(labelled.to_pylist()) if judge(group, rules.seed, rules.shares.judge)
    }
    chosen = pc.and_(train, pc.is_in(catalog["group_id"], pa.array(sorted(judges), pa.string())))
    columns = {**dict(zip(catalog.column_names, catalog.columns, strict=True)), "judge": chosen}
    return pa.table([_typed(columns[field.name], field.type) for field in CATALOG], CATALOG)


def thresholds_of(catalog: pa.Table, affect: AffectConfig) -> Thresholds | None:
    """The thresholds fitted on the kept training songs of a catalog; None where a median has
    nothing to be taken of."""
    train = catalog.filter(pc.and_(catalog["kept"], pc.equal(catalog["split"], "train")))
    valence, arousal = (
        train[name].cast(pa.float64()).to_numpy() for name in ("valence", "arousal")
    )
    if affect.threshold == TRAIN_MEDIAN and not np.isfinite(valence).any():
        return None
    return fit_thresholds(affect.threshold, affect.margin, valence, arousal)


def rows_named(ids: Sequence[str], names: pa.ChunkedArray) -> np.ndarray:
    """The rows of names among sorted ids; raises ValueError for one that is not there."""
    rows = pc.index_in(names, pa.array(ids, pa.string()))
    if rows.null_count:
        raise ValueError("a pair names a song that is not among the facts")
    return rows.to_numpy().astype(np.int64)


def surviving(facts: pa.Table, has_label: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """For every song the one its cluster keeps: passing all rules, then with a label, more tracks,
    longer, then by song_id.

    facts stand in the order of song_id; a song alone in its cluster survives itself.
    """
    passes = np.array([not reasons for reasons in facts["failed"].to_pylist()], bool)
    n_tracks = np.array(
        [sum(count > 0 for count in counts) for counts in facts["track_notes"].to_pylist()],
        np.int64,
    )
    return survivors(
        cluster, [passes, has_label, n_tracks, facts["seconds"].to_numpy()], np.arange(len(cluster))
    )


def why_duplicate(
    ids: Sequence[str], survivor: np.ndarray, left: np.ndarray, right: np.ndarray, pairs: pa.Table
) -> dict[int, str]:
    """For each song that does not survive, which one does and how alike they are, by row, in order;
    pairs: of duplicates.

    Where the two are one cluster only through others, the song's nearest neighbour is named too.
    """
    both = np.concatenate([left, right]), np.concatenate([right, left])
    alike = {name: np.tile(pairs[name].to_numpy(), 2) for name in ("jaccard", "containment")}
    # The survivor itself before any other neighbour, then the most alike.
    order = np.lexsort(
        (both[1], -alike["containment"], -alike["jaccard"], both[1] != survivor[both[0]], both[0])
    )
    nearest = order[run_begins(both[0][order])]
    says: dict[int, str] = {}
    for at in nearest[survivor[both[0][nearest]] != both[0][nearest]].tolist():
        song, other = int(both[0][at]), int(both[1][at])
        through = "" if other == survivor[song] else f" through {ids[other]}"
        likeness = f"Jaccard {alike['jaccard'][at]:.2f}, containment {alike['containment'][at]:.2f}"
        says[song] = f"of {ids[survivor[song]]}{through}, {likeness}"
    return says


def waterfall(catalog: pa.Table, rules: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Per source and in all: songs in, failing each rule, failing it alone, kept. No rule is
    first, so none hides another."""
    sources = catalog["source"].to_pylist()
    result = {}
    for name in [*sorted(set(sources)), "all"]:
        mine = [
            reasons
            for source, reasons in zip(sources, catalog["failed"].to_pylist(), strict=True)
            if name in (source, "all")
        ]
        result[name] = {
            "in": len(mine),
            "failed": {rule: sum(rule in reasons for reasons in mine) for rule in rules},
            "failed_alone": {rule: sum(reasons == [rule] for reasons in mine) for rule in rules},
            "kept": sum(not reasons for reasons in mine),
        }
    return result
