"""Scores: what judges heard in the pieces of several seeds, as accuracy with an interval
and as a share of what is possible."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.config import AXES
from training.evaluation.metrics import accuracies, auc, mean

CHANCE = 0.5
NORMAL = 1.96
# What every interval of written pieces is.
SEEDS_SAY = "Student's t over seeds, and no narrower than the pieces of each leave open."
Measured = Mapping[str, Any]


def binary_scores(said: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """Accuracy, precision, recall, F1 of high (the paper's), and balanced accuracy;
    classes (n) of 0 and 1."""
    hits = float(((said == 1) & (wanted == 1)).sum())
    precision, recall = (
        hits / max(int((said == 1).sum()), 1),
        hits / max(int((wanted == 1).sum()), 1),
    )
    both = accuracies(said, wanted)
    f1 = 2 * precision * recall / max(precision + recall, 1e-12)
    return {
        "accuracy": both["accuracy"],
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "balanced": both["balanced"],
    }


def interval(values: Sequence[float], deviations: Sequence[float]) -> list[float]:
    """95 % of the mean of a share over seeds: Student's t of how seeds differ, and at least
    what their pieces leave open.

    values, deviations: of each seed, the latter of its pieces alone; of a single seed
    nothing is known beyond its pieces.
    """
    from scipy.stats import t

    n, middle = len(values), float(np.mean(values))
    half = NORMAL * float(np.sqrt(np.mean(np.square(deviations)) / n))
    if n > 1:
        half = max(half, float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)))
    return [max(middle - half, 0.0), min(middle + half, 1.0)]


def share_deviation(share: float, n: int) -> float:
    """Standard deviation of a share of n pieces, that of 0 and 1 not being 0 (Agresti
    and Coull 1998)."""
    nearer = (share * n + 2) / (n + 4)
    return float(np.sqrt(nearer * (1 - nearer) / (n + 4)))


def auc_deviation(score: np.ndarray, label: np.ndarray) -> float:
    """Standard deviation of measures.auc (DeLong, DeLong and Clarke-Pearson 1988), at
    least that of a share of 1."""
    high, low = score[label == 1][:, None], score[label == 0][None]
    over = (high > low) + (high == low) / 2
    found = np.sqrt(over.mean(1).var() / over.shape[0] + over.mean(0).var() / over.shape[1])
    return max(float(found), share_deviation(1.0, min(over.shape)))


def control(balanced: float, real: Measured) -> float:
    """Share of the way from chance to what a judge hears in real windows; NaN for one that
    may hear nothing in real songs.

    real: what judges.ceiling says of the judge and axis.
    """
    ceiling, least = real["window_balanced"], real["balanced_interval"][0]
    return (
        (balanced - CHANCE) / (ceiling - CHANCE)
        if min(ceiling, least) > CHANCE
        else float("nan")
    )


def heard(found: Sequence[Measured], judge: str, real: Measured) -> dict[str, Any]:
    """Of what `judged` measured in each seed: by axis binary_scores and AUC, mean over
    seeds, interval and control; AUC of valence among pieces of one arousal; quadrants.

    AUC needs no threshold: it shows control of pieces that are all heard as low, because
    they are unlike real ones.
    """
    report: dict[str, Any] = {}
    chance, wanted = (
        [np.array(one["chance"][judge]) for one in found],
        [np.array(one["wanted"]) for one in found],
    )
    for at, axis in enumerate(AXES):
        pairs = [
            (one[:, at], other[:, at]) for one, other in zip(chance, wanted, strict=True)
        ]
        seeds = [
            binary_scores((score > CHANCE).astype(int), label) | {"auc": auc(score, label)}
            for score, label in pairs
        ]
        scores = {name: float(np.mean([one[name] for one in seeds])) for name in seeds[0]}
        report[axis] = {
            **scores,
            "accuracy_interval": _of_shares(
                [one["accuracy"] for one in seeds], len(wanted[0])
            ),
            "auc_interval": interval(
                [one["auc"] for one in seeds], [auc_deviation(*pair) for pair in pairs]
            ),
            "control": control(scores["balanced"], real[judge][axis]),
            "by_seed": seeds,
        }
    for level in (0, 1):
        report["valence"][f"auc_arousal_{level}"] = float(
            np.mean(
                [
                    auc(one[other[:, 0] == level, 1], other[other[:, 0] == level, 1])
                    for one, other in zip(chance, wanted, strict=True)
                ]
            )
        )
    right = [
        float(((one > CHANCE) == other).all(1).mean())
        for one, other in zip(chance, wanted, strict=True)
    ]
    report["quadrants"] = {
        "accuracy": float(np.mean(right)), "accuracy_interval": _of_shares(right, len(wanted[0])),
    }  # fmt: skip
    return report


def _of_shares(shares: Sequence[float], n: int) -> list[float]:
    return interval(shares, [share_deviation(share, n) for share in shares])


def spread(found: Sequence[Measured], *path: str) -> dict[str, float] | None:
    """Mean, least and most over seeds of the number at a path, or None where a model
    does not have it."""
    values = []
    for one in found:
        value: Any = one
        for step in path:
            value = value.get(step) if isinstance(value, Mapping) else None
        if value is not None:
            values.append(float(value))
    return (
        {"mean": mean(np.array(values)), "least": min(values), "most": max(values)}
        if values
        else None
    )


def best_judge(real: Measured) -> str:
    """The judge that hears most in real windows. Not the rules: what is edited or
    steered by rule pleases them too well."""
    return max(
        (name for name in real if name != "rules"),
        key=lambda name: sum(real[name][axis]["window_balanced"] for axis in AXES),
    )
