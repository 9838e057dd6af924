"""How far a match is to be trusted: label_trust, the probability that the matched title is
the song's, from evidence that is listed with it.

Each piece of evidence adds log-odds:

    label_trust = 1 / (1 + exp(-(prior + five counts + name + duration + tempo + key + chroma)))

What is not known adds nothing. It is of the title, not of the artist: of matches trusted from
.8 on, 92 % bear the right title and 72 % the right artist too (621 named songs of LPD-5, each
judged by weights fitted without it; the report counts them anew). How the numbers below were
found:

* the five counts (further matches of the same title, matches of other titles, titles of the
  matched artist in the whole match list, near-duplicates matched to another title, notes
  shared with another file of the title): logistic regression of "the true title is the
  matched one" on the songs whose true name is known. tests/bench/fit_trust.py fits them
  again and tries them by cross-validation over groups of songs: AUC .815 (.784 to .847),
  expected calibration error .042; by the first two counts alone AUC .664.
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

Name, duration, tempo, key and chroma are taken as independent of the counts, which they are
only roughly: label_trust is a probability where the counts alone are known.
"""

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from pipelines.labels.corroboration import COUNTS

TEXT, NUMBER = pa.string(), pa.float64()
# One row a chosen label: counts of the matches and of corroboration.COUNTS; how alike (0-1,
# null unknown) title and artist are to the true name; song and track: seconds, bpm, key
# (0-11 major, 12-23 minor, 24 none); chroma: of chroma.chroma_fit.
EVIDENCE = pa.schema(
    [
        ("n_agreeing", pa.int32()), ("n_rivals", pa.int32()), *COUNTS,
        ("title_likeness", NUMBER), ("artist_likeness", NUMBER),
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
# Counts of whole things, in words without decimals.
WHOLE = ("agreeing", "rivals", "artist_titles", "near_other_titles")
# The match list that the weight of artist_titles was fitted on. Against a list of 29 % of
# it, the number of further titles times 1 / .29 kept trust calibrated (ECE .046; .093 as
# counted); shorter lists were not tried and are scaled no further than by MOST_SCALE.
LISTED, MOST_SCALE = 21_425, 4.0
# Two files of a title that share this much of the smaller one's shingles are one song.
SURE_CONTAINMENT = 0.15
Bins = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class CountWeights:
    """Log-odds of the prior and of each count's signal (of `signals`), as fit_counts gives
    them; middle_artist: the mean of that signal, which an unknown artist is given."""

    prior: float
    agreeing: float
    rivals: float
    artist_titles: float
    near_other_titles: float
    same_title: float
    middle_artist: float


# Fitted by tests/bench/fit_trust.py on 621 named songs of LPD-5-cleansed (2026-11).
COUNTS_FITTED = CountWeights(
    prior=0.533,
    agreeing=1.866,
    rivals=-1.211,
    artist_titles=0.992,
    near_other_titles=-0.942,
    same_title=1.635,
    middle_artist=1.639,
)


@dataclass(frozen=True)
class Weights:
    """Log-odds of each piece of evidence.

    counts: of the five counts. The others: upper ends of bins, and the log-odds of each bin
    and of what lies beyond the last. name: of _name_found; duration: |ln(song / track)|;
    tempo: octaves; key: of key_distance; chroma: of chroma.chroma_fit.
    """

    counts: CountWeights = COUNTS_FITTED
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
    counted = signals(column, weights.counts.middle_artist)
    found = {
        "name": _name_found(column),
        "duration": _gap(column["song_seconds"], column["track_seconds"]),
        "tempo": tempo_gap(column["song_bpm"], column["track_bpm"]),
        "key": key_distance(column["song_key"], column["track_key"]),
        "chroma": column["chroma"],
    }
    added = {
        name: getattr(weights.counts, name) * values for name, values in counted.items()
    }
    added |= {
        name: _binned(values, *getattr(weights, name)) for name, values in found.items()
    }
    log_odds = weights.counts.prior + sum(np.nan_to_num(odds) for odds in added.values())
    trust = np.round(1 / (1 + np.exp(-log_odds)), DECIMALS)
    says = _in_words(weights.counts.prior, {**_counted(column), **found}, added)
    columns = {
        "label_trust": pa.array(trust),
        "trusted": pa.array(trust >= trusted_from),
        "evidence": pa.array(says, pa.list_(TEXT)),
        "name_found": pa.array(found["name"], from_pandas=True).cast(pa.int8()),
        "log_odds_without_name": pa.array(log_odds - np.nan_to_num(added["name"])),
    }
    return pa.table([columns[name] for name in TRUST.names], TRUST)


def signals(column: dict[str, np.ndarray], middle_artist: float) -> dict[str, np.ndarray]:
    """What each count is taken for, float64 by name; an unknown count is taken for none.

    Matches are no independent witnesses: more than three say no more than three. An
    artist's titles are brought to a list of LISTED matches (a longer list names more of
    everybody's titles) and their logarithm counted from middle_artist. Notes shared beyond
    SURE_CONTAINMENT say no more than that share.
    """
    scale = np.minimum(LISTED / np.maximum(column["n_listed"], 1), MOST_SCALE)
    further = np.maximum(column["artist_titles"] - 1, 0) * scale
    artist = np.log1p(1 + further) - middle_artist
    contained = column["same_title_containment"] / SURE_CONTAINMENT
    return {
        "agreeing": np.minimum(column["n_agreeing"], 3),
        "rivals": np.minimum(column["n_rivals"], 3),
        "artist_titles": np.nan_to_num(artist),
        "near_other_titles": np.nan_to_num(np.minimum(column["near_other_titles"], 3)),
        "same_title": np.nan_to_num(np.minimum(contained, 1.0)),
    }


def _counted(column: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The counts themselves, by the name of their signal."""
    return {
        "agreeing": column["n_agreeing"],
        "rivals": column["n_rivals"],
        "artist_titles": column["artist_titles"],
        "near_other_titles": column["near_other_titles"],
        "same_title": column["same_title_containment"],
    }


def _in_words(
    prior: float, found: dict[str, np.ndarray], added: dict[str, np.ndarray]
) -> list[list[str]]:
    """Every part of the evidence of each row, what is not known left out."""
    share = 1 / (1 + np.exp(-prior))
    n_rows = len(next(iter(found.values())))
    words = [[f"prior={share:.2f} ({prior:+.2f})"] for _ in range(n_rows)]
    for name, odds in added.items():
        for row in np.flatnonzero(np.isfinite(found[name]) & np.isfinite(odds)):
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


def fit_counts(column: dict[str, np.ndarray], right: np.ndarray) -> CountWeights:
    """CountWeights for songs of which it is known whether the title is right: logistic
    regression by Newton steps.

    column: the counts of EVIDENCE by name, float64, NaN unknown; right: bool. A ridge of
    one pseudo-observation keeps the weights finite where counts separate right from wrong.
    """
    uncentred = signals(column, 0.0)["artist_titles"]
    known = np.isfinite(column["artist_titles"])
    middle = float(uncentred[known].mean()) if known.any() else 0.0
    x = np.column_stack([np.ones(len(right)), *signals(column, middle).values()])
    weights = np.zeros(x.shape[1])
    ridge = np.eye(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (right - p) - weights
        weights += np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]) + ridge, gradient)
    names = [field.name for field in fields(CountWeights)][:-1]
    fitted = dict(zip(names, np.round(weights, 3).tolist(), strict=True))
    return CountWeights(**fitted, middle_artist=round(middle, 3))


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
    if name in words:
        return words[name][int(found)]
    return f"{found:.0f}" if name in WHOLE else f"{found:.3f}"
