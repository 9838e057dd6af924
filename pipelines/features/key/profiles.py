"""Profiles: how much each degree belongs to a key, as six authors published it, and how
far keys are from each other."""

import numpy as np

from schemas.keys import N_KEYS
from schemas.krumhansl import KRUMHANSL_KESSLER, Profile, profiles_by_key

# How much each of the twelve degrees (semitones above the tonic) belongs to a key: (major,
# minor).
# fmt: off
KEY_PROFILES: dict[str, Profile] = {
    "krumhansl_kessler": KRUMHANSL_KESSLER,
    # Counts in Essen folk songs. Aarden 2003, Dynamic Melodic Expectancy (Ohio State);
    # figures as in Humdrum's keycor.
    "aarden_essen": (
        (17.7661, 0.145624, 14.9265, 0.160186, 19.8049, 11.3587, 0.291248, 22.062, 0.145624, 8.15494, 0.232998, 4.95122),
        (18.2648, 0.737619, 14.0499, 16.8599, 0.702494, 14.4362, 0.702494, 18.6161, 4.56621, 1.93186, 7.37619, 1.75623),
    ),
    # Chords counted by Budge 1943, turned into tones by Bellman 2005, About the
    # Determination of Key of a Musical Excerpt.
    "bellman_budge": (
        (16.80, 0.86, 12.95, 1.41, 13.49, 11.93, 1.25, 20.28, 1.80, 8.04, 0.62, 10.57),
        (18.16, 0.69, 12.99, 13.34, 1.07, 11.15, 1.38, 21.07, 7.49, 1.53, 0.92, 10.21),
    ),
    # Excerpts of Kostka & Payne's harmony book, counted by Temperley 2001, The Cognition of
    # Basic Musical Structures.
    "temperley": (
        (0.748, 0.060, 0.488, 0.082, 0.670, 0.460, 0.096, 0.715, 0.104, 0.366, 0.057, 0.400),
        (0.712, 0.084, 0.474, 0.618, 0.049, 0.460, 0.105, 0.747, 0.404, 0.067, 0.133, 0.330),
    ),
    # Opening and closing bars of 982 pieces. Albrecht & Shanahan 2013, Music Perception
    # 31(1).
    "albrecht_shanahan": (
        (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081),
        (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052),
    ),
    # Round numbers by Sapp 2011, Computational Methods for the Analysis of Musical
    # Structure (Stanford).
    "sapp_simple": (
        (2.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 2.0, 0.0, 1.0, 0.0, 1.0),
        (2.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 2.0, 1.0, 0.0, 0.5, 0.5),
    ),
}
# fmt: on


def key_profile(name: str) -> np.ndarray:
    """A published profile laid on every key: float64[24, 12], pitch classes C..B of each
    key number."""
    return profiles_by_key(KEY_PROFILES[name])


def neighbour_costs(
    fifths: float, mode: float, parallel: float, relative: float
) -> np.ndarray:
    """How far each key is from each other: float64[24, 24], infinite from a key to itself.

    0 for a fifth in the same mode; `fifths` for each further step of the circle between the
    two signatures, `mode` for a change of mode on top; but `parallel` and `relative` alone
    for the keys of those names.
    """
    keys = np.arange(N_KEYS)
    minor = keys >= 12
    # A minor key has the signature of the major key three semitones up; seven semitones are
    # a fifth.
    signature = np.where(minor, keys + 3, keys) * 7 % 12
    steps = np.abs(signature[:, None] - signature)
    steps = np.minimum(steps, 12 - steps)
    other_mode = minor[:, None] != minor
    same_tonic = keys[:, None] % 12 == keys % 12
    costs = fifths * (steps - 1) + mode * other_mode
    costs = np.where(other_mode & same_tonic, parallel, costs)
    costs = np.where(other_mode & (steps == 0), relative, costs)
    np.fill_diagonal(costs, np.inf)
    return costs
