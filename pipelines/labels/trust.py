"""How far a match is to be trusted: label_trust, 0 to 1, from evidence that is listed with
it.

Each piece of evidence adds log-odds to those of agreement among the matches:

    label_trust = 1 / (1 + exp(-(agreement + name + duration + tempo + key + chroma)))

What is not known adds nothing. How the numbers below were found, on 3,848 LPD songs
(measured 2026-11):

* agreement: logistic regression of "the true title is the matched one" on the count of
  further matches with the same title and of matches with other titles, over the songs whose
  true name is known (fit_agreement; tests/labels/test_trust_real.py fits it again on one
  half and judges it on the other).
* name: set, not fitted, since names are the truth all else is judged by. Of songs that two
  or more matches agree on, the list contradicts one in twenty; a wrong title and artist
  hardly ever agree by chance. The title by another artist adds little: the song is right
  and the recording is not, and a plain model of the notes finds the valence of such labels
  hardly more often (balanced accuracy .67) than of contradicted ones (.62), but .78 where
  the artist agrees too.
* duration, tempo, key: log of how often a match confirmed by chroma falls in a bin over how
  often a random pair of song and track does, halved, because a wrong match is not a random
  one: it was found by likeness in the first place.
* chroma: likewise, with the bins up to .25 held against the match: two known wrong matches
  lie at .20.

The evidence is taken as independent, which it is only roughly: label_trust ranks matches,
and is a probability where agreement alone is known.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

TEXT, NUMBER = pa.string(), pa.float64()
# One row a chosen label: counts of the matches; how alike (0-1, null unknown) title and
# artist are to the true name; song and track: seconds, bpm, key (0-11 major, 12-23 minor,
# 24 none); chroma: of chroma.chroma_fit.
EVIDENCE = pa.schema(
    [
        ("n_agreeing", pa.int32()), ("n_rivals", pa.int32()), ("title_likeness", NUMBER), ("artist_likeness", NUMBER),
        ("song_seconds", NUMBER), ("track_seconds", NUMBER), ("song_bpm", NUMBER), ("track_bpm", NUMBER),
        ("song_key", pa.int32()), ("track_key", pa.int32()), ("chroma", NUMBER),
    ]
)  # fmt: skip
# name_found: an index of NAMES_FOUND, null where the true name is not known;
# log_odds_without_name: of label_trust, were the name not known.
TRUST = pa.schema(
    [
        ("label_trust", NUMBER), ("trusted", pa.bool_()), ("evidence", pa.list_(TEXT)),
        ("name_found", pa.int8()), ("log_odds_without_name", NUMBER),
    ]
)  # fmt: skip
NAMES_FOUND = ("other", "title", "title+artist")
KEYS_FOUND = ("same", "near", "other")
SAME_NAME = 0.8
N_KEYS = 24
DECIMALS = 6
Bins = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Weights:
    """Log-odds of each piece of evidence.

    agreement: to begin with, per further match that agrees, per rival. The others: upper
    ends of bins, and the log-odds of each bin and of what lies beyond the last. name: of
    _name_found; duration: |ln(song / track)|; tempo: octaves; key: of key_distance; chroma:
    of chroma.chroma_fit.
    """

    agreement: tuple[float, float, float] = (0.5, 1.61, -1.45)
    name: Bins = ((0, 1), (-3.0, 0.5, 4.0))
    duration: Bins = ((0.05, 0.1, 0.2), (0.8, 0.4, -0.3, -0.9))
    tempo: Bins = ((0.02, 0.05, 0.1, 0.2), (1.2, 0.5, 0.2, -0.2, -1.0))
    key: Bins = ((0, 1), (1.0, 0.2, -0.6))
    chroma: Bins = ((0.25, 0.35, 0.45), (-2.5, 0.0, 1.5, 3.0))


WEIGHTS = Weights()


def label_trust(
    evidence: pa.Table, trusted_from: float, weights: Weights = WEIGHTS
) -> pa.Table:
    """TRUST, row by row, from EVIDENCE: label_trust, whether it reaches trusted_from, every
    part in words with its log-odds, and the numbers that are counted later.

    A part of the list reads `tempo=0.013 (+1.20)`: what was found, and what it adds.
    """
    column = {name: evidence[name].cast(NUMBER).to_numpy() for name in EVIDENCE.names}
    found = {
        "name": _name_found(column),
        "duration": _gap(column["song_seconds"], column["track_seconds"]),
        "tempo": tempo_gap(column["song_bpm"], column["track_bpm"]),
        "key": key_distance(column["song_key"], column["track_key"]),
        "chroma": column["chroma"],
    }
    added = {
        name: _binned(values, *getattr(weights, name)) for name, values in found.items()
    }
    agreement = _agreement(column, weights)
    log_odds = agreement + sum(np.nan_to_num(values) for values in added.values())
    trust = np.round(1 / (1 + np.exp(-log_odds)), DECIMALS)
    columns = {
        "label_trust": pa.array(trust),
        "trusted": pa.array(trust >= trusted_from),
        "evidence": pa.array(_in_words(column, agreement, found, added), pa.list_(TEXT)),
        "name_found": pa.array(found["name"], from_pandas=True).cast(pa.int8()),
        "log_odds_without_name": pa.array(log_odds - np.nan_to_num(added["name"])),
    }
    return pa.table([columns[name] for name in TRUST.names], TRUST)


def _in_words(
    column: dict[str, np.ndarray],
    agreement: np.ndarray,
    found: dict[str, np.ndarray],
    added: dict[str, np.ndarray],
) -> list[list[str]]:
    """Every part of the evidence of each row, what is not known left out."""
    counts = zip(column["n_agreeing"], column["n_rivals"], agreement, strict=True)
    words = [[f"matches=+{n:.0f}-{m:.0f} ({odds:+.2f})"] for n, m, odds in counts]
    for name, odds in added.items():
        for row in np.flatnonzero(np.isfinite(odds)):
            words[row].append(
                f"{name}={_worded(name, found[name][row])} ({odds[row]:+.2f})"
            )
    return words


def tempo_gap(song_bpm: np.ndarray, track_bpm: np.ndarray) -> np.ndarray:
    """Octaves between two tempi, a factor of two either way allowed as the usual error
    of beat trackers."""
    with np.errstate(divide="ignore", invalid="ignore"):
        octaves = np.log2(song_bpm / track_bpm)
    return np.where(
        np.isfinite(octaves), np.abs(octaves - np.clip(np.round(octaves), -1, 1)), np.nan
    )


def key_distance(song_key: np.ndarray, track_key: np.ndarray) -> np.ndarray:
    """0 for the same key, 1 for one that trackers take for it (fifth, relative, parallel),
    2 for another, NaN unknown.

    Keys are 0-11 for C to B major, 12-23 for C to B minor.
    """
    known = (song_key < N_KEYS) & (track_key < N_KEYS)
    song, track = (
        np.where(known, key, 0).astype(np.int64) for key in (song_key, track_key)
    )
    up = (track - song) % 12
    same_mode = song // 12 == track // 12
    to_relative = np.where(song < 12, 9, 3)
    near = np.where(same_mode, (up == 5) | (up == 7), (up == 0) | (up == to_relative))
    return np.where(known, np.where(song == track, 0, np.where(near, 1, 2)), np.nan)


def fit_agreement(
    n_agreeing: np.ndarray, n_rivals: np.ndarray, right: np.ndarray
) -> tuple[float, float, float]:
    """Weights.agreement for songs of which it is known whether the title is right: logistic
    regression by Newton steps.

    A ridge of one pseudo-observation keeps the weights finite where counts separate right
    from wrong.
    """
    x = np.column_stack([np.ones(len(right)), _capped(n_agreeing), _capped(n_rivals)])
    weights = np.zeros(3)
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (right - p) - weights
        weights += np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]) + np.eye(3), gradient)
    intercept, agreeing, rivals = (float(value) for value in weights)
    return intercept, agreeing, rivals


def _agreement(column: dict[str, np.ndarray], weights: Weights) -> np.ndarray:
    prior, agreeing, rivals = weights.agreement
    return (
        prior
        + agreeing * _capped(column["n_agreeing"])
        + rivals * _capped(column["n_rivals"])
    )


def _capped(counts: np.ndarray) -> np.ndarray:
    """Matches are no independent witnesses: more than three say no more than three."""
    return np.minimum(counts, 3)


def _name_found(column: dict[str, np.ndarray]) -> np.ndarray:
    """0 another title, 1 the title by another artist, 2 title and artist, NaN unknown."""
    title, artist = column["title_likeness"], column["artist_likeness"]
    return np.where(
        np.isfinite(title), (title >= SAME_NAME) * (1.0 + (artist >= SAME_NAME)), np.nan
    )


def _gap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far two durations are apart: |ln(one / other)|, NaN where one is unknown or 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.abs(np.log(one / other))
    return np.where(np.isfinite(gap), gap, np.nan)


def _binned(
    values: np.ndarray, ends: tuple[float, ...], odds: tuple[float, ...]
) -> np.ndarray:
    """The log-odds of the bin each value falls in; a value at an end belongs below it;
    NaN stays NaN."""
    return np.where(
        np.isfinite(values), np.array(odds)[np.searchsorted(ends, values)], np.nan
    )


def _worded(name: str, found: float) -> str:
    words = {"name": NAMES_FOUND, "key": KEYS_FOUND}
    return words[name][int(found)] if name in words else f"{found:.3f}"
