"""Allot: from clusters, pairs and keys to groups, splits and the songs that are set aside.

Songs of one sure key and near-duplicates are closed into groups; a group too large is cut
(cuts.py); groups fill the splits (splits.py); what a key still ties across splits leaves
evaluation (ties.py). So no key of a released song stands in two splits, however doubtful.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dedupe.clusters import components
from pipelines.dedupe.copies import NumberedPairs, rows_named
from pipelines.labels.cuts import Graph, cap_of, cut_groups
from pipelines.labels.groups import linked
from pipelines.labels.splits import TRAIN, Groups, Shares, split_groups
from pipelines.labels.ties import Ties, held_out, lifted, tied_groups, why_held_out

NEAR, SAME_GROUP = "a near-duplicate", "its group"


@dataclass(frozen=True, eq=False)
class Songs:
    """What allotting asks of songs, in the order of their ids.

    cluster: row of the first of each song's duplicate cluster; kept: bool; stratum: text of
    the kind in which shares are to hold; labelled, trusted: bool; given: published split,
    an index of SPLITS, -1 for none.
    """

    ids: list[str]
    cluster: np.ndarray
    kept: np.ndarray
    stratum: list[str]
    labelled: np.ndarray
    trusted: np.ndarray
    given: np.ndarray


class Allotted(NamedTuple):
    """group: row of the first of each song's group; split: an index of SPLITS for each;
    held: why songs are set aside, by row; keys: the keys of each kept song and its copies,
    a list a song; counts: what became of groups, by name."""

    group: np.ndarray
    split: np.ndarray
    held: dict[int, str]
    keys: pa.Array
    counts: dict[str, int]


class Known(NamedTuple):
    """What songs are known by: their keys as numbers, which of these are sure, and the names
    of the numbers."""

    ties: Ties
    sure: np.ndarray
    names: pa.Array


def allot(
    songs: Songs, near: NumberedPairs, keys: pa.Table, seed: int, shares: Shares
) -> Allotted:
    """Groups and splits of all songs. near: near-duplicates; keys: groups.KEYS."""
    # Numbers of keys must not be those of a runner's order: a cut goes by them.
    keys = keys.sort_by([(name, "ascending") for name in ("key", "song_id")])
    known = _known(songs, keys)
    closed = _closed(songs, near, keys)
    cap = cap_of(int(songs.kept.sum()), shares.max_group_share)
    group = _cut(songs, near, known, closed, cap)
    ties, said = _ties(songs, near, known, group)
    fixed, conflicts = _given(songs, group)
    tied = tied_groups(ties, group)
    split = _splits(songs, group, tied, fixed, seed, shares)[group]
    split = np.where(songs.given >= 0, songs.given, split)
    held = held_out(_with_conflicts(ties, songs, group, conflicts, len(said)), split)
    counts = {
        "cap": cap,
        **_sizes(songs, closed, group),
        "near_pairs_cut": len(said) - len(known.names),
        "keys_cut": _n_parted(known, group),
        "tied": int((tied[group] & songs.kept).sum()),
        "given": int(((songs.given >= 0) & songs.kept).sum()),
        "given_conflicts": sum(bool(conflicts[group[song]]) for song in held),
    }
    lists = _key_lists(lifted(known.ties, songs.cluster, songs.kept), known.names, songs)
    return Allotted(group, split, _reasons(held, said, songs.ids, split), lists, counts)


def _reasons(
    held: dict[int, tuple[int, int]], said: list[str], ids: list[str], split: np.ndarray
) -> dict[int, str]:
    """What is said of each song that is set aside."""
    return {
        song: why_held_out(
            said[key] if key < len(said) else SAME_GROUP, ids[other], int(split[other])
        )
        for song, (key, other) in held.items()
    }


def _sizes(songs: Songs, closed: np.ndarray, group: np.ndarray) -> dict[str, int]:
    """How many groups were cut, and the largest before and after, in kept songs."""
    return {
        "cut": len(np.unique(closed[closed != group])),
        "largest_before": _largest(closed, songs.kept),
        "largest": _largest(group, songs.kept),
    }


def _known(songs: Songs, keys: pa.Table) -> Known:
    names = keys["key"].combine_chunks().dictionary_encode()
    song = rows_named(songs.ids, keys["song_id"])
    sure = keys["sure"].to_numpy().astype(bool)
    return Known(
        Ties(song, names.indices.to_numpy().astype(np.int64)), sure, names.dictionary
    )


def _closed(songs: Songs, near: NumberedPairs, keys: pa.Table) -> np.ndarray:
    """The group of every song before any cut."""
    links = linked(keys)
    left, right = (rows_named(songs.ids, links[side]) for side in ("a", "b"))
    return components(
        len(songs.ids),
        np.concatenate([near.left, left]),
        np.concatenate([near.right, right]),
    )


def _cut(
    songs: Songs, near: NumberedPairs, known: Known, closed: np.ndarray, cap: int
) -> np.ndarray:
    """The group of every song, none of over `cap` kept songs but a cluster."""
    graph = Graph(
        songs.cluster,
        (near.left, near.right, _likeness(near.pairs)),
        (known.ties.song[known.sure], known.ties.key[known.sure]),
    )
    return cut_groups(closed, songs.cluster, songs.kept.astype(np.int64), graph, cap)


def _ties(
    songs: Songs, near: NumberedPairs, known: Known, group: np.ndarray
) -> tuple[Ties, list[str]]:
    """All that may tie kept songs of two groups, with what is said of each number: the keys,
    and each near pair that a cut has parted."""
    cut = group[near.left] != group[near.right]
    ends = np.concatenate([near.left[cut], near.right[cut]])
    numbers = len(known.names) + np.tile(np.arange(int(cut.sum())), 2)
    ties = lifted(_joined(known.ties, ends, numbers), songs.cluster, songs.kept)
    return ties, known.names.to_pylist() + [NEAR] * int(cut.sum())


def _with_conflicts(
    ties: Ties, songs: Songs, group: np.ndarray, conflicts: np.ndarray, n_keys: int
) -> Ties:
    """ties, and one among the songs of each group that was given several splits."""
    rows = np.flatnonzero(conflicts[group] & songs.kept)
    both = _joined(ties, rows, n_keys + group[rows])
    order = np.lexsort((both.key, both.song))
    return Ties(both.song[order], both.key[order])


def _likeness(pairs: pa.Table) -> np.ndarray:
    """How alike the songs of near pairs are, 0-2."""
    return (pairs["jaccard"].to_numpy() + pairs["containment"].to_numpy()).astype(float)


def _joined(ties: Ties, song: np.ndarray, key: np.ndarray) -> Ties:
    return Ties(np.concatenate([ties.song, song]), np.concatenate([ties.key, key]))


def _given(songs: Songs, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By group: the published split of its kept songs (training first), -1 for none; and
    whether they were given several."""
    rows = np.flatnonzero(songs.kept & (songs.given >= 0))
    low, high = np.full(len(group), 9), np.full(len(group), -1)
    np.minimum.at(low, group[rows], songs.given[rows])
    np.maximum.at(high, group[rows], songs.given[rows])
    return np.where(high < 0, -1, low), (high >= 0) & (low != high)


