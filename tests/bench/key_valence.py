"""What the key says of valence: python tests/bench/key_valence.py --release DIR --emopia DIR --save
NOW.npz [--against BEFORE.npz]

Logistic regression of the valence class on the key columns alone, by ten-fold cross-validation in
which no group (of the release; the song in EMOPIA) stands on both sides; --release is the `release`
folder of a build of LPD, whose keys are worked out anew from its notes. --save keeps what was found,
--against compares it with what another version of the code had saved: area under the curve, the
interval over drawn groups, and of the difference, drawn in pairs.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
from key_pop import pitched_notes
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.features.key.estimate import KeyConfig, compute
from pipelines.formats.midi import midi_bars, midi_tempi, read_midi
from schemas.contracts import Limits
from schemas.grid import quantise
from schemas.row import from_row
from schemas.song import Song, covered_ticks

N_DRAWS = 1000
# Columns of key_features.
FEATURE_SETS = {
    "mode of the song": [0],
    "keys": [0, 1, 2],
    "keys and confidence": [0, 1, 2, 3, 4],
}
NEEDED = (
    "source", "source_key", "title", "artist", "genre", "note_start", "note_duration", "note_pitch",
    "note_velocity", "note_track", "bar_start", "bar_length", "bar_numerator", "bar_denominator",
    "tempo_start", "tempo_bpm", "meter_source", "source_sha256", "folder_track_ids", "group_id",
    "valence_class",
)  # fmt: skip


def key_features(song: Song) -> list[float]:
    """Mode of the song, share of minor bars, changes a bar, mean confidence, and how sure of a
    minor key."""
    found = compute(song, quantise(song), KeyConfig())
    key, sure = found["key"].astype(int), found["key_confidence"]
    minor = (key >= 12) & (key < 24)
    changes = (np.diff(key) != 0).mean() if len(key) > 1 else 0.0
    is_minor = 12 <= found["song_key"] < 24
    return [
        float(is_minor), float(minor.mean()), float(changes), float(sure.mean()),
        float(np.where(minor, sure, -sure).mean()),
    ]  # fmt: skip


def lpd(release: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, valence class and group of the labelled songs of LPD."""
    x, y, groups = [], [], []
    labelled = (ds.field("source") == "lpd5") & ds.field("valence_class").is_valid()
    for batch in ds.dataset(release / "data").to_batches(
        columns=list(NEEDED), filter=labelled, batch_size=64
    ):
        for row in batch.to_pylist():
            x.append(key_features(from_row(row)))
            y.append(row["valence_class"])
            groups.append(str(row["group_id"]))
    return np.array(x), np.array(y), np.array(groups)


def emopia(root: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, valence class and song of EMOPIA's clips."""
    x, y, groups = [], [], []
    with (root / "labels.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            midi = read_midi((root / row["file"]).read_bytes(), Limits())
            notes = pitched_notes(midi)
            bars = midi_bars(midi, covered_ticks(notes))
            song = Song("emopia", row["file"], notes, bars, midi_tempi(midi), "score")
            x.append(key_features(song))
            y.append(int(row["valence_class"]))
            groups.append(row["song"])
    return np.array(x), np.array(y), np.array(groups)


def out_of_fold(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Score of each song by a model that has not seen its group."""
    scores = np.zeros(len(y))
    for train, test in GroupKFold(10).split(x, y, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression())
        scores[test] = model.fit(x[train], y[train]).decision_function(x[test])
    return scores


def drawn_areas(y: np.ndarray, scores: list[np.ndarray], groups: np.ndarray) -> np.ndarray:
    """Area under the curve of each of several scores in each draw of groups."""
    rng = np.random.default_rng(0)
    names, number = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(number == group) for group in range(len(names))]
    areas = []
    for _ in range(N_DRAWS):
        drawn = rng.integers(len(names), size=len(names))
        at = np.concatenate([members[group] for group in drawn])
        areas.append([roc_auc_score(y[at], score[at]) for score in scores])
    return np.array(areas)


def row(area: float, draws: np.ndarray) -> str:
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{area:+.4f} [{low:+.4f}, {high:+.4f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--emopia", type=Path, required=True)
    parser.add_argument("--save", type=Path, required=True)
    parser.add_argument("--against", type=Path)
    arguments = parser.parse_args()
    before = dict(np.load(arguments.against)) if arguments.against else {}
    kept = {}
    for name, (x, y, groups) in {
        "lpd": lpd(arguments.release),
        "emopia": emopia(arguments.emopia),
    }.items():
        kept[name] = x
        print(f"{name}: {len(y)} songs, {len(set(groups))} groups")
        versions = [x, before[name]] if name in before else [x]
        for what, columns in FEATURE_SETS.items():
            compare(what, [version[:, columns] for version in versions], y, groups)
    np.savez(arguments.save, **kept)


def compare(
    what: str, versions: list[np.ndarray], y: np.ndarray, groups: np.ndarray
) -> None:
    """Print the area of each version, the present one first, and what it gains."""
    scores = [out_of_fold(x, y, groups) for x in versions]
    areas = [roc_auc_score(y, score) for score in scores]
    draws = drawn_areas(y, scores, groups)
    print(f"  {what}")
    for version, area, draw in zip(("now", "before"), areas, draws.T, strict=False):
        print(f"    {version:8} {row(area, draw)}")
    if len(areas) == 2:
        print(f"    gain     {row(areas[0] - areas[1], draws[:, 0] - draws[:, 1])}")


if __name__ == "__main__":
    main()
