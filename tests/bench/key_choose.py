"""Choose the settings of the path through the bars: python tests/bench/key_choose.py --nottingham DIR
--keys DIR --generations N [--seed N]

A cross-entropy search over all numbers of KeyConfig but the temperatures, the moves between keys
among them: in every generation 24 sets, each setting times a lognormal factor, the spread refitted to
the best eight. It sets out from the defaults, sees the even half of the works alone (sha256), a quarter
of the folk tunes and one file a song, and prints at its end what the odd half says of the defaults and of
what it found. A minute or two a generation.
"""

import argparse
import hashlib
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from key_accuracy import Answer, all_corpora, answer, change_f1
from key_corpora import Case

from pipelines.features.key.settings import KeyConfig
from pipelines.features.key.song_weights import FITTED

CHOSEN = tuple(
    name
    for name in KeyConfig.__dataclass_fields__
    if name != "method" and "temperature" not in name
)
CHANCES = ("uniform", "change", "phrase_change")
# What each corpus counts in the choice, and of how many of its cases one is taken.
CORPORA = {
    "nottingham": (2.0, 4), "modulating": (1.5, 1), "melody": (1.0, 4), "melody modulating": (0.7, 1),
    "pop relabelled": (2.0, 1), "medleys": (1.0, 2), "halves": (1.0, 2), "pop halves": (0.7, 3),
}  # fmt: skip
N_SETS, N_ELITE = 24, 8
SPREAD = 0.25
DOUBT = 0.05


def even(case: Case) -> bool:
    return hashlib.sha256(f"half {case.work}".encode()).digest()[-1] % 2 == 0


def thinned(name: str, cases: list[Case]) -> list[Case]:
    """Every so-manieth case, of several files of a song the first."""
    taken = cases[:: CORPORA[name][1]]
    if name == "pop relabelled":
        return list({case.work: case for case in reversed(taken)}.values())
    return taken


def score(corpora: dict[str, list[Case]], config: KeyConfig) -> float:
    """What the choice maximises: shares of right bars, mean log-chances of the right key with a
    share of doubt, and half the F1 of changes, weighted over the corpora."""
    total = 0.0
    for name, cases in corpora.items():
        answers = [answer(case, config, FITTED) for case in cases]
        weight = CORPORA[name][0]
        total += weight * np.mean([one.share_right for one in answers])
        total += weight * 0.3 * np.mean([log_chance(one) for one in answers])
        if any(case.song is None for case in cases):
            total += weight * 0.5 * change_f1(answers)
    return float(total)


def log_chance(one: Answer) -> float:
    """Mean log-probability of having been right or wrong by key_confidence."""
    right = one.bars == one.case.bars
    believed = np.where(right, one.confidence, 1 - one.confidence)
    return float(np.log((1 - DOUBT) * believed + DOUBT / 2).mean())


def choose(corpora: dict[str, list[Case]], generations: int, seed: int) -> KeyConfig:
    rng = np.random.default_rng(seed)
    start = np.array([getattr(KeyConfig(), name) for name in CHOSEN])
    mean, spread = np.zeros(len(start)), np.full(len(start), SPREAD)
    best, best_score = KeyConfig(), score(corpora, KeyConfig())
    print(f"defaults {best_score:.4f}", file=sys.stderr, flush=True)
    for generation in range(generations):
        factors = mean + spread * rng.standard_normal((N_SETS, len(start)))
        sets = [config_of(start * np.exp(row)) for row in factors]
        scores = np.array([score(corpora, config) for config in sets])
        elite = factors[np.argsort(-scores)[:N_ELITE]]
        mean, spread = elite.mean(axis=0), 0.3 * spread + 0.7 * elite.std(axis=0)
        if scores.max() > best_score:
            best, best_score = sets[int(scores.argmax())], float(scores.max())
        print(f"generation {generation + 1}: {best_score:.4f}", file=sys.stderr, flush=True)
    return best


def config_of(values: np.ndarray) -> KeyConfig:
    """Settings in the order of CHOSEN; chances are at most a half."""
    settings = dict(zip(CHOSEN, values.tolist(), strict=True))
    for name in CHANCES:
        settings[name] = min(settings[name], 0.5)
    return replace(KeyConfig(), **settings)


def table(corpora: dict[str, list[Case]], config: KeyConfig) -> None:
    print(f"score {score(corpora, config):.4f}")
    for name, cases in corpora.items():
        answers = [answer(case, config, FITTED) for case in cases]
        right = np.mean([one.share_right for one in answers])
        print(
            f"  {name:18}{len(cases):5}  bar {right:.3f}  change F1 {change_f1(answers):.3f}"
        )


def search(corpora: dict[str, list[Case]], generations: int, seed: int) -> None:
    halves = [
        {
            name: [case for case in thinned(name, corpora[name]) if even(case) == side]
            for name in CORPORA
        }
        for side in (True, False)
    ]
    found = choose(halves[0], generations, seed)
    for name in CHOSEN:
        print(f"{name:18}{getattr(KeyConfig(), name):10.4f}{getattr(found, name):10.4f}")
    for config in (KeyConfig(), found):
        table(halves[1], config)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nottingham", type=Path, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--generations", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    corpora = all_corpora(arguments.nottingham, arguments.keys)
    search(corpora, arguments.generations, arguments.seed)


if __name__ == "__main__":
    main()
