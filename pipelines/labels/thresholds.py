"""From valence and arousal values to classes and quadrants.

Arousal here is Spotify's `energy`: Spotify publishes no arousal, and energy ("intensity and
activity") is its nearest number. That is our decision, not Spotify's claim; it holds for
every table that affect/tables.py reads.

A value above the threshold is HIGH, one at or below it LOW. Within `margin` of the
threshold a value has no class, and a song that lacks either class has no quadrant.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.labels.config import TRAIN_MEDIAN
from schemas.labels import QUADRANTS

# A sum like 0.55 - 0.5 is off by 1e-17, by 1e-8 once stored as float32: that must not
# decide on a song's side.
DECIMALS = 6


@dataclass(frozen=True)
class Thresholds:
    """Where low ends and high begins, how it was found (`fixed` or `train_median`), and
    on how many training rows."""

    valence: float
    arousal: float
    margin: float
    rule: str
    n_train: int


def fit_thresholds(
    threshold: str | float, margin: float, valence: np.ndarray, arousal: np.ndarray
) -> Thresholds:
    """The thresholds of a release; valence and arousal are the values (NaN for none) of its
    training rows alone.

    threshold: a number in [0, 1] for both axes, or `train_median`. Raises ValueError where
    no median can be taken.
    """
    labelled = np.isfinite(valence) & np.isfinite(arousal)
    n_train = int(labelled.sum())
    if threshold != TRAIN_MEDIAN:
        return Thresholds(float(threshold), float(threshold), margin, "fixed", n_train)
    if not n_train:
        raise ValueError(
            "train_median needs a labelled training song, and there is none: add labels or set a number"
        )
    return Thresholds(
        float(np.median(valence[labelled])),
        float(np.median(arousal[labelled])),
        margin,
        TRAIN_MEDIAN,
        n_train,
    )


def classify(values: np.ndarray, threshold: float, margin: float) -> pa.Array:
    """int8 classes of values, null where the value is NaN or nearer than `margin` to the
    threshold."""
    distance = np.round(values - threshold, DECIMALS)
    missing = ~np.isfinite(values) | (np.abs(distance) < margin)
    return pa.array((distance > 0).astype(np.int8), pa.int8(), mask=missing)


def quadrants(arousal_class: pa.Array, valence_class: pa.Array) -> pa.Array:
    """The quadrant's name of each row, null where either class is."""
    names = pa.array([QUADRANTS[index >> 1, index & 1] for index in range(4)])
    return names.take(
        pc.add(pc.multiply(arousal_class, pa.scalar(2, pa.int8())), valence_class)
    )


def apply_rule(songs: pa.Table, thresholds: Thresholds) -> pa.Table:
    """songs with valence_class, arousal_class (int8) and quadrant (string) set from its
    valence and arousal columns."""
    valence, arousal = (
        songs[axis].cast(pa.float64()).to_numpy() for axis in ("valence", "arousal")
    )
    valence_class = classify(valence, thresholds.valence, thresholds.margin)
    arousal_class = classify(arousal, thresholds.arousal, thresholds.margin)
    columns = {
        "valence_class": valence_class,
        "arousal_class": arousal_class,
        "quadrant": quadrants(arousal_class, valence_class),
    }
    kept = songs.drop_columns([name for name in columns if name in songs.column_names])
    for name, column in columns.items():
        kept = kept.append_column(name, column)
    return kept
