"""Fit the weights of the song's key: python tests/bench/key_fit.py --nottingham DIR --keys DIR
--out pipelines/features/key/song_weights.py

Multinomial regression over the 24 keys: the mean log-probability of the true key, every corpus
with a weight of its own and every song once whatever its files, a share of doubt in every label,
and a little of the squares of the weights. Half of each piece is fitted as well, as though it were
a piece (CLIPS of its weight), lest too much hang on the first and last bass: a corpus may hold
clips. --keys holds beatles_keys/ and classical_keys/. Pop is
fitted under the keys of the files' own notes (`relabelled` in key_pop.py). The numbers it ends at
are the same on every run.
"""

import argparse
import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from key_corpora import Case, classical, nottingham
from key_pop import beatles, pieces, relabelled
from scipy.optimize import minimize

from pipelines.features.key.bass import NO_BASS
from pipelines.features.key.reading import Reading
from pipelines.features.key.song_key import (
    EDGE_DEGREES,
    OPENING_DEGREES,
    SongWeights,
    song_scores,
)
from schemas.keys import N_KEYS

CORPUS_WEIGHTS = {
    "pop relabelled": 1.0, "nottingham": 1.0, "melody": 0.7, "scores": 0.5, "pieces": 0.4,
}  # fmt: skip
CLIPS = 0.3
SHORTEST_CLIP_BARS = 8
DOUBT = 0.03
SQUARES = 2.5e-5
SIZES = {
    "major": 12, "minor": 12, "opening_bass": len(OPENING_DEGREES), "first_bass": len(EDGE_DEGREES),
    "last_bass": len(EDGE_DEGREES), "melody_phrase": 1, "melody_last": 1, "minor_key": 1,
}  # fmt: skip
N_WEIGHTS = sum(SIZES.values())


def as_weights(values: np.ndarray) -> SongWeights:
    """Weights from a row of numbers in the order of SIZES."""
    rest = values.tolist()
    fields = {}
    for name, size in SIZES.items():
        taken, rest = rest[:size], rest[size:]
        fields[name] = (
            taken[0] if name.startswith(("melody", "minor_key")) else tuple(taken)
        )
    return SongWeights(**fields)


UNITS = [as_weights(row) for row in np.eye(N_WEIGHTS)]


def features(case: Case) -> np.ndarray:
    """What each weight is multiplied by for each key: float64[24, 38]."""
    return np.stack([song_scores(case.reading, unit) for unit in UNITS], axis=1)


@dataclass(frozen=True, eq=False)
class Design:
    """What is fitted: features float64[n, 24, 38], true keys, what each row counts, its work."""

    x: np.ndarray
    truth: np.ndarray
    count: np.ndarray
    work: np.ndarray

    def rows(self, chosen: np.ndarray) -> "Design":
        return Design(
            self.x[chosen], self.truth[chosen], self.count[chosen], self.work[chosen]
        )


def design(corpora: dict[str, list[Case]]) -> Design:
    """Every case of CORPUS_WEIGHTS, then a clip of each."""
    cases = [case for name in CORPUS_WEIGHTS for case in corpora[name]]
    count = song_shares(corpora)
    rows = [*cases, *map(clip, cases)]
    return Design(
        np.array([features(case) for case in rows]),
        np.array([case.song for case in rows]),
        np.concatenate([count, CLIPS * count]),
        np.array([case.work for case in rows]),
    )


def song_shares(corpora: dict[str, list[Case]]) -> np.ndarray:
    """What each case counts, corpus by corpus in the order of CORPUS_WEIGHTS."""
    counts = []
    for name, weight in CORPUS_WEIGHTS.items():
        files = Counter(case.work for case in corpora[name])
        counts += [weight / len(files) / files[case.work] for case in corpora[name]]
    return np.array(counts)


