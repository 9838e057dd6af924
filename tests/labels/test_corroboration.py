"""The counts that other songs and matches give, against loops and by hand."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.dedupe.candidates import Pairs
from pipelines.labels.corroboration import (
    ALIKE,
    COUNTS,
    MOST_OF_A_TITLE,
    WORKS,
    contained,
    corroborate,
    of_one_title,
)

MATCHED = pa.schema(
    [(name, pa.string()) for name in ("song_id", "msd_title", "msd_artist")]
)


def matched(*rows: tuple[str | None, str | None]) -> pa.Table:
    """Songs s0, s1 … by (artist, title) of their matches."""
    ids = [f"s{index}" for index in range(len(rows))]
    return pa.table([ids, [row[1] for row in rows], [row[0] for row in rows]], MATCHED)


def pairs(*ends: tuple[str, str]) -> pa.Table:
    columns = [[a for a, _ in ends], [b for _, b in ends]]
    return pa.table([pa.array(column, pa.string()) for column in columns], ["a", "b"])


def test_counts_by_hand():
    songs = matched(
        ("The X", "One (Live)"), ("x", "One"), ("Y", "Two"), (None, "One"), (None, None)
    )
    works = pa.table(
        [["x", "x", "x", "y", None], ["one", "one", "three", "two", "one"]], WORKS
    )
    near = pairs(("s0", "s1"), ("s0", "s2"), ("s2", "s0"), ("s2", "s3"), ("s2", "s4"))
    alike = pa.table([["s0", "s1"], ["s1", "s3"], [0.4, 0.1]], ALIKE)
    told = corroborate(songs, works, near, alike)
    assert told.schema == COUNTS
    assert told.to_pydict() == {
        "artist_titles": [2, 2, 1, None, None],
        "n_listed": [5] * 5,
        # A pair that is listed twice counts once; a song without a title is no witness.
        "near_other_titles": [1, 0, 2, 1, None],
        "same_title_containment": [0.4, 0.4, 0.0, 0.1, None],
    }


def test_nothing_to_count():
    nothing = pairs(), ALIKE.empty_table()
    assert corroborate(MATCHED.empty_table(), WORKS.empty_table(), *nothing).equals(
        COUNTS.empty_table()
    )


@pytest.mark.parametrize("seed", range(5))
def test_pairs_of_one_title_are_all_there_are(seed):
    rng = np.random.default_rng(seed)
    titles = [None if rng.random() < 0.2 else f"t{rng.integers(8)}" for _ in range(40)]
    titles[0] = ""
    songs = rng.permutation(1000)[:40]
    found = of_one_title(songs, pa.array(titles, pa.string()))
    wanted = {
        tuple(sorted((int(songs[i]), int(songs[j]))))
        for i in range(40)
        for j in range(i)
        if titles[i] and titles[i] == titles[j]
    }
    told = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert len(told) == len(wanted) and set(told) == wanted
    assert all(one < other for one, other in told)


def test_a_title_of_many_files_is_compared_with_the_next_ones():
    found = of_one_title(np.arange(200), pa.array(["hit"] * 200))
    steps = found.second - found.first
    assert steps.max() == MOST_OF_A_TITLE
    assert len(steps) == sum(200 - step for step in range(1, MOST_OF_A_TITLE + 1))


def test_what_strangers_share_too_is_nothing():
    pair = Pairs(np.array([0, 0]), np.array([1, 2]), np.array([15, 16]))
    told = contained(pair, np.array([100, 32, 400]), 16)
    assert told.tolist() == [0.0, 0.16]
