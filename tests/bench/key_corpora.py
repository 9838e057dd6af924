"""Pieces whose key is known, for key_accuracy.py.

nottingham   tunes with chords whose every K: and key event is one major or minor key; true key of each bar and of the tune
modulating   tunes whose MIDI has several keys
melody       both of these without their chords
classical    tests/features/classical_keys.csv, of music21's own corpus. known_from "signature": Bach's chorales and settings
             (bach/bwv*.mxl) with one key signature throughout, whose last bass note is its major tonic (under a chord that
             has no minor third) or its minor tonic (minor, or with a Picardy third); others are modal or end elsewhere,
             and are left out. "catalogue": movements of Haydn, Mozart and Beethoven quartets and a few others
             whose key stands in the catalogue of works, whatever they end on
analysed     twenty chorales with Jones's roman numeral analysis (music21): the key that holds longest in each measure
"""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from music21 import corpus
from symusic import Score

from pipelines.features.key.reading import Reading, read
from pipelines.formats.midi import midi_bars, read_midi
from pipelines.sources.sample.scores import read_score
from schemas.contracts import Limits
from schemas.grid import quantise
from schemas.keys import KEY_NAMES_ASCII
from schemas.song import (
    PIANO,
    TICKS_PER_QUARTER,
    Song,
    covered_ticks,
    make_notes,
    make_tempi,
)

CLASSICAL = Path(__file__).parents[1] / "features" / "key" / "classical_keys.csv"


@dataclass(frozen=True, eq=False)
class Case:
    """One piece with the truth about it: keys of its bars (None where unknown) and its
    own (None where it modulates). work: what several files are of."""

    name: str
    work: str
    reading: Reading
    bars: np.ndarray | None
    song: int | None

    @property
    def table(self) -> np.ndarray:
        """Which table of moves leads into each bar."""
        return self.reading.phrase_start.astype(np.int64)

    @property
    def even(self) -> bool:
        return hashlib.sha256(self.name.encode()).digest()[-1] % 2 == 0


def make_case(
    name: str,
    notes: np.ndarray,
    bars: np.ndarray,
    truth: np.ndarray | None,
    song_key: int | None,
) -> Case:
    song = Song("bench", name, notes.copy(), bars.copy(), make_tempi([0], [120.0]), "score")
    reading = read(song, quantise(song))
    assert reading is not None, f"{name} has no pitched note"
    return Case(name, name, reading, truth, song_key)


def nottingham(root: Path) -> dict[str, list[Case]]:
    """The four corpora of one collection."""
    found: dict[str, list[Case]] = {
        "nottingham": [],
        "modulating": [],
        "melody": [],
        "melody modulating": [],
    }
    headers = dict(abc_keys(root / "ABC_cleaned"))
    for path in sorted((root / "MIDI").glob("*.mid")):
        midi = read_midi(path.read_bytes(), Limits())
        changes, keys = zip(*midi_keys(path.read_bytes()).items(), strict=True)
        modulates = len(set(keys)) > 1
        if not modulates and headers[path.stem] != {KEY_NAMES_ASCII[keys[0]]}:
            continue
        columns = [
            (start, duration, pitch, velocity, PIANO + (index > 0))
            for index, track in enumerate(midi.tracks)
            for start, duration, pitch, velocity in zip(
                track.start, track.duration, track.pitch, track.velocity, strict=True
            )
        ]
        notes = make_notes(*np.array(columns).T)
        bars = midi_bars(midi, covered_ticks(notes))
        # A bar's key is the one that holds in its middle: changes stand a beat or so early,
        # with the pick-up.
        at = np.searchsorted(changes, bars["start"] + bars["length"] / 2, side="right") - 1
        truth, song_key = np.array(keys)[np.maximum(at, 0)], None if modulates else keys[0]
        corpus_name = "modulating" if modulates else "nottingham"
        if len(midi.tracks) > 1:
            found[corpus_name].append(make_case(path.stem, notes, bars, truth, song_key))
        melody = notes[notes["track"] == PIANO]
        found["melody modulating" if modulates else "melody"].append(
            make_case(path.stem, melody, bars, truth, song_key)
        )
    return found


def midi_keys(data: bytes) -> dict[int, int]:
    """The key from each tick on, as a MIDI file's key events say; of several at one tick
    the last."""
    score = Score.from_midi(data)
    found = {}
    for event in sorted(score.key_signatures, key=lambda event: event.time):
        tonic = event.key * 7 % 12
        tick = (2 * TICKS_PER_QUARTER * event.time + score.ticks_per_quarter) // (
            2 * score.ticks_per_quarter
        )
        found[tick] = (tonic + 9) % 12 + 12 if event.tonality else tonic
    return found


def abc_keys(folder: Path) -> Iterator[tuple[str, set[str]]]:
    """(file and number, names of the keys in all K: lines) of every tune."""
    for path in sorted(folder.glob("*.abc")):
        for tune in re.split(r"^X:", path.read_text("utf-8", "replace"), flags=re.M)[1:]:
            keys = re.findall(r"^K:\s*([A-G][b#]?)(m?)\s*$", tune, re.M)
            yield (
                f"{path.stem}{int(tune.split()[0])}",
                {f"{tonic} {'minor' if m else 'major'}" for tonic, m in keys},
            )


def classical() -> Iterator[Case]:
    with CLASSICAL.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            score = read_score(Path(corpus.getWork(row["corpus_path"])), 100.0)
            key = KEY_NAMES_ASCII.index(row["key"])
            case = make_case(row["corpus_path"], score.notes, score.bars, None, key)
            # `bwv112.5-sc` is another edition of `bwv112.5`.
            yield replace(case, work=re.sub(r"(-[a-z0-9]+)?\.mxl$", "", case.name))


def analysed() -> Iterator[Case]:
    """Riemenschneider's first twenty; measures are matched by number, one without an
    analysis keeps the key before it."""
    files = list(corpus.chorales.Iterator(1, 20, returnType="filename"))
    for number, name in enumerate(files, start=1):
        keys: dict[int, Counter[int]] = {}
        for numeral in corpus.parse(f"bach/choraleAnalyses/riemenschneider{number:03}")[
            "RomanNumeral"
        ]:
            key = numeral.key.tonic.pitchClass + 12 * (numeral.key.mode == "minor")
            keys.setdefault(numeral.measureNumber, Counter())[key] += float(
                numeral.quarterLength
            )
        score = read_score(Path(corpus.getWork(f"{name}.mxl")), 100.0)
        measures = corpus.parse(f"{name}.mxl").parts[0].getElementsByClass("Measure")
        numbers = {
            round(float(measure.offset) * 24): measure.number for measure in measures
        }
        truth, key = [], next(iter(keys.values())).most_common(1)[0][0]
        for start in score.bars["start"]:
            key = keys.get(numbers.get(int(start), -1), Counter({key: 1})).most_common(1)[
                0
            ][0]
            truth.append(key)
        yield make_case(name, score.notes, score.bars, np.array(truth), None)
