"""Krumhansl and Schmuckler's key finder: the key whose profile correlates best with what sounds."""

import numpy as np

from schemas.keys import NO_KEY

# How much each of the twelve degrees (semitones above the tonic) belongs to a major and a minor
# key, by probe tones. Krumhansl & Kessler 1982, Psychological Review 89(4).
# fmt: off
KRUMHANSL_KESSLER = (
    (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
)
# fmt: on
Profile = tuple[tuple[float, ...], tuple[float, ...]]
# Correlations nearer than this count as equal: rounding must not choose a key.
TIE = 1e-9
# music21's order among equals: the higher pitch class first, then minor before major.
_KS_ORDER = np.array([key for tonic in range(11, -1, -1) for key in (tonic + 12, tonic)])


def profiles_by_key(profile: Profile) -> np.ndarray:
    """A profile (major, minor) laid on every key: float64[24, 12], pitch classes C..B of each key
    number."""
    return np.array([np.roll(degrees, tonic) for degrees in profile for tonic in range(12)])


def krumhansl_schmuckler(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Key of each row by correlation with the Krumhansl-Kessler profiles (Krumhansl 1990):
    uint8[n], float64[n].

    Equal to music21's KrumhanslSchmuckler; of keys that correlate alike the higher tonic,
    then minor. The confidence is the lead in correlation over the next best key, at most 1.
    An empty row has no key (24) and confidence 0.
    """
    profiles = profiles_by_key(KRUMHANSL_KESSLER)
    profiles -= profiles.mean(axis=1, keepdims=True)
    rows = weights - weights.mean(axis=1, keepdims=True)
    scale = np.sqrt((rows**2).sum(axis=1, keepdims=True) * (profiles**2).sum(axis=1))
    ordered = np.divide(
        rows @ profiles.T, scale, out=np.zeros_like(scale), where=scale > 0
    )[:, _KS_ORDER]
    second, first = np.partition(ordered, -2, axis=1)[:, -2:].T
    key = _KS_ORDER[np.argmax(ordered >= first[:, None] - TIE, axis=1)].astype(np.uint8)
    confidence = np.minimum(first - second, 1.0)
    empty = ~weights.any(axis=1)
    key[empty], confidence[empty] = NO_KEY, 0.0
    return key, confidence
