"""Where a group of songs falls: its split, by quotas that hold in every stratum; whether it
is set aside for judges, and the label ranks, by hash alone.

Every draw is sha256 of a purpose, a seed and an id, so it is the same on any machine and in
any order of the songs. The purposes are hashed in, so the draws are independent of each
other. A new seed moves whole groups only. Songs that are added move few of the old ones:
groups keep their place in the order of draws, and only the ends of the quotas move.
"""

import hashlib
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np

from schemas.runs import run_starts
from schemas.settings import PATH

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)


@dataclass(frozen=True)
class Shares:
    """The share of songs that each split is to get; they sum to 1.

    judge: of the labelled training groups, the share set aside for training evaluation
    classifiers; by_artist: whether all songs of an artist stand in one split;
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

    names: group_ids; size: kept songs; stratum: number of the kind that most of its songs
    are of; tied: whether a key ties it to another group; trusted: whether all its labels
    are trusted.
    """

    names: list[str]
    size: np.ndarray
    stratum: np.ndarray
    tied: np.ndarray
    trusted: np.ndarray


def split_groups(groups: Groups, seed: int, shares: Shares) -> np.ndarray:
    """The split of each group, an index of SPLITS (int8).

    In every stratum validation and test take their share of the songs: first of groups that
    nothing ties to another and whose labels are trusted (noise in a label hurts where it is
    measured by it, and tied songs can stand in training alone), then of the rest by draw.
    What is left trains.
    """
    draw, second = (
        np.array([hashed_uniform(purpose, seed, name) for name in groups.names])
        for purpose in ("split", "evaluation")
    )
    order = np.lexsort((draw, ~groups.trusted, groups.tied, groups.stratum))
    held = filled(order, groups.stratum, groups.size, 1 - shares.train)
    result = np.full(len(held), TRAIN, np.int8)
    if not held.any():
        return result
    # Trust is a stratum too here, so that validation and test are alike.
    kind = groups.stratum * 2 + groups.trusted
    order = np.lexsort((second, kind))
    order = order[held[order]]
    share = shares.test / (shares.validation + shares.test)
    test = filled(order, kind, groups.size, share)
    result[held] = VALIDATION
    result[test] = TEST
    return result


def filled(
    order: np.ndarray, stratum: np.ndarray, size: np.ndarray, share: float
) -> np.ndarray:
    """Which groups fill a share of the songs of each stratum, bool, one value a group.

    order: rows of the groups that may, strata together, preferred ones first. A group larger
    than the rest of its quota is passed over; what a stratum leaves open, the next one fills.
    """
    taken = np.zeros(len(size), bool)
    starts = run_starts(stratum[order]).tolist()
    songs = filled_songs = 0
    for begin, end in pairwise([*starts, len(order)]):
        rows = order[begin:end].tolist()
        songs += int(size[rows].sum())
        left = int(np.floor(share * songs + 0.5)) - filled_songs
        for row in rows:
            if left <= 0:
                break
            if size[row] <= left:
                taken[row] = True
                left -= int(size[row])
                filled_songs += int(size[row])
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
