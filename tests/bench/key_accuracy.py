"""How often the key is right: python tests/bench/key_accuracy.py --nottingham DIR --keys DIR

Every figure is out of fold: songs are cut into ten by sha256 of the work, and each tenth is read
with weights fitted on the other nine (key_fit.py); the settings of KeyConfig stay as they are.
Corpora: key_corpora.py, key_pop.py, key_medleys.py. `weighted` is MIREX's score by mir_eval (1, a
fifth .5, relative .3, parallel .2), a mean over songs, each song's files averaged; beside it the
mean over files, the share of files exactly right, and the interval of 95 % of 2,000 draws of
songs. `bar` is the share of bars with the right key, over all bars and as a mean over songs. A
change of key counts as found within one bar, each once (F1). `gain` is new minus Krumhansl over
the whole song, drawn in pairs. Calibration is of key_confidence, every song as heavy.
"""

import argparse
import hashlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import mir_eval
import numpy as np
from key_corpora import Case, analysed, nottingham
from key_fit import as_weights, design, fit, fitting_corpora
from key_medleys import joined_halves, medleys, raised_halves
from key_pop import beatles

from pipelines.features.key.path import follow
from pipelines.features.key.reading import lowered, raised_keys
from pipelines.features.key.settings import KeyConfig
from pipelines.features.key.song_key import SongWeights
from schemas.keys import KEY_NAMES_ASCII, N_KEYS
from schemas.krumhansl import krumhansl_schmuckler

N_FOLDS = 10
N_DRAWS = 2000
N_MEDLEYS = 200
BINS = np.array([0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0])


@dataclass(frozen=True, eq=False)
class Answer:
    """What was found of a case: keys and confidence by bar, the song's key, Krumhansl's."""

    case: Case
    bars: np.ndarray
    confidence: np.ndarray
    song: int
    krumhansl: int

    @property
    def share_right(self) -> float:
        """Of the bars, those with the true key."""
        return float((self.bars == self.case.bars).mean())


def fold(work: str) -> int:
    return hashlib.sha256(work.encode()).digest()[-1] % N_FOLDS


def answer(case: Case, config: KeyConfig, weights: SongWeights) -> Answer:
    home = case.reading.bass.last
    found = follow(lowered(case.reading, home), config, weights)
    confidence = found.chance[np.arange(len(found.key)), found.key]
    raised = raised_keys(home)
    whole = case.reading.weights.sum(axis=0)[None]
    krumhansl = int(krumhansl_schmuckler(whole)[0][0])
    return Answer(case, raised[found.key], confidence, int(raised[found.song]), krumhansl)


def out_of_fold(
    corpora: dict[str, list[Case]], config: KeyConfig
) -> dict[str, list[Answer]]:
    """Answers to every case by weights that have not seen its work."""
    rows = design(corpora)
    folds = np.array([fold(work) for work in rows.work])
    weights = [as_weights(fit(rows.rows(folds != out))) for out in range(N_FOLDS)]
    return {
        name: [answer(case, config, weights[fold(case.work)]) for case in cases]
        for name, cases in corpora.items()
    }


def weighted_scores() -> np.ndarray:
    """MIREX's score of every true key (row) and answer (column): float64[24, 24]."""
    names = KEY_NAMES_ASCII[:N_KEYS]
    return np.array(
        [[mir_eval.key.weighted_score(truth, found) for found in names] for truth in names]
    )


def by_work(answers: list[Answer], values: Iterable[float]) -> np.ndarray:
    """One mean a work, in order of first appearance."""
    found: dict[str, list[float]] = {}
    for one, value in zip(answers, values, strict=True):
        found.setdefault(one.case.work, []).append(value)
    return np.array([np.mean(each) for each in found.values()])


def interval(values: np.ndarray) -> str:
    """Mean and the middle 95 % of means of drawn works."""
    rng = np.random.default_rng(0)
    draws = values[rng.integers(len(values), size=(N_DRAWS, len(values)))].mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def song_row(name: str, answers: list[Answer], scores: np.ndarray) -> str:
    truth = np.array([one.case.song for one in answers])
    found = np.array([one.song for one in answers])
    plain = np.array([one.krumhansl for one in answers])
    new, old = scores[truth, found], scores[truth, plain]
    songs, plain_songs = by_work(answers, new), by_work(answers, old)
    return (
        f"{name:16}{len(answers):5} files {len(songs):4} songs  weighted {interval(songs)}  "
        f"files {new.mean():.3f} exact {(found == truth).mean():.3f}  "
        f"Krumhansl {plain_songs.mean():.3f}  gain {interval(songs - plain_songs)}"
    )


