"""Copies: songs with the same notes, the song that each cluster keeps, and why each of the
others is removed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dedupe.clusters import PAIRS, survivors
from schemas.runs import run_begins


def exact_pairs(facts: pa.Table) -> pa.Table:
    """PAIRS of songs with one content hash: each with the smallest song_id of its hash;
    empty hashes match nothing."""
    hashes = np.array(facts["content_hash"].to_pylist(), dtype=object)
    ids = np.array(facts["song_id"].to_pylist(), dtype=object)
    order = np.lexsort((ids, hashes))
    hashes, ids = hashes[order], ids[order]
    begins = run_begins(hashes)
    leader = ids[np.flatnonzero(begins)[np.cumsum(begins) - 1]]
    pair = ~begins & (hashes != "")
    ones = np.ones(int(pair.sum()), np.float32)
    return pa.table([leader[pair], ids[pair], ones, ones, ones > 0], schema=PAIRS)


class NumberedPairs(NamedTuple):
    """Pairs of songs by their rows among the sorted ids: left, right; pairs: their
    PAIRS, of those that have likenesses."""

    left: np.ndarray
    right: np.ndarray
    pairs: pa.Table


def numbered(ids: Sequence[str], pairs: pa.Table) -> NumberedPairs:
    """The rows of the songs that pairs name in columns a and b."""
    return NumberedPairs(rows_named(ids, pairs["a"]), rows_named(ids, pairs["b"]), pairs)


def rows_named(ids: Sequence[str], names: pa.ChunkedArray) -> np.ndarray:
    """The rows of names among sorted ids; raises ValueError for one that is not there."""
    rows = pc.index_in(names, pa.array(ids, pa.string()))
    if rows.null_count:
        raise ValueError("a pair names a song that is not among the facts")
    return rows.to_numpy().astype(np.int64)


def surviving(facts: pa.Table, has_label: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """For every song the one its cluster keeps: passing all rules, then with a label, more
    tracks, longer, then by song_id.

    facts stand in the order of song_id; a song alone in its cluster survives itself.
    """
    passes = np.array([not reasons for reasons in facts["failed"].to_pylist()], bool)
    n_tracks = np.array(
        [sum(count > 0 for count in counts) for counts in facts["track_notes"].to_pylist()],
        np.int64,
    )
    return survivors(
        cluster,
        [passes, has_label, n_tracks, facts["seconds"].to_numpy()],
        np.arange(len(cluster)),
    )


def why_duplicate(
    ids: Sequence[str], survivor: np.ndarray, copies: NumberedPairs
) -> dict[int, str]:
    """For each song that does not survive, which one does and how alike they are, by row,
    in order.

    Where the two are one cluster only through others, the song's nearest neighbour is named
    too.
    """
    song = np.concatenate([copies.left, copies.right])
    other = np.concatenate([copies.right, copies.left])
    jaccard = np.tile(copies.pairs["jaccard"].to_numpy(), 2)
    containment = np.tile(copies.pairs["containment"].to_numpy(), 2)
    # The survivor itself before any other neighbour, then the most alike.
    order = np.lexsort((other, -containment, -jaccard, other != survivor[song], song))
    nearest = order[run_begins(song[order])]
    leaves = survivor[song[nearest]] != song[nearest]
    says: dict[int, str] = {}
    for at in nearest[leaves].tolist():
        kept = survivor[song[at]]
        through = "" if other[at] == kept else f" through {ids[other[at]]}"
        likeness = f"Jaccard {jaccard[at]:.2f}, containment {containment[at]:.2f}"
        says[int(song[at])] = f"of {ids[kept]}{through}, {likeness}"
    return says
