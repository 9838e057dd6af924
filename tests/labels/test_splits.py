"""Splits: quotas against the arithmetic, preferences, nesting, and draws against a
written-out sha256."""

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.labels.splits import (
    SPLITS,
    TEST,
    TRAIN,
    Groups,
    Shares,
    filled,
    hashed_uniform,
    is_for_judges,
    label_rank,
    split_groups,
)

IDS = [f"lpd5:{index:032x}" for index in range(20_000)]


def groups(n: int, seed: int = 0, tied: float = 0.1, trusted: float = 0.3) -> Groups:
    """Groups of one to six songs in three strata."""
    rng = np.random.default_rng(seed)
    size, stratum = rng.integers(1, 7, n), rng.integers(0, 3, n)
    return of(IDS[:n], size, stratum, rng.random(n) < tied, rng.random(n) < trusted)


def of(names, size, stratum, tied, trusted) -> Groups:
    """Groups all of whose songs are of one kind."""
    offsets = np.arange(len(names) + 1)
    return Groups(names, tied, trusted, offsets, stratum, size, int(stratum.max()) + 1)


def test_draw_is_sha256_written_out():
    digest = hashlib.sha256(b"split:3:lpd5:abc").hexdigest()
    assert hashed_uniform("split", 3, "lpd5:abc") == int(digest[:16], 16) // 2048 / 2**53


@pytest.mark.parametrize("shares", [Shares(), Shares(0.7, 0.2, 0.1), Shares(0.5, 0.0, 0.5)])
def test_shares_are_kept_in_all_and_in_every_stratum(shares):
    some = groups(2000)
    split = split_groups(some, 0, shares)
    for kind in [some.kind >= 0, *(some.kind == one for one in range(3))]:
        songs = some.count[kind].sum()
        for index, name in enumerate(SPLITS):
            there = some.count[kind & (split == index)].sum()
            assert abs(there - getattr(shares, name) * songs) <= 8


def test_a_share_of_one_takes_all_and_of_none_nobody():
    some = groups(200)
    for shares, only in (
        (Shares(1.0, 0.0, 0.0), 0),
        (Shares(0.0, 1.0, 0.0), 1),
        (Shares(0.0, 0.0, 1.0), 2),
    ):
        assert set(split_groups(some, 0, shares).tolist()) == {only}


def test_tied_groups_train_and_trusted_ones_are_measured_by():
    some = groups(2000)
    split = split_groups(some, 0, Shares())
    assert (split[some.tied] == TRAIN).all()
    # A third is trusted and a fifth is wanted: nobody else is taken.
    assert some.trusted[split != TRAIN].all()
    few = groups(2000, trusted=0.1)
    split = split_groups(few, 0, Shares())
    assert (split[few.trusted & ~few.tied] != TRAIN).all()
    by_split = [few.trusted[split == index].mean() for index in (1, 2)]
    assert abs(by_split[0] - by_split[1]) < 0.04


def test_trust_may_be_left_aside():
    some = groups(2000)
    split = split_groups(some, 0, Shares(trusted_first=False))
    assert (split[some.tied] == TRAIN).all()
    free = ~some.tied
    by_split = [some.trusted[free & (split == index)].mean() for index in range(3)]
    assert max(by_split) - min(by_split) < 0.06


def test_tied_groups_are_measured_by_where_training_is_full():
    some = groups(500, tied=0.9)
    split = split_groups(some, 0, Shares(0.5, 0.25, 0.25))
    held = some.count[split != TRAIN].sum()
    assert abs(held - some.count.sum() / 2) <= 8
    assert (split[~some.tied] != TRAIN).all()


def test_the_order_of_groups_says_nothing():
    some, order = groups(500), np.random.default_rng(1).permutation(500)
    shuffled = of(
        [some.names[row] for row in order],
        some.count[order],
        some.kind[order],
        some.tied[order],
        some.trusted[order],
    )
    assert (
        split_groups(some, 3, Shares())[order] == split_groups(shuffled, 3, Shares())
    ).all()


def test_a_seed_moves_groups_and_added_songs_move_few():
    some = groups(2000, trusted=0.0)
    first = split_groups(some, 0, Shares())
    assert 0.2 < (first != split_groups(some, 1, Shares())).mean() < 0.5
    more = groups(2100, trusted=0.0)
    grown = of(
        more.names,
        np.append(some.count, more.count[2000:]),
        np.append(some.kind, more.kind[2000:]),
        np.append(some.tied, more.tied[2000:]),
        np.append(some.trusted, more.trusted[2000:]),
    )
    assert (first != split_groups(grown, 0, Shares())[:2000]).mean() < 0.03


def test_quotas_are_of_songs_where_groups_are_mixed():
    # Ninety groups of one song of each kind are tied; a hundred songs of each kind stand
    # alone.
    offsets = np.concatenate([np.arange(0, 181, 2), np.arange(181, 381)])
    kind = np.array([0, 1] * 90 + [0] * 100 + [1] * 100)
    tied = np.arange(290) < 90
    some = Groups(IDS[:290], tied, ~tied & False, offsets, kind, np.ones(380, int), 2)
    split = split_groups(some, 0, Shares())
    assert [(split[90:190] != TRAIN).sum(), (split[190:] != TRAIN).sum()] == [38, 38]


def test_a_group_larger_than_a_split_trains():
    some = of(
        IDS[:21], np.array([50] + [1] * 20), np.zeros(21, int), *np.zeros((2, 21), bool)
    )
    split = split_groups(some, 0, Shares())
    assert split[0] == TRAIN and Counter(split.tolist())[TEST] == 7


@given(
    st.lists(
        st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(any),
        min_size=1,
        max_size=60,
    ),
    st.floats(0, 1),
)
def test_filled_never_passes_its_share_and_misses_it_by_less_than_a_group(songs, share):
    table = np.array(songs)
    rows, kinds = np.nonzero(table)
    offsets = np.searchsorted(rows, np.arange(len(table) + 1))
    flags = np.zeros(len(table), bool)
    names = IDS[: len(table)]
    some = Groups(names, flags, flags, offsets, kinds, table[rows, kinds], 3)
    taken = filled(np.arange(len(table)), some, share)
    wanted = int(np.floor(share * table.sum() + 0.5))
    assert table[taken].sum() <= wanted
    if not taken.all():
        assert wanted - table[taken].sum() < table[~taken].sum(axis=1).max()


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.2), (1.1, -0.1, 0.0), (0.0, 0.0, 0.0)])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValueError, match="sum to 1"):
        Shares(*shares)
    with pytest.raises(ValueError, match="judge"):
        Shares(judge=1.5)
    with pytest.raises(ValueError, match="max_group_share"):
        Shares(max_group_share=-0.1)


def test_label_ranks_nest_and_are_independent_of_the_split():
    ranks = np.array([label_rank(name, 0) for name in IDS])
    draws = np.array([hashed_uniform("split", 0, name) for name in IDS])
    for share in (0.01, 0.1, 0.5):
        assert abs((ranks < share).mean() - share) < 0.01
    assert abs(np.corrcoef(ranks, draws)[0, 1]) < 0.03


def test_judges_are_a_share_of_the_groups():
    for names in (IDS, [name for name in IDS if label_rank(name, 0) < 0.2]):
        share = sum(is_for_judges(name, 0, 0.2) for name in names) / len(names)
        assert abs(share - 0.2) < 0.02
    assert not any(is_for_judges(name, 0, 0.0) for name in IDS[:100])
    assert all(is_for_judges(name, 0, 1.0) for name in IDS[:100])