def bar_row(name: str, answers: list[Answer]) -> str:
    right = [one.bars == one.case.bars for one in answers]
    songs = by_work(answers, [bars.mean() for bars in right])
    home = by_work(answers, [(one.case.bars == one.song).mean() for one in answers])
    main_key = [np.bincount(one.case.bars).max() / len(one.bars) for one in answers]
    row = f"{name:18} bar {np.concatenate(right).mean():.3f}  by song {interval(songs)}"
    row += f"  song key throughout {home.mean():.3f}"
    if any(one.case.song is None for one in answers):
        row += (
            f"  true main key {np.mean(main_key):.3f}  change F1 {change_f1(answers):.3f}"
        )
    return row


def change_f1(answers: list[Answer]) -> float:
    """F1 of key changes found within one bar, over all pieces; each true change is found at
    most once."""
    n_hits = n_found = n_true = 0
    for one in answers:
        left = set((np.flatnonzero(np.diff(one.case.bars)) + 1).tolist())
        changes = (np.flatnonzero(np.diff(one.bars)) + 1).tolist()
        n_true += len(left)
        n_found += len(changes)
        for at in changes:
            near = [bar for bar in (at, at - 1, at + 1) if bar in left]
            if near:
                left.remove(near[0])
                n_hits += 1
    return 2 * n_hits / max(1, n_found + n_true)


def calibration(name: str, answers: list[Answer], curve: bool = False) -> None:
    """Expected calibration error of key_confidence, and how often each level is right."""
    files: dict[str, int] = {}
    for one in answers:
        files[one.case.work] = files.get(one.case.work, 0) + 1
    sure = np.concatenate([one.confidence for one in answers])
    right = np.concatenate([one.bars == one.case.bars for one in answers])
    weight = np.concatenate(
        [
            np.full(len(one.bars), 1 / len(one.bars) / files[one.case.work])
            for one in answers
        ]
    )
    level = np.searchsorted(BINS, sure, side="right").clip(1, len(BINS) - 1)
    error = 0.0
    rows = []
    for bin_number in range(1, len(BINS)):
        inside = level == bin_number
        share = weight[inside].sum() / weight.sum()
        if share:
            said = np.average(sure[inside], weights=weight[inside])
            held = np.average(right[inside], weights=weight[inside])
            error += share * abs(said - held)
            rows.append(f"    said {said:.3f}  right {held:.3f}  share {share:.3f}")
    said, held = np.average(sure, weights=weight), np.average(right, weights=weight)
    print(f"{name:18} ECE {error:.3f}  said {said:.3f}  right {held:.3f}")
    if curve:
        print("\n".join(rows))


def made(corpora: dict[str, list[Case]]) -> dict[str, list[Case]]:
    """Medleys, each of works of one fold, so that they are out of fold too."""
    found: dict[str, list[Case]] = {"medleys": [], "halves": [], "pop halves": []}
    for number in range(N_FOLDS):
        folk, pop = (
            [case for case in corpora[name] if fold(case.work) == number]
            for name in ("nottingham", "pop relabelled")
        )
        modulating, n = corpora["modulating"], N_MEDLEYS // N_FOLDS
        found["medleys"] += medleys(folk, modulating, n, seed=number)
        found["halves"] += joined_halves(folk, modulating, n, seed=number)
        found["pop halves"] += raised_halves(pop, n, seed=number)
    return found


def report(corpora: dict[str, list[Case]], config: KeyConfig) -> None:
    answers = out_of_fold(corpora, config)
    scores = weighted_scores()
    print("song keys")
    for name, found in answers.items():
        if all(one.case.song is not None for one in found):
            print(song_row(name, found, scores))
    with_bars = {
        name: found for name, found in answers.items() if found[0].case.bars is not None
    }
    print("\nkeys of bars")
    for name, found in with_bars.items():
        print(bar_row(name, found))
    print("\ncalibration of key_confidence")
    known = [name for name in with_bars if name not in ("pop", "pop several", "analysed")]
    for name in known:
        calibration(name, with_bars[name])
    calibration("all of these", [one for name in known for one in with_bars[name]], True)


def all_corpora(nottingham_root: Path, keys_root: Path) -> dict[str, list[Case]]:
    folk = nottingham(nottingham_root)
    several = {"modulating", "melody modulating"}
    corpora = beatles(keys_root / "beatles_keys")
    corpora |= fitting_corpora(nottingham_root, keys_root)
    corpora |= {name: folk[name] for name in sorted(several)}
    corpora["analysed"] = list(analysed())
    return corpora | made(corpora)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nottingham", type=Path, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    report(all_corpora(arguments.nottingham, arguments.keys), KeyConfig())


if __name__ == "__main__":
    main()
