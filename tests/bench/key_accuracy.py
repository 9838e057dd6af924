"""How often the key is right: python tests/bench/key_accuracy.py --nottingham DIR [--choose GENERATIONS]

Every corpus is halved by sha256 of the piece's name: settings are chosen on the even half (--choose prints them, and they are
KeyConfig's defaults), the table is of the odd half (--half even for the other).

nottingham   tunes with chords whose every K: and key event is one major or minor key; true key of each bar and of the tune
modulating   tunes whose MIDI has several keys; key changes count as found within one bar, each once (F1; `and key`: the
             new key must be right as well)
melody       both of these without their chords
classical    tests/features/classical_keys.csv, of music21's own corpus. known_from "signature": Bach's chorales and settings
             (bach/bwv*.mxl) with one key signature throughout, whose last bass note is its major tonic (under a chord that
             has no minor third) or its minor tonic (minor, or with a Picardy third); others are modal or end elsewhere,
             and are left out. "catalogue": movements of Haydn, Mozart and Beethoven quartets and a few others
             whose key stands in the catalogue of works, whatever they end on
analysed     twenty chorales with Jones's roman numeral analysis (music21): the key that holds longest in each measure
"""

import argparse
import csv
import hashlib
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from music21 import corpus

from pipelines.features.key import (
    KeyConfig,
    bar_evidence,
    krumhansl_schmuckler,
    pitch_class_weights,
    song_evidence,
    transitions,
)
from pipelines.formats.midi import midi_bars, read_midi
from pipelines.formats.score import read_score
from schemas.bass import Bass, bass_notes, phrase_levels
from schemas.entries import Limits
from schemas.grid import quantise
from schemas.hmm import posterior, viterbi
from schemas.keys import KEY_NAMES_ASCII
from schemas.song import PIANO, Song, covered_ticks, make_notes, make_tempi

CLASSICAL = Path(__file__).parents[1] / "features" / "classical_keys.csv"
CHOSEN = tuple(name for name in KeyConfig.__dataclass_fields__ if name != "method")


@dataclass(frozen=True, eq=False)
class Case:
    """One piece with the truth about it: keys of its bars (None where unknown) and its own (None where it modulates)."""

    name: str
    weights: np.ndarray
    bass: Bass
    level: np.ndarray
    bars: np.ndarray | None
    song: int | None

    @property
    def even(self) -> bool:
        return hashlib.sha256(self.name.encode()).digest()[-1] % 2 == 0


def make_case(name: str, notes: np.ndarray, bars: np.ndarray, truth: np.ndarray | None, song_key: int | None) -> Case:
    song = Song("bench", name, notes.copy(), bars.copy(), make_tempi([0], [120.0]), "score")
    grid = quantise(song)
    bass = bass_notes(song, grid)
    return Case(name, pitch_class_weights(song, grid), bass, phrase_levels(bass), truth, song_key)


def nottingham(root: Path) -> dict[str, list[Case]]:
    """The four corpora of one collection."""
    found: dict[str, list[Case]] = {"nottingham": [], "modulating": [], "melody": [], "melody modulating": []}
    headers = dict(abc_keys(root / "ABC_cleaned"))
    for path in sorted((root / "MIDI").glob("*.mid")):
        midi = read_midi(path.read_bytes(), Limits())
        keys = [(sharps * 7 % 12 + 9) % 12 + 12 if minor else sharps * 7 % 12 for _, sharps, minor in midi.key_signatures]
        modulates = len(set(keys)) > 1
        if not modulates and headers[path.stem] != {KEY_NAMES_ASCII[keys[0]]}:
            continue
        columns = [
            (start, duration, pitch, velocity, PIANO + (index > 0))
            for index, track in enumerate(midi.tracks)
            for start, duration, pitch, velocity in zip(track.start, track.duration, track.pitch, track.velocity, strict=True)
        ]
        notes = make_notes(*np.array(columns).T)
        bars = midi_bars(midi, covered_ticks(notes))
        # A bar's key is the one that holds in its middle: changes stand a beat or so early, with the pick-up.
        changes = [tick for tick, _, _ in midi.key_signatures]
        at = np.searchsorted(changes, bars["start"] + bars["length"] / 2, side="right") - 1
        truth, song_key = np.array(keys)[np.maximum(at, 0)], None if modulates else keys[0]
        corpus_name = "modulating" if modulates else "nottingham"
        if len(midi.tracks) > 1:
            found[corpus_name].append(make_case(path.stem, notes, bars, truth, song_key))
        melody = notes[notes["track"] == PIANO]
        found["melody modulating" if modulates else "melody"].append(make_case(path.stem, melody, bars, truth, song_key))
    return found


def abc_keys(folder: Path) -> Iterator[tuple[str, set[str]]]:
    """(file and number, names of the keys in all K: lines) of every tune."""
    for path in sorted(folder.glob("*.abc")):
        for tune in re.split(r"^X:", path.read_text("utf-8", "replace"), flags=re.M)[1:]:
            keys = re.findall(r"^K:\s*([A-G][b#]?)(m?)\s*$", tune, re.M)
            yield f"{path.stem}{int(tune.split()[0])}", {f"{tonic} {'minor' if m else 'major'}" for tonic, m in keys}


