"""Where a group of songs falls: its split, by quotas that hold for every kind of song;
whether it is set aside for judges, and the label ranks, by hash alone.

Every draw is sha256 of a purpose, a seed and an id, so it is the same on any machine and in
any order of the songs. The purposes are hashed in, so the draws are independent of each
other. A new seed moves whole groups only. Songs that are added move few of the old ones:
groups keep their place in the order of draws, and only the ends of the quotas move.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from schemas.settings import PATH

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)


@dataclass(frozen=True)
class Shares:
    """The share of songs that each split is to get; they sum to 1.

    judge: of the labelled training groups, the share set aside for training evaluation
    classifiers; by_artist: whether all songs of an artist stand in one split;
    trusted_first: whether validation and test take songs with trusted labels before others;
    max_group_share: of the kept songs, what one group may hold before it is cut; given:
    files of published splits, which are taken as they are; given_leaks: what becomes of a
    published split that parts a group: the build fails, or the songs outside training are
    set aside.
    """

    train: float = 0.8
    validation: float = 0.1
    test: float = 0.1
    judge: float = 0.2
    by_artist: bool = False
    trusted_first: bool = True
    max_group_share: float = 0.01
    given: tuple[str, ...] = field(default=(), metadata=PATH)
    given_leaks: Literal["fail", "set_aside"] = "fail"

    def __post_init__(self) -> None:
        shares = (self.train, self.validation, self.test)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError(
                f"split shares must be 0 or more and sum to 1, not {shares}: change [splits]"
            )
        for name in ("judge", "max_group_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"the share {name} must lie in [0, 1], not {getattr(self, name)}"
                )


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups with kept songs, one value a group in any order.

    names: group_ids; tied: whether a key ties it to another group; trusted: whether all its
    labels are trusted; offsets, kind, count: how many kept songs of which kinds each has,
    those of group g at offsets[g] to offsets[g + 1]; n_kinds: kinds that there are.
    """

    names: list[str]
    tied: np.ndarray
    trusted: np.ndarray
    offsets: np.ndarray
    kind: np.ndarray
    count: np.ndarray
    n_kinds: int


def split_groups(groups: Groups, seed: int, shares: Shares) -> np.ndarray:
    """The split of each group, an index of SPLITS (int8).

    Of every kind of songs validation and test take their share: first groups that nothing
    ties to another and whose labels are trusted (noise in a label hurts where it is measured
    by it, and tied songs can stand in training alone), then the rest by draw. What is left
    trains.
    """
    draw, second = (
        np.array([hashed_uniform(purpose, seed, name) for name in groups.names])
        for purpose in ("split", "evaluation")
    )
    later = ~groups.trusted & shares.trusted_first
    order = np.lexsort((draw, later, groups.tied))
    held = filled(order, groups, 1 - shares.train)
    result = np.full(len(held), TRAIN, np.int8)
    if not held.any():
        return result
    # Trust is a kind too here, so that validation and test are alike.
    trusted = np.repeat(groups.trusted, np.diff(groups.offsets))
    kinds = replace(groups, kind=groups.kind * 2 + trusted, n_kinds=2 * groups.n_kinds)
    order = np.argsort(second, kind="stable")
    share = shares.test / (shares.validation + shares.test)
    result[held] = VALIDATION
    result[filled(order[held[order]], kinds, share)] = TEST
    return result


def filled(order: np.ndarray, groups: Groups, share: float) -> np.ndarray:
    """Which of the groups in `order` (rows, preferred ones first) make up a share of their
    songs, bool, one value a group.

    A group is taken where none of its kinds is over its quota by it. What groups that
    do not fit leave open is then filled whatever their kinds.
    """
    size = np.add.reduceat(np.append(groups.count, 0), groups.offsets[:-1])
    songs = np.zeros(groups.n_kinds)
    of_group = np.repeat(np.arange(len(size)), np.diff(groups.offsets))
    listed = np.zeros(len(size), bool)
    listed[order] = True
    np.add.at(songs, groups.kind[listed[of_group]], groups.count[listed[of_group]])
    # Rounded so that the quotas add up to that of all songs.
    quota = (
        np.diff(np.floor(np.cumsum(songs) * share + 0.5), prepend=0).astype(int).tolist()
    )
    offsets, kind, count = (
        column.tolist() for column in (groups.offsets, groups.kind, groups.count)
    )
    taken = np.zeros(len(size), bool)
    left = sum(quota)
    for row in order.tolist():
        if not left:
            return taken
        mine = range(offsets[row], offsets[row + 1])
        if all(count[at] <= quota[kind[at]] for at in mine):
            taken[row] = True
            for at in mine:
                quota[kind[at]] -= count[at]
                left -= count[at]
    for row in order[~taken[order]].tolist():
        if size[row] <= left:
            taken[row] = True
            left -= int(size[row])
    return taken


def hashed_uniform(purpose: str, seed: int, name: str) -> float:
    """A number in [0, 1) with 53 random bits: the first eight bytes of
    sha256("purpose:seed:name")."""
    digest = hashlib.sha256(f"{purpose}:{seed}:{name}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)


def label_rank(song_id: str, seed: int) -> float:
    """A song's place in [0, 1): the songs with rank < p are a share p of the labels, and
    nest as p grows."""
    return hashed_uniform("label_rank", seed, song_id)


def is_for_judges(group_id: str, seed: int, share: float) -> bool:
    """Whether a labelled training group is set aside for training evaluation
    classifiers; its split stays train."""
    return hashed_uniform("judge", seed, group_id) < share