def _splits(
    songs: Songs,
    group: np.ndarray,
    tied: np.ndarray,
    fixed: np.ndarray,
    seed: int,
    shares: Shares,
) -> np.ndarray:
    """The split of every group: its published one, else as groups fill the shares; one
    without a kept song trains."""
    split = np.where(fixed < 0, TRAIN, fixed)
    sizes = np.bincount(group, songs.kept, len(group))
    free = np.flatnonzero((sizes > 0) & (fixed < 0))
    untrusted = songs.kept & songs.labelled & ~songs.trusted
    any_untrusted = np.bincount(group, untrusted, len(group)) > 0
    any_trusted = np.bincount(group, songs.kept & songs.trusted, len(group)) > 0
    kinds, number = np.unique(songs.stratum, return_inverse=True)
    rows = np.flatnonzero(songs.kept & (fixed[group] < 0))
    pairs, count = np.unique(
        np.stack([group[rows], number[rows]]), axis=1, return_counts=True
    )
    groups = Groups(
        [songs.ids[first] for first in free.tolist()],
        tied[free],
        (any_trusted & ~any_untrusted)[free],
        np.searchsorted(pairs[0], np.append(free, len(group))),
        pairs[1],
        count,
        len(kinds),
    )
    split[free] = split_groups(groups, seed, shares)
    return split


def _largest(group: np.ndarray, kept: np.ndarray) -> int:
    return int(np.bincount(group, kept).max(initial=0))


def _n_parted(known: Known, group: np.ndarray) -> int:
    """How many sure keys stand in several groups."""
    key, song = known.ties.key[known.sure], known.ties.song[known.sure]
    pairs = np.unique(np.stack([key, group[song]]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())


def _key_lists(ties: Ties, names: pa.Array, songs: Songs) -> pa.Array:
    """The names of each song's keys, sorted; none for a song that is not kept."""
    text = names.take(pa.array(ties.key))
    by = [("song", "ascending"), ("key", "ascending")]
    order = pc.sort_indices(pa.table({"song": ties.song, "key": text}), sort_keys=by)
    offsets = np.searchsorted(ties.song, np.arange(len(songs.ids) + 1))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), text.take(order))
