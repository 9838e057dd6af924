"""Against people: how far the labels of tracks say what listeners say of the same tracks.

A table of people's classes is asked by AUC: of a track that people call high and one that they
call low, how often ours is higher. A table of numbers is asked by rank correlation. Intervals
are of 95 %, over resampled tracks.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import rankdata

from pipelines.labels.thresholds import Thresholds

TEXT, NUMBER = pa.string(), pa.float64()
AXES = ("valence", "arousal")
# What people say of a track, by the name of their table; null on an axis that it says nothing
# of.
PEOPLE = pa.schema([("table", TEXT), ("id", TEXT), *((axis, NUMBER) for axis in AXES)])
RESAMPLES = 1000
FEWEST = 10


def against_people(
    labels: pa.Table, people: pa.Table, thresholds: Thresholds | None
) -> dict[str, dict[str, Any]]:
    """Of each table of PEOPLE and each axis that it speaks of: `n` tracks in common and, where
    they are enough, `auc` and `agreement` or `rank_correlation`, each with its `_interval`.

    labels: tables.LABELS, of which those by track count, one a track. thresholds: those of the
    release, at which agreement of classes is taken; None leaves it out.
    """
    ours = labels.filter(pc.equal(labels["key"], "track_id"))
    report: dict[str, dict[str, Any]] = {}
    for name in sorted(set(people["table"].to_pylist())):
        theirs = people.filter(pc.equal(people["table"], name))
        at = pc.index_in(theirs["id"], ours["id"].combine_chunks())
        both = pc.is_valid(at)
        mine = ours.take(at.filter(both))
        said = theirs.filter(both)
        report[name] = {}
        for axis in AXES:
            known = pc.is_valid(said[axis])
            if theirs[axis].null_count == len(theirs):
                continue
            report[name][axis] = compared(
                mine[axis].filter(known).to_numpy(),
                said[axis].filter(known).to_numpy(),
                getattr(thresholds, axis) if thresholds else None,
            )
    return report


def compared(
    ours: np.ndarray, theirs: np.ndarray, threshold: float | None
) -> dict[str, Any]:
    """Our values and theirs of the same tracks, in one order; threshold: of our classes."""
    found: dict[str, Any] = {"n": len(ours)}
    values = np.unique(theirs)
    if len(ours) < FEWEST or len(values) < 2:
        return found
    if len(values) > 2:
        return found | _with_interval("rank_correlation", rank_correlation, ours, theirs)
    high = theirs == values[1]
    found |= {"high": int(high.sum())} | _with_interval("auc", auc, ours, high)
    if threshold is None:
        return found
    return found | _with_interval("agreement", _same, ours > threshold, high)


def auc(ours: np.ndarray, high: np.ndarray) -> float:
    """Chance that a high track is over a low one, equals by half; NaN without both."""
    n_high, n_low = int(high.sum()), int((~high).sum())
    if not n_high or not n_low:
        return float("nan")
    ranks = rankdata(ours)
    return float((ranks[high].sum() - n_high * (n_high + 1) / 2) / (n_high * n_low))


def rank_correlation(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Spearman's, NaN where either is the same throughout."""
    one, other = rankdata(ours), rankdata(theirs)
    if not one.std() or not other.std():
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def _same(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float((ours == theirs).mean())


def _with_interval(
    name: str,
    measure: Callable[[np.ndarray, np.ndarray], float],
    ours: np.ndarray,
    theirs: np.ndarray,
) -> dict[str, Any]:
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        rows = random.integers(0, len(ours), len(ours))
        drawn.append(measure(ours[rows], theirs[rows]))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return {
        name: round(measure(ours, theirs), 4),
        f"{name}_interval": [round(float(low), 4), round(float(high), 4)],
    }