def classical() -> Iterator[Case]:
    with CLASSICAL.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            score = read_score(Path(corpus.getWork(row["corpus_path"])), 100.0)
            yield make_case(row["corpus_path"], score.notes, score.bars, None, KEY_NAMES_ASCII.index(row["key"]))


def analysed() -> Iterator[Case]:
    """Riemenschneider's first twenty; measures are matched by number, one without an analysis keeps the key before it."""
    files = list(corpus.chorales.Iterator(1, 20, returnType="filename"))
    for number, name in enumerate(files, start=1):
        keys: dict[int, Counter[int]] = {}
        for numeral in corpus.parse(f"bach/choraleAnalyses/riemenschneider{number:03}")["RomanNumeral"]:
            key = numeral.key.tonic.pitchClass + 12 * (numeral.key.mode == "minor")
            keys.setdefault(numeral.measureNumber, Counter())[key] += float(numeral.quarterLength)
        score = read_score(Path(corpus.getWork(f"{name}.mxl")), 100.0)
        measures = corpus.parse(f"{name}.mxl").parts[0].getElementsByClass("Measure")
        numbers = {round(float(measure.offset) * 24): measure.number for measure in measures}
        truth, key = [], next(iter(keys.values())).most_common(1)[0][0]
        for start in score.bars["start"]:
            key = keys.get(numbers.get(int(start), -1), Counter({key: 1})).most_common(1)[0][0]
            truth.append(key)
        yield make_case(name, score.notes, score.bars, np.array(truth), None)


def follow(case: Case, config: KeyConfig) -> np.ndarray:
    return viterbi(bar_evidence(case.weights, case.bass, case.level, config), np.log(transitions(config)), case.level)


def windowed(weights: np.ndarray, half: int) -> np.ndarray:
    """Sums over each bar and `half` bars on either side."""
    total = np.concatenate([np.zeros((1, 12)), np.cumsum(weights, axis=0)])
    bar = np.arange(len(weights))
    return total[np.minimum(bar + half + 1, len(weights))] - total[np.maximum(bar - half, 0)]


def methods(config: KeyConfig) -> dict[str, Callable[[Case], tuple[np.ndarray, int]]]:
    """What the table compares: keys of the bars and of the song."""
    plain = replace(
        config, bass_tonic=0.0, bass_subdominant=0.0, phrase_bass=0.0, first_bass=0.0, last_bass=0.0, melody_phrase=0.0,
        melody_last=0.0, change_4=config.change, change_8=config.change, song_first=0.0, song_last=0.0,
    )  # fmt: skip

    def whole(case: Case) -> int:
        return int(krumhansl_schmuckler(case.weights.sum(axis=0)[None])[0][0])

    def own(case: Case, config: KeyConfig) -> int:
        return int(song_evidence(case.weights, case.bass, config).argmax())

    return {
        "ks_bar (music21)": lambda case: (krumhansl_schmuckler(case.weights)[0], whole(case)),
        "ks, 4 bars either side": lambda case: (krumhansl_schmuckler(windowed(case.weights, 4))[0], whole(case)),
        "ks of the song": lambda case: (np.full(len(case.level), whole(case)), whole(case)),
        "our song key in every bar": lambda case: (np.full(len(case.level), own(case, config)), own(case, config)),
        "hmm, pitch classes alone": lambda case: (follow(case, plain), own(case, plain)),
        "hmm": lambda case: (follow(case, config), own(case, config)),
    }


def change_f1(pairs: Iterable[tuple[np.ndarray, np.ndarray]], same_key: bool) -> float:
    """F1 of key changes found within one bar, over all pieces; each true change is found at most once."""
    hits = n_found = n_true = 0
    for found, truth in pairs:
        left = set((np.flatnonzero(np.diff(truth)) + 1).tolist())
        changes = (np.flatnonzero(np.diff(found)) + 1).tolist()
        n_true, n_found = n_true + len(left), n_found + len(changes)
        for at in changes:
            near = [i for i in (at, at - 1, at + 1) if i in left and not (same_key and truth[i] != found[at])]
            if near:
                left.remove(near[0])
                hits += 1
    return 2 * hits / max(1, n_found + n_true)


def measures(cases: list[Case], method: Callable[[Case], tuple[np.ndarray, int]]) -> dict[str, float]:
    answers = [method(case) for case in cases]
    known = [(found, case.bars) for case, (found, _) in zip(cases, answers, strict=True) if case.bars is not None]
    songs = [song == case.song for case, (_, song) in zip(cases, answers, strict=True) if case.song is not None]
    result = {"song": float(np.mean(songs))} if songs else {}
    if known:
        result["bar"] = float(np.mean(np.concatenate([found == truth for found, truth in known])))
    if known and not songs:
        result |= {"change F1": change_f1(known, False), "and key": change_f1(known, True)}
    return result


