"""From candidate pairs to clusters: exact similarity, verdicts, what hangs together, and
the song that stays.

The steps of curate, each a pure function on columns, in their order:

    join_keys                the keys of a shard's songs
    shared_keys              one bucket of the key space: who holds each key of two or more
    candidate_pairs          all buckets: the pairs that share so many keys that they may be similar
    by_block                 the pairs by the blocks of songs whose signatures they need, to bound memory
    verify_pairs             exact overlap; Jaccard, containment, one group or not, duplicates or not
    components, survivors    the clusters, and the song that each keeps

`similar_pairs` runs those up to verify_pairs in memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipelines.dedupe.candidates import (
    DedupeConfig,
    Pairs,
    candidate_pairs,
    join_keys,
    key_shares,
    shared_keys,
)
from schemas.runs import run_starts

# Pairs by song_id as they come out of verification: what curate gathers.
PAIRS = pa.schema(
    [
        ("a", pa.string()),
        ("b", pa.string()),
        ("jaccard", pa.float32()),
        ("containment", pa.float32()),
        ("duplicate", pa.bool_()),
    ]
)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What a pair's overlap means, one value a pair: float64 similarities, bool
    verdicts."""

    jaccard: np.ndarray
    containment: np.ndarray
    same_group: np.ndarray
    duplicate: np.ndarray


def similar_pairs(
    signatures: Sequence[np.ndarray], config: DedupeConfig
) -> tuple[Pairs, Verdicts]:
    """All pairs of songs over the group thresholds, sorted, with the shingles they
    share, and what that makes them."""
    sizes = np.array([len(signature) for signature in signatures], np.int64)
    values = np.concatenate([np.zeros(0, np.uint64), *signatures])
    keys, songs = join_keys(values, np.append(0, np.cumsum(sizes)), config)
    likely = candidate_pairs(
        *shared_keys(keys, songs), sizes, key_shares(sizes, config), config
    )
    return verify_pairs(likely, sizes, signatures, config)


def verify_pairs(
    likely: Pairs,
    sizes: np.ndarray,
    signatures: Sequence[np.ndarray] | Mapping[int, np.ndarray],
    config: DedupeConfig,
) -> tuple[Pairs, Verdicts]:
    """The candidates that are over the group thresholds, with the shingles they share,
    and what that makes them."""
    shared = shared_shingles(likely.first, likely.second, signatures)
    pairs = Pairs(likely.first, likely.second, shared)
    pairs = pairs.take(compare(pairs, sizes, config).same_group)
    return pairs, compare(pairs, sizes, config)


def by_block(pairs: Pairs, block: np.ndarray) -> Iterator[tuple[int, int, Pairs]]:
    """The pairs of each two blocks, as (block, block, pairs); block: number of every song's
    block.

    Whoever counts what a part's pairs share needs the signatures of two blocks and no more,
    whatever the corpus.
    """
    low, high = np.sort([block[pairs.first], block[pairs.second]], axis=0).astype(np.int64)
    codes = (low << 32) | high
    order = np.argsort(codes, kind="stable")
    codes = codes[order]
    for begin, end in pairwise([*run_starts(codes).tolist(), len(codes)]):
        yield (
            int(codes[begin]) >> 32,
            int(codes[begin]) & 0xFFFFFFFF,
            pairs.take(order[begin:end]),
        )


def shared_shingles(
    first: np.ndarray,
    second: np.ndarray,
    signatures: Sequence[np.ndarray] | Mapping[int, np.ndarray],
) -> np.ndarray:
    """How many shingles each pair of songs has in common, int32; signatures[song]: sorted
    distinct hashes."""
    shared = np.zeros(len(first), np.int32)
    # One pair at a time: two signatures sort in the first-level cache, which no batch of
    # pairs does.
    for i, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        both = np.concatenate([signatures[a], signatures[b]])
        both.sort()
        shared[i] = np.count_nonzero(both[1:] == both[:-1])
    return shared


def compare(pairs: Pairs, sizes: np.ndarray, config: DedupeConfig) -> Verdicts:
    """Jaccard, containment and verdicts of pairs with their shared shingles; sizes:
    shingles of every song."""
    size_first = sizes[pairs.first].astype(np.float64)
    size_second = sizes[pairs.second]
    jaccard = pairs.shared / np.maximum(size_first + size_second - pairs.shared, 1)
    containment = pairs.shared / np.maximum(np.minimum(size_first, size_second), 1)
    enough = pairs.shared >= config.min_shared
    related = jaccard >= config.group_jaccard
    related |= containment >= config.group_containment
    alike = jaccard >= config.duplicate_jaccard
    alike |= containment >= config.duplicate_containment
    return Verdicts(
        jaccard=jaccard,
        containment=containment,
        same_group=enough & related,
        duplicate=enough & alike,
    )


def components(n_songs: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cluster of every song, int32: the smallest song number that pairs connect it
    with (its own, if none does)."""
    ones = np.ones(len(first), np.int8)
    graph = coo_array((ones, (first, second)), shape=(n_songs, n_songs))
    _, label = connected_components(graph, directed=False)
    _, smallest = np.unique(label, return_index=True)
    return smallest[label].astype(np.int32)


def survivors(
    cluster: np.ndarray, quality: Sequence[np.ndarray], rank: np.ndarray
) -> np.ndarray:
    """The song each song's cluster keeps, int: best by the first quality column, then by
    the next, then least rank.

    cluster: label of every song; quality: columns in which more is better (passes the other
    filters, has a label match, tracks, seconds); rank: distinct, the place of each song_id
    in sorted order.
    """
    worse = [-column.astype(np.float64) for column in reversed(quality)]
    order = np.lexsort((rank, *worse, cluster))
    kept = order[run_starts(cluster[order])]
    best = np.empty(cluster.max(initial=-1) + 1, np.int64)
    best[cluster[kept]] = kept
    return best[cluster]
