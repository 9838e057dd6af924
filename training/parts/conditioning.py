"""Emotion classes as models are conditioned on them: of each of AXES low (0), high (1) or
unknown (−1)."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from training.config import AXES, UNLABELLED

N_LEVELS = 3


def label_of(conditioning: Mapping[str, int | None], n: int) -> Tensor:
    """Labels (n, 2) of n pieces, all alike; an axis whose class is None is unknown."""
    levels = [conditioning[axis] for axis in AXES]
    return torch.tensor(
        [UNLABELLED if level is None else level for level in levels]
    ).repeat(n, 1)


def sample_labels(
    conditioning: Mapping[str, int | None], n: int, generator: torch.Generator
) -> Tensor:
    """Class (n, 2) of each piece and axis; an axis without one takes one at random a
    piece."""
    levels = [conditioning[axis] for axis in AXES]
    columns = [
        torch.randint(2, (n,), generator=generator)
        if level is None
        else torch.full((n,), level)
        for level in levels
    ]
    return torch.stack(columns, -1)


def class_code(label: Tensor) -> Tensor:
    """One-hot classes of each axis side by side: labels (B, 2) to (B, 6), unknown first."""
    return functional.one_hot(label + 1, N_LEVELS).flatten(1).float()
