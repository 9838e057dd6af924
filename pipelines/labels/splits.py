"""Where a group of songs falls, by hash alone: its split, whether it is set aside for
judges, and the label ranks.

Every number is sha256 of a purpose, a seed and an id, so it is the same on any machine and
for any neighbours: adding songs moves none of the old ones, and a new seed moves whole
groups only. The purposes are hashed in, so the four draws are independent of each other.
"""

import hashlib
from dataclasses import dataclass

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Shares:
    """The share of groups that each split is to get; they sum to 1.

    judge: of the labelled training groups, the share set aside for training evaluation
    classifiers; by_artist: whether all songs of an artist stand in one split.
    """

    train: float = 0.8
    validation: float = 0.1
    test: float = 0.1
    judge: float = 0.2
    by_artist: bool = False

    def __post_init__(self) -> None:
        shares = (self.train, self.validation, self.test)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError(
                f"split shares must be 0 or more and sum to 1, not {shares}: change [splits]"
            )
        if not 0 <= self.judge <= 1:
            raise ValueError(f"the share of judge must lie in [0, 1], not {self.judge}")


def hashed_uniform(purpose: str, seed: int, name: str) -> float:
    """A number in [0, 1) with 53 random bits: the first eight bytes of
    sha256("purpose:seed:name")."""
    digest = hashlib.sha256(f"{purpose}:{seed}:{name}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)


def split_of(group_id: str, seed: int, shares: Shares) -> str:
    """train, validation or test for a whole group."""
    at = hashed_uniform("split", seed, group_id)
    if at < shares.train:
        return "train"
    # Compared from the top, so that rounding in train + validation can leave no group
    # without a split.
    return "test" if at >= 1 - shares.test else "validation"


def label_rank(song_id: str, seed: int) -> float:
    """A song's place in [0, 1): the songs with rank < p are a share p of the labels, and
    nest as p grows."""
    return hashed_uniform("label_rank", seed, song_id)


def is_for_judges(group_id: str, seed: int, share: float) -> bool:
    """Whether a labelled training group is set aside for training evaluation
    classifiers; its split stays train."""
    return hashed_uniform("judge", seed, group_id) < share
