"""Judges of whole songs on EMOPIA: cross-validated over the songs of its training clips, then once on its validation clips.

    python tests/bench/affect_judges.py DATA/emopia [--validation]

DATA/emopia holds midi/ and labels.csv (file, quadrant, valence_class, arousal_class, song, split). Settings are chosen by the
first alone.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from pipelines.sources.midi import MidiConfig, parse
from schemas.contracts import Item, Limits
from training.evaluation.ensemble import Ensemble
from training.evaluation.handcrafted import Boosting, Rules
from training.evaluation.whole_songs import Labelled, whole_song_judges, whole_songs_table

FOLDS, SEEDS, RESAMPLES = 5, (0, 1), 1000


def clips(root: Path, split: str) -> Labelled:
    """The clips of a split, read as a build with trim and is_cut reads them."""
    config = MidiConfig(trim=True, is_cut=True)
    songs, labels, groups = [], [], []
    for row in csv.DictReader((root / "labels.csv").open()):
        if row["split"] != split:
            continue
        blob = (root / row["file"]).read_bytes()
        item = Item("midi", row["file"], (row["file"],), len(blob))
        songs.append(parse(item, (blob,), config, Limits()))
        labels.append((int(row["arousal_class"]), int(row["valence_class"])))
        groups.append(row["song"])
    return Labelled(songs, np.array(labels), np.array(groups))


def chosen(data: Labelled, rows: np.ndarray) -> Labelled:
    return Labelled([data.songs[row] for row in rows], data.label[rows], data.group[rows])


def cross_validated(data: Labelled, seed: int) -> dict[str, dict[str, float]]:
    """Accuracy of each judge, each song judged by one that was taught other songs."""
    names = np.unique(data.group)
    np.random.default_rng(seed).shuffle(names)
    fold = dict(zip(names, np.arange(len(names)) % FOLDS, strict=True))
    of = np.array([fold[name] for name in data.group])
    right: dict[str, dict[str, list[float]]] = {}
    for held in range(FOLDS):
        judges = [Rules(), Boosting(seed), Ensemble(seed)]
        taught, asked = (
            chosen(data, np.flatnonzero(of != held)),
            chosen(data, np.flatnonzero(of == held)),
        )
        report = whole_song_judges(judges, taught, asked, seed, 2)
        for judge, found in report.items():
            for what, figures in found.items():
                share = figures["accuracy"] * figures["n"] / len(data.songs)
                right.setdefault(judge, {}).setdefault(what, []).append(share)
    return {
        judge: {what: sum(parts) for what, parts in found.items()}
        for judge, found in right.items()
    }


def main() -> None:
    root = Path(sys.argv[1])
    training = clips(root, "train")
    print(f"{len(training.songs)} training clips of {len(np.unique(training.group))} songs")
    runs = [cross_validated(training, seed) for seed in SEEDS]
    for judge in runs[0]:
        says = [
            f"{what} {np.mean([run[judge][what] for run in runs]):.3f}"
            for what in runs[0][judge]
        ]
        print(f"cross-validated  {judge:10}", *says, flush=True)
    if "--validation" in sys.argv:
        asked = clips(root, "val")
        judges = [Rules(), Boosting(0), Ensemble(0)]
        report = whole_song_judges(judges, training, asked, 0, RESAMPLES)
        print(whole_songs_table(report, "validation", len(training.songs), ["emopia"]))


if __name__ == "__main__":
    main()
