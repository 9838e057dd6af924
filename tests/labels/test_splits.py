"""Splits, ranks and judges by hash: shares, nesting, independence, and stability against a
written-out sha256."""

import hashlib

import pytest

from pipelines.labels.splits import (
    SPLITS,
    Shares,
    hashed_uniform,
    is_for_judges,
    label_rank,
    split_of,
)

IDS = [f"lpd5:{index:032x}" for index in range(20_000)]


def test_draw_is_sha256_written_out():
    digest = hashlib.sha256(b"split:3:lpd5:abc").hexdigest()
    assert hashed_uniform("split", 3, "lpd5:abc") == int(digest[:16], 16) // 2048 / 2**53


@pytest.mark.parametrize("seed", [0, 1, 17])
def test_shares_are_kept(seed):
    splits = [split_of(name, seed, Shares()) for name in IDS]
    for split, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
        assert abs(splits.count(split) / len(IDS) - share) < 0.01


def test_a_new_seed_moves_groups_and_the_old_one_does_not():
    first = [split_of(name, 0, Shares()) for name in IDS]
    assert first == [split_of(name, 0, Shares()) for name in IDS]
    moved = sum(
        a != b
        for a, b in zip(first, (split_of(name, 1, Shares()) for name in IDS), strict=True)
    )
    assert abs(moved / len(IDS) - (1 - 0.64 - 0.01 - 0.01)) < 0.02


def test_ends_of_the_shares():
    assert {split_of(name, 0, Shares(1.0, 0.0, 0.0)) for name in IDS} == {"train"}
    assert {split_of(name, 0, Shares(0.0, 0.0, 1.0)) for name in IDS} == {"test"}
    assert {split_of(name, 0, Shares(0.0, 1.0, 0.0)) for name in IDS} == {"validation"}
    # 0.7 + 0.2 + 0.1 is not 1 in floats; no group may fall between validation and test.
    assert {split_of(name, 0, Shares(0.7, 0.2, 0.1)) for name in IDS} == set(SPLITS)


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.2), (1.2, -0.1, -0.1), (0.5, 0.25, 0.2)])
def test_wrong_shares_are_refused(shares):
    with pytest.raises(ValueError, match="sum to 1"):
        Shares(*shares)


def test_label_ranks_nest_and_keep_their_share():
    ranks = {name: label_rank(name, 0) for name in IDS}
    assert all(0 <= rank < 1 for rank in ranks.values())
    subsets = [
        {name for name in IDS if ranks[name] < rate} for rate in (0.01, 0.1, 0.5, 1.0)
    ]
    assert subsets[0] < subsets[1] < subsets[2] < subsets[3] == set(IDS)
    assert abs(len(subsets[1]) / len(IDS) - 0.1) < 0.01


def test_judges_are_their_share_and_independent_of_the_split():
    train = [name for name in IDS if split_of(name, 0, Shares()) == "train"]
    for names in (train, [name for name in train if label_rank(name, 0) < 0.2]):
        share = sum(is_for_judges(name, 0, 0.2) for name in names) / len(names)
        assert abs(share - 0.2) < 0.02
    assert not any(is_for_judges(name, 0, 0.0) for name in IDS[:100])
    assert all(is_for_judges(name, 0, 1.0) for name in IDS[:100])