def table(corpora: dict[str, list[Case]], config: KeyConfig) -> None:
    for name, cases in corpora.items():
        print(f"\n{name}: {len(cases)} pieces, {sum(len(case.level) for case in cases)} bars")
        for method, run in methods(config).items():
            figures = "  ".join(f"{what} {value:.3f}" for what, value in measures(cases, run).items())
            print(f"  {method:28}{figures}")


def calibration(corpora: dict[str, list[Case]], config: KeyConfig) -> None:
    """Accuracy of the bars by key_confidence."""
    print("\nmean confidence  bars     right    (nottingham and modulating)")
    sure, right = [], []
    for case in corpora["nottingham"] + corpora["modulating"]:
        path = follow(case, config)
        belief = posterior(bar_evidence(case.weights, case.bass, case.level, config), transitions(config), case.level)
        sure.append(belief[np.arange(len(path)), path])
        right.append(path == case.bars)
    edges = [0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.01]
    sure, right = np.concatenate(sure), np.concatenate(right)
    for low, high in pairwise(edges):
        inside = (sure >= low) & (sure < high)
        if inside.any():
            print(f"  {sure[inside].mean():.3f}     {inside.sum():8}     {right[inside].mean():.3f}")


def score(corpora: dict[str, list[Case]], config: KeyConfig) -> float:
    """What the choice maximises: accuracies and mean log-probabilities of the truth, weighted over the corpora."""
    total = 0.0
    weights = {"nottingham": 2.5, "melody": 2.0, "modulating": 2.0, "melody modulating": 0.7, "analysed": 0.4, "classical": 1.0}
    log_moves, moves = np.log(transitions(config)), transitions(config)
    for name, cases in corpora.items():
        right, belief, paths, songs, song_belief = [], [], [], [], []
        for case in cases:
            if case.bars is not None:
                evidence = bar_evidence(case.weights, case.bass, case.level, config)
                paths.append((viterbi(evidence, log_moves, case.level), case.bars))
                right.append(paths[-1][0] == case.bars)
                belief.append(posterior(evidence, moves, case.level)[np.arange(len(case.bars)), case.bars])
            if case.song is not None:
                says = song_evidence(case.weights, case.bass, config)
                chance = np.exp(says - says.max())
                songs.append(says.argmax() == case.song)
                song_belief.append(chance[case.song] / chance.sum())
        for hits, chances in ((right, belief), ([np.array(songs)], [np.array(song_belief)])):
            if hits and len(hits[0]):
                # A share of doubt in the truth: many labels are a convention, and no single one may decide.
                log_chance = np.log(0.95 * np.concatenate(chances) + 0.05 / 24).mean()
                total += weights[name] * (np.concatenate(hits).mean() + 0.8 * log_chance)
        if "modulating" in name:
            total += weights[name] * 0.5 * change_f1(paths, False)
    return total


def choose(corpora: dict[str, list[Case]], generations: int, seed: int) -> KeyConfig:
    """Cross-entropy search: settings times a lognormal factor, refitted to the best eight of 24 in every generation."""
    rng = np.random.default_rng(seed)
    start = np.array([getattr(KeyConfig(), name) for name in CHOSEN])
    mean, spread = np.zeros(len(start)), np.full(len(start), 0.5)
    best_score, best = score(corpora, KeyConfig()), KeyConfig()
    for generation in range(generations):
        factors = mean + spread * rng.standard_normal((24, len(start)))
        configs = [KeyConfig(**dict(zip(CHOSEN, map(float, start * np.exp(row)), strict=True))) for row in factors]
        scores = np.array([score(corpora, config) if legal(config) else -np.inf for config in configs])
        elite = factors[np.argsort(-scores)[:8]]
        mean, spread = elite.mean(axis=0), 0.3 * spread + 0.7 * elite.std(axis=0)
        if scores.max() > best_score:
            best_score, best = float(scores.max()), configs[int(scores.argmax())]
        print(f"  generation {generation + 1}: {best_score:.4f}", file=sys.stderr, flush=True)
    return best


def legal(config: KeyConfig) -> bool:
    return config.uniform < 0.9 and max(config.change, config.change_4, config.change_8) < 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nottingham", type=Path, required=True, help="unpacked folder with MIDI and ABC_cleaned")
    parser.add_argument("--half", choices=("odd", "even"), default="odd")
    parser.add_argument("--choose", type=int, default=0, metavar="GENERATIONS", help="first choose settings on the even half")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    corpora = nottingham(arguments.nottingham) | {"classical": list(classical()), "analysed": list(analysed())}
    print(f"read in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    halves = {even: {name: [c for c in cases if c.even == even] for name, cases in corpora.items()} for even in (True, False)}
    config = choose(halves[True], arguments.choose, arguments.seed) if arguments.choose else KeyConfig()
    for name in CHOSEN:
        print(f"{name:18}{getattr(config, name):.4f}")
    table(halves[arguments.half == "even"], config)
    calibration(halves[arguments.half == "even"], config)


if __name__ == "__main__":
    main()
