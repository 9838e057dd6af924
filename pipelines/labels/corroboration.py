"""Corroboration: what other matches and other songs say for or against a song's match.

Three counts, each from tables of all songs: in how many titles the matched artist stands in
the whole match list (files of well-known artists are matched to the right one more often),
how many near-duplicates are matched to another title, and how much of the song's notes
another file of the same title holds.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dedupe.candidates import Pairs
from pipelines.labels.names import ARTIST, TITLE, normalise
from schemas.runs import run_lengths, run_starts

TEXT = pa.string()
# An artist's title as it stands on one match, both in normal form.
WORKS = pa.schema([("artist", TEXT), ("title", TEXT)])
# Two songs of one matched title, and the share of the smaller's shingles that both have.
ALIKE = pa.schema([("a", TEXT), ("b", TEXT), ("containment", pa.float64())])
# What is counted, one row a song; n_listed: matches of the whole list.
COUNTS = pa.schema(
    [
        ("artist_titles", pa.int32()), ("n_listed", pa.int32()),
        ("near_other_titles", pa.int32()), ("same_title_containment", pa.float64()),
    ]
)  # fmt: skip
# A title of more files is compared by each with so many of the next: a hit that a whole
# corpus has is found in some of them.
MOST_OF_A_TITLE = 8


def works_of(joined: pa.Table) -> pa.Table:
    """WORKS, a row a match, of matches with the names of their tracks."""
    return pa.table(
        [normalise(joined[part], part) for part in (ARTIST, TITLE)], WORKS
    ).combine_chunks()


def corroborate(
    matched: pa.Table, works: pa.Table, pairs: pa.Table, alike: pa.Table
) -> pa.Table:
    """COUNTS, row by row with the songs.

    matched: song_id, msd_artist and msd_title of the match that each song takes, null for
    none; works: WORKS of the whole match list; pairs: song_ids a and b of near-duplicates;
    alike: ALIKE. A song without a match has nulls, but for n_listed.
    """
    artist, title = (
        normalise(matched[f"msd_{part}"], part).combine_chunks() for part in (ARTIST, TITLE)
    )
    ids = matched["song_id"].combine_chunks()
    named = pc.is_valid(title)
    others = pa.array(other_titles(ids, title, pairs), pa.int32())
    contained = pa.array(largest_containment(ids, alike))
    return pa.table(
        [
            artist_titles(artist, works),
            pa.array(np.full(len(ids), len(works), np.int32)),
            pc.if_else(named, others, None),
            pc.if_else(named, contained, None),
        ],
        COUNTS,
    )


def artist_titles(artist: pa.Array, works: pa.Table) -> pa.Array:
    """In how many titles each artist stands among works, null for an unknown artist."""
    titles = works.group_by("artist", use_threads=False).aggregate(
        [("title", "count_distinct")]
    )
    at = pc.index_in(artist, titles["artist"].combine_chunks())
    known = pc.and_(pc.is_valid(artist), pc.not_equal(artist, ""))
    counts = titles["title_count_distinct"].combine_chunks().cast(pa.int32()).take(at)
    return pc.if_else(known, counts, None)


def other_titles(ids: pa.Array, title: pa.Array, pairs: pa.Table) -> np.ndarray:
    """How many near-duplicates of each song are matched to another title, int64."""
    rows = [
        pc.index_in(pairs[side], ids).to_numpy().astype(np.int64) for side in ("a", "b")
    ]
    # Songs of equal notes stand among the exact pairs and among the near ones.
    left, right = np.unique(np.sort(rows, axis=0), axis=1)
    differ = pc.fill_null(pc.not_equal(title.take(left), title.take(right)), False)
    differ = differ.to_numpy(zero_copy_only=False)
    ends = np.concatenate([left[differ], right[differ]])
    return np.bincount(ends, minlength=len(ids))


def largest_containment(ids: pa.Array, alike: pa.Table) -> np.ndarray:
    """The largest containment of each song with another of its title, 0 where there is
    none."""
    largest = np.zeros(len(ids))
    for side in ("a", "b"):
        rows = pc.index_in(alike[side], ids).to_numpy().astype(np.int64)
        np.maximum.at(largest, rows, alike["containment"].to_numpy())
    return largest


def of_one_title(songs: np.ndarray, titles: pa.Array) -> Pairs:
    """The pairs of songs that are matched to one title, as candidates for comparison.

    songs: int numbers; titles: in normal form, row by row with them, null for none.
    """
    said = pc.fill_null(pc.not_equal(titles, ""), False)
    codes = titles.filter(said).dictionary_encode().indices.to_numpy()
    songs = songs[said.to_numpy(zero_copy_only=False)]
    order = np.lexsort((songs, codes))
    codes, songs = codes[order], songs[order]
    steps = list(_steps(codes))
    none = np.zeros(0, np.int64)
    first = np.concatenate([none, *(rows for rows, _ in steps)])
    second = np.concatenate([none, *(rows + step for rows, step in steps)])
    a, b = songs[first].astype(np.int32), songs[second].astype(np.int32)
    return Pairs(a, b, np.zeros(len(a), np.int32))


def _steps(codes: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """(rows, step): the rows whose code stands `step` rows further too; codes rise."""
    longest = int(run_lengths(run_starts(codes), len(codes)).max(initial=0))
    for step in range(1, min(longest, MOST_OF_A_TITLE + 1)):
        yield np.flatnonzero(codes[:-step] == codes[step:]), step


def contained(pairs: Pairs, sizes: np.ndarray, min_shared: int) -> np.ndarray:
    """The share of the smaller song's shingles that each pair has in common; 0 below
    min_shared, which two strangers share too."""
    smaller = np.minimum(sizes[pairs.first], sizes[pairs.second])
    share = pairs.shared / np.maximum(smaller, 1)
    return np.where(pairs.shared >= min_shared, share, 0.0)
