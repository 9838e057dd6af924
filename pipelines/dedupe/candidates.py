"""Candidates: the pairs of songs that share so many join keys that they may be one piece.

A song's join keys are its shingles in a fixed low share of the hash space (fractional
MinHash, "scaled" in sourmash: Titus Brown and Irber 2016, JOSS 1(5):27), so the keys two
songs share are a fair sample of the shingles they share. Songs are int32 numbers from 0; a
signature is a sorted array of distinct uint64 hashes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from schemas.runs import run_lengths, run_starts


@dataclass(frozen=True)
class DedupeConfig:
    """When two songs are one piece, and how such pairs are looked for.

    Jaccard is shared shingles over those in either song, containment over those in the
    smaller. At group_jaccard or group_containment two songs must not stand in different
    splits; at duplicate_jaccard or duplicate_containment one of them is removed. Below
    min_shared shingles in common neither holds: two bars of a scale are no evidence.

    key_share: of the hash space that makes join keys; min_keys: a song of whose shingles
    fewer are expected there gets a larger share, up to all. max_songs_per_key: a key of
    more songs is a riff and joins only neighbours in the order of song numbers, which still
    finds a piece that is there more often than that. min_shared_keys: fewer make no
    candidate. key_slack: how many standard deviations the shared keys may fall short of
    what the group thresholds let expect.
    """

    group_jaccard: float = 0.10
    group_containment: float = 0.50
    duplicate_jaccard: float = 0.40
    duplicate_containment: float = 0.70
    min_shared: int = 16
    key_share: float = 1 / 16
    min_keys: int = 64
    max_songs_per_key: int = 128
    min_shared_keys: int = 2
    key_slack: float = 3.0

    def __post_init__(self) -> None:
        for name in (
            "group_jaccard",
            "group_containment",
            "duplicate_jaccard",
            "duplicate_containment",
            "key_share",
        ):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} must be over 0 and at most 1, not {getattr(self, name)}"
                )
        if (
            self.duplicate_jaccard < self.group_jaccard
            or self.duplicate_containment < self.group_containment
        ):
            raise ValueError(
                "duplicates are at least as similar as songs of one group: raise the duplicate_ values"
            )


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of songs, one value a pair: first < second (int32) and how much they share
    (int32; keys or shingles)."""

    first: np.ndarray
    second: np.ndarray
    shared: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def take(self, which: np.ndarray) -> "Pairs":
        """The pairs at an index or mask."""
        return Pairs(self.first[which], self.second[which], self.shared[which])


def key_shares(sizes: np.ndarray, config: DedupeConfig) -> np.ndarray:
    """The share of the hash space from which each song's join keys are, float64 0-1; sizes:
    shingles of each song."""
    return np.clip(config.min_keys / np.maximum(sizes, 1), config.key_share, 1.0)


def join_keys(
    values: np.ndarray, offsets: np.ndarray, config: DedupeConfig
) -> tuple[np.ndarray, np.ndarray]:
    """The join keys of many songs: keys (uint64), and the song each is of (int32, 0 for the
    first of these songs).

    values: the songs' signatures end to end; offsets: n_songs + 1 positions in it, as in an
    Arrow list column.
    """
    sizes = np.diff(offsets)
    # The highest hash of the share; a share of 1 wraps round to the highest there is.
    half_limits = (key_shares(sizes, config) * 2.0**63).astype(np.uint64)
    limits = (half_limits << np.uint64(1)) - np.uint64(1)
    kept = values <= np.repeat(limits, sizes)
    songs = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return values[kept], songs[kept]


def shared_keys(keys: np.ndarray, songs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Songs grouped by key: (int32 songs, rising within a key; int32 songs of each key),
    keys of one song left out.

    keys, songs: one value for each key a song holds, in any order, no pair twice.
    """
    order = np.lexsort((songs, keys))
    keys, songs = keys[order], songs[order]
    counts = run_lengths(run_starts(keys), len(keys))
    held_twice = counts > 1
    songs_of_kept = songs[np.repeat(held_twice, counts)]
    return songs_of_kept.astype(np.int32), counts[held_twice].astype(np.int32)


def candidate_pairs(
    songs: np.ndarray,
    counts: np.ndarray,
    sizes: np.ndarray,
    shares: np.ndarray,
    config: DedupeConfig,
    max_meetings: int = 4_000_000,
) -> Pairs:
    """Pairs that share enough keys to be over the group thresholds, sorted by (first,
    second); shared counts the keys.

    songs, counts: what shared_keys gave, of all buckets, end to end; sizes, shares: each
    song's number of shingles and share of the hash space. At most about max_meetings (song,
    song, key) triples are held at a time.
    """
    found = [
        pairs.take(_may_be_similar(pairs, sizes, shares, config))
        for pairs in _count_meetings(songs, counts, config.max_songs_per_key, max_meetings)
    ]
    none = np.zeros(0, np.int32)
    columns = [
        [none, none, none],
        *((pairs.first, pairs.second, pairs.shared) for pairs in found),
    ]
    return Pairs(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _count_meetings(
    songs: np.ndarray, counts: np.ndarray, max_songs: int, max_meetings: int
) -> Iterator[Pairs]:
    """Every pair of songs that meets on a key, with the keys it meets on, the first
    songs in portions."""
    # Each entry meets those after it under the same key; under a riff, only the next.
    partners = np.repeat(np.cumsum(counts), counts) - np.arange(len(songs)) - 1
    np.minimum(partners, 1, out=partners, where=np.repeat(counts > max_songs, counts))
    entries = np.argsort(songs, kind="stable")
    entries = entries[partners[entries] > 0]
    song_begins = run_starts(songs[entries])
    meetings_before = np.cumsum(partners[entries]) - partners[entries]
    portions = song_begins[run_starts(meetings_before[song_begins] // max_meetings)]
    for begin, end in pairwise([*portions.tolist(), len(entries)]):
        yield _meet(songs, entries[begin:end], partners[entries[begin:end]])


def _meet(songs: np.ndarray, entries: np.ndarray, partners: np.ndarray) -> Pairs:
    """Pair each entry with its next partners and count each pair."""
    before = np.repeat(entries + 1 - (np.cumsum(partners) - partners), partners)
    second = songs[before + np.arange(len(before))]
    codes = (np.repeat(songs[entries], partners).astype(np.int64) << 32) | second
    codes.sort()
    begins = run_starts(codes)
    codes, shared = codes[begins], run_lengths(begins, len(codes))
    return Pairs(
        (codes >> 32).astype(np.int32), codes.astype(np.int32), shared.astype(np.int32)
    )


def _may_be_similar(
    pairs: Pairs, sizes: np.ndarray, shares: np.ndarray, config: DedupeConfig
) -> np.ndarray:
    """Whether the keys a pair shares are as many as a pair at the group thresholds
    shares, less the slack of chance."""
    size_first = sizes[pairs.first]
    size_second = sizes[pairs.second]
    share_of_both = config.group_jaccard / (1 + config.group_jaccard)
    by_jaccard = share_of_both * (size_first + size_second)
    by_containment = config.group_containment * np.minimum(size_first, size_second)
    least = np.maximum(np.minimum(by_jaccard, by_containment), config.min_shared)
    expected = least * np.minimum(shares[pairs.first], shares[pairs.second])
    slack = config.key_slack * np.sqrt(expected)
    return pairs.shared >= np.maximum(expected - slack, config.min_shared_keys)
