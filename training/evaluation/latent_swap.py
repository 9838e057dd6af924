"""Exchanges: how like A and B a song is that has its rhythm or key latent from B, eq. (20),
beside what any two songs share."""

from collections.abc import Callable, Sequence

import numpy as np

from schemas.song import Song
from training.data.keys import chroma
from training.evaluation import metrics as measures

VECTORS: dict[str, Callable[[Song, int], np.ndarray]] = {
    "rhythm": measures.rhythm_vector,
    "pitch_classes": lambda song, bars: chroma(song).sum(0),
}


def similarities(
    changed: Sequence[Song], a: Sequence[Song], b: Sequence[Song], bars: int
) -> dict[str, dict[str, float]]:
    """Mean cosine of rhythm and of pitch classes between `changed`, which are A with one
    latent of B, and their A, their B, and the B of another pair (shuffled); and between
    A and B (unrelated). Cosines of counts are high for any two songs."""
    shuffled = [*b[1:], *b[:1]] if len(b) > 1 else []
    sides = {
        "with_own": (changed, a),
        "with_other": (changed, b),
        "with_shuffled": (changed, shuffled),
        "unrelated": (a, b),
    }
    return {
        feature: {side: _likeness(*pair, vector, bars) for side, pair in sides.items()}
        for feature, vector in VECTORS.items()
    }


def _likeness(
    some: Sequence[Song],
    others: Sequence[Song],
    vector: Callable[[Song, int], np.ndarray],
    bars: int,
) -> float:
    if not others:
        return float("nan")
    pairs = zip(some, others, strict=True)
    return float(
        np.mean(
            [
                measures.cosine(vector(one, bars), vector(other, bars))
                for one, other in pairs
            ]
        )
    )