def clip(case: Case) -> Case:
    """Half of a piece, from a place that hangs on its name, with first and last bass of its own."""
    reading = case.reading
    n_bars = len(reading.weights)
    length = max(SHORTEST_CLIP_BARS, n_bars // 2)
    byte = hashlib.sha256(case.name.encode()).digest()[0]
    start = byte * max(0, n_bars - length) // 256
    inside = slice(start, start + length)
    opening, closing = reading.bass.opening[inside], reading.bass.closing[inside]
    if (closing == NO_BASS).all():
        return case
    first = int(opening[np.argmax(opening != NO_BASS)])
    last = int(closing[closing != NO_BASS][-1])
    bass = replace(reading.bass, opening=opening, closing=closing, first=first, last=last)
    part = Reading(reading.weights[inside], bass, reading.phrase_start[inside])
    return replace(case, reading=part)


def fit(rows: Design) -> np.ndarray:
    """The 38 weights."""
    x, truth = rows.x, rows.truth
    count = rows.count / rows.count.sum()
    cases = np.arange(len(x))
    is_true = np.eye(N_KEYS)[truth]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = x @ weights
        chance = np.exp(scores - scores.max(axis=1, keepdims=True))
        chance /= chance.sum(axis=1, keepdims=True)
        of_truth = chance[cases, truth]
        believed = (1 - DOUBT) * of_truth + DOUBT / N_KEYS
        pull = -count * (1 - DOUBT) * of_truth / believed
        slope = np.einsum("ij,ijk->k", pull[:, None] * (is_true - chance), x)
        value = -(count * np.log(believed)).sum() + SQUARES * (weights**2).sum()
        return value, slope + 2 * SQUARES * weights

    start = np.zeros(x.shape[2])
    return minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x


def written(weights: SongWeights, n_songs: int) -> str:
    """The table as a Python file."""
    lines = [
        '"""What tells the key of a song, and how much: fitted by tests/bench/key_fit.py, which',
        "writes this file.",
        "",
        f"{n_songs:,} pieces: Beatles songs, folk tunes with and without chords, scores, piano music.",
        '"""',
        "",
        "from pipelines.features.key.song_key import SongWeights",
        "",
        "# Degrees are semitones above the tonic.",
        "# fmt: off",
        "FITTED = SongWeights(",
        *_row("major", weights.major, range(12)),
        *_row("minor", weights.minor, range(12)),
        *_row("opening_bass", weights.opening_bass, OPENING_DEGREES),
        *_row("first_bass", weights.first_bass, EDGE_DEGREES),
        *_row("last_bass", weights.last_bass, EDGE_DEGREES),
        f"    melody_phrase={weights.melody_phrase:.2f},",
        f"    melody_last={weights.melody_last:.2f},",
        f"    minor_key={weights.minor_key:.2f},",
        ")",
        "# fmt: on",
        "",
    ]
    return "\n".join(lines)


def _row(name: str, values: tuple[float, ...], degrees: Iterable[int]) -> list[str]:
    heads = " ".join(f"{degree:6d}" for degree in degrees)
    row = " ".join(f"{value:5.2f}," for value in values)
    return [f"    #   {heads}", f"    {name}=(", f"        {row}", "    ),"]


def fitting_corpora(nottingham_root: Path, keys_root: Path) -> dict[str, list[Case]]:
    """The corpora that the weights are fitted on."""
    pop = beatles(keys_root / "beatles_keys")["pop"]
    folk = nottingham(nottingham_root)
    return {
        "pop relabelled": relabelled(pop)[0],
        "nottingham": folk["nottingham"],
        "melody": folk["melody"],
        "scores": list(classical()),
        "pieces": pieces(keys_root / "classical_keys"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nottingham", type=Path, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    corpora = fitting_corpora(arguments.nottingham, arguments.keys)
    rows = design(corpora)
    n_songs = len(set(rows.work))
    weights = fit(rows)
    arguments.out.write_text(written(as_weights(weights), n_songs), "utf-8")


if __name__ == "__main__":
    main()
