"""Runs and ranks against loops that anyone can read."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.runs import rank_in_group, rank_in_run, run_begins, run_lengths, run_starts

PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=30)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


@given(PAIRS)
def test_a_run_begins_where_a_row_is_not_the_one_before(
    pairs: list[tuple[int, int]],
) -> None:
    wanted = [index == 0 or pairs[index] != pairs[index - 1] for index in range(len(pairs))]
    assert run_begins(*columns(pairs)).tolist() == wanted
    assert run_starts(*columns(pairs)).tolist() == [
        i for i, begins in enumerate(wanted) if begins
    ]


@given(PAIRS)
def test_lengths_and_places_put_the_rows_together_again(
    pairs: list[tuple[int, int]],
) -> None:
    first, _ = columns(pairs)
    lengths = run_lengths(run_starts(first), len(first))
    assert lengths.sum() == len(first) and (lengths > 0).all()
    wanted = [place for length in lengths for place in range(length)]
    assert rank_in_run(run_begins(first)).tolist() == wanted


@given(PAIRS)
def test_a_rank_counts_those_of_the_group_that_stand_before(
    pairs: list[tuple[int, int]],
) -> None:
    group, value = columns(pairs)
    wanted = [
        sum(
            g == group[i] and (v, j) < (value[i], i)
            for j, (g, v) in enumerate(zip(group, value, strict=True))
        )
        for i in range(len(pairs))
    ]
    assert rank_in_group(group, value).tolist() == wanted
