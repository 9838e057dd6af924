"""Runs: where equal neighbours begin, how long they go on, and the place of a value
within its group."""

import numpy as np


def run_begins(*columns: np.ndarray) -> np.ndarray:
    """True where a run begins: where any of the columns, all of one length n, differs
    from the row before; bool (n)."""
    begins = np.zeros(len(columns[0]), bool)
    begins[:1] = True
    for column in columns:
        begins[1:] |= column[1:] != column[:-1]
    return begins


def run_starts(*columns: np.ndarray) -> np.ndarray:
    """The index of the first row of every run, rising; int64."""
    return np.flatnonzero(run_begins(*columns))


def run_lengths(starts: np.ndarray, n: int) -> np.ndarray:
    """How many rows each run has, of n rows whose runs begin at `starts`."""
    return np.diff(starts, append=n)


def rank_in_run(begins: np.ndarray) -> np.ndarray:
    """The place of each row in its run, from 0; begins: as `run_begins` gives it; int64
    (n)."""
    index = np.arange(len(begins))
    return index - np.maximum.accumulate(np.where(begins, index, 0))


def rank_in_group(group: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The place of each value among those of its group, from 0, equal values in the
    order they came; int64 (n)."""
    order = np.lexsort((value, group))
    rank = np.empty(len(group), np.int64)
    rank[order] = rank_in_run(run_begins(group[order]))
    return rank
