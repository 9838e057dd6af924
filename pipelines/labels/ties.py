"""Ties: songs of different groups that a key, however doubtful, may make one piece, and the
songs of evaluation that are set aside for it."""

from typing import NamedTuple

import numpy as np

from pipelines.labels.splits import SPLITS, TEST, TRAIN, VALIDATION
from schemas.runs import run_begins, run_lengths, run_starts


class Ties(NamedTuple):
    """Kept songs and the numbers of their keys, a value a (song, key), each pair once."""

    song: np.ndarray
    key: np.ndarray


def lifted(ties: Ties, cluster: np.ndarray, kept: np.ndarray) -> Ties:
    """Ties of the kept songs, with the keys of all songs of their duplicate clusters: a
    kept song stands for its copies.

    ties: of all songs; cluster: one number a song; kept: bool.
    """
    pairs = np.unique(np.stack([cluster[ties.song], ties.key]), axis=1)
    rows = np.flatnonzero(kept)
    rows = rows[np.argsort(cluster[rows], kind="stable")]
    starts = run_starts(cluster[rows])
    counts = np.zeros(len(cluster), np.int64)
    begins = np.zeros(len(cluster), np.int64)
    counts[cluster[rows[starts]]] = run_lengths(starts, len(rows))
    begins[cluster[rows[starts]]] = starts
    times = counts[pairs[0]]
    place = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    songs = rows[np.repeat(begins[pairs[0]], times) + place]
    key = np.repeat(pairs[1], times)
    order = np.lexsort((key, songs))
    return Ties(songs[order], key[order])


def tied_groups(ties: Ties, group: np.ndarray) -> np.ndarray:
    """Whether each group has a key that another has too, bool, by the group's number."""
    pairs = np.unique(np.stack([ties.key, group[ties.song]]), axis=1)
    shared = np.bincount(pairs[0])[pairs[0]] > 1
    tied = np.zeros(len(group), bool)
    tied[pairs[1][shared]] = True
    return tied


def held_out(ties: Ties, split: np.ndarray) -> dict[int, tuple[int, int]]:
    """The songs of validation and test that cannot stand beside a song of another split:
    song to (key, the other song).

    A song of validation or test leaves where a key of it stands in training; of validation
    and test, which then still share a key, the song of validation. split: an index of
    SPLITS for every song.
    """
    held = _held_by(ties, split, (VALIDATION, TEST), TRAIN, {})
    return held | _held_by(ties, split, (VALIDATION,), TEST, held)


def _held_by(
    ties: Ties,
    split: np.ndarray,
    leaving: tuple[int, ...],
    staying: int,
    gone: dict[int, tuple[int, int]],
) -> dict[int, tuple[int, int]]:
    """The songs of some splits that a key ties to the first song of another, those that are
    gone already left out; the first key counts."""
    there = ~np.isin(ties.song, np.array(sorted(gone), np.int64))
    stays = there & (split[ties.song] == staying)
    other = np.full(int(ties.key.max(initial=-1)) + 1, -1)
    # Songs rise, so from the end the first of each key is written last.
    other[ties.key[stays][::-1]] = ties.song[stays][::-1]
    leaves = there & np.isin(split[ties.song], leaving)
    leaves &= other[ties.key] >= 0
    song, key = ties.song[leaves], ties.key[leaves]
    firsts = run_begins(song) if len(song) else np.zeros(0, bool)
    return {
        one: (by, int(other[by]))
        for one, by in zip(song[firsts].tolist(), key[firsts].tolist(), strict=True)
    }


def why_held_out(key: str, other: str, split: int) -> str:
    """What is said of a song that is set aside."""
    return f"{key} ties it to {other} in {SPLITS[split]}"
