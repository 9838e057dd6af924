"""Bars a second of the key and rhythm features on one core, and of music21: python
tests/bench/key_speed.py --data DIR

DIR holds lpd_5/ (LPD-5-full, unpacked) or its archive lpd_5_full_sample.tar.xz; 200 songs,
spread over it. Reading them and putting them on the grid is not in the figures. music21
runs `analyze('key.krumhansl')` on measures made beforehand, so it is spared the parsing it
would need.
"""

import argparse
import os
import tarfile
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from music21 import note, stream

from pipelines.features import rhythm
from pipelines.features.key import estimate as key
from pipelines.formats.npz import read_npz
from schemas.contracts import Limits
from schemas.grid import Grid, quantise
from schemas.song import DRUMS, Song, covered_ticks, make_tempi, regular_bars


def load(folder: Path, n_songs: int) -> list[tuple[Song, Grid]]:
    paths = sorted(folder.rglob("*.npz"))
    songs = []
    for path in paths[:: max(1, len(paths) // n_songs)][:n_songs]:
        notes = read_npz(path.read_bytes(), Limits()).notes
        bars = regular_bars(covered_ticks(notes))
        songs.append(
            Song("lpd5", path.stem, notes, bars, make_tempi([0], [120.0]), "assumed_4_4")
        )
    return [(song, quantise(song)) for song in songs]


def rate(songs: list[tuple[Song, Grid]], run: Callable[[Song, Grid], object]) -> float:
    """Bars a second of processor time, the best of three rounds."""
    seconds = []
    for _ in range(3):
        began = time.process_time()
        for song, grid in songs:
            run(song, grid)
        seconds.append(time.process_time() - began)
    return sum(len(song.bars) for song, _ in songs) / min(seconds)


def measures(song: Song, n_bars: int) -> list[stream.Measure]:
    """The first bars that have pitched notes, as music21 would hold them."""
    made = []
    for start, length in song.bars[["start", "length"]].tolist():
        inside = (
            (song.notes["start"] >= start)
            & (song.notes["start"] < start + length)
            & (song.notes["track"] != DRUMS)
        )
        measure = stream.Measure()
        for at, duration, pitch, _, _ in song.notes[inside].tolist():
            measure.insert(
                Fraction(at - start, 24),
                note.Note(pitch, quarterLength=Fraction(duration, 24)),
            )
        if inside.any():
            made.append(measure)
        if len(made) == n_bars:
            break
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.data / "lpd_5"
        if not root.is_dir():
            root = Path(folder)
            with tarfile.open(arguments.data / "lpd_5_full_sample.tar.xz") as tar:
                tar.extractall(root, filter="data")
        songs = load(root, 200)
    made = [measure for song, _ in songs[::10] for measure in measures(song, 15)]
    began = time.process_time()
    for measure in made:
        measure.analyze("key.krumhansl")
    music21_rate = len(made) / (time.process_time() - began)
    n_notes = sum(len(song.notes) for song, _ in songs)
    n_bars = sum(len(song.bars) for song, _ in songs)
    print(
        f"{len(songs)} songs, {n_bars} bars, {n_notes} notes; OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}"
    )
    print(f"music21, one key a bar   {music21_rate:10,.0f} bars/s   ({len(made)} bars)")
    for name, run in {
        "key, hmm": lambda song, grid: key.compute(song, grid, key.KeyConfig()),
        "key, ks_bar": lambda song, grid: key.compute(
            song, grid, key.KeyConfig(method="ks_bar")
        ),
        "pitch classes alone": key.pitch_class_weights,
        "rhythm": rhythm.compute,
    }.items():
        found = rate(songs, run)
        print(f"{name:25}{found:10,.0f} bars/s   {found / music21_rate:8,.0f} x music21")
    changed = [
        np.diff(key.compute(song, grid, key.KeyConfig())["key"]) != 0
        for song, grid in songs
    ]
    print(f"key changes a hundred bars: {100 * np.concatenate(changed).mean():.2f}")


if __name__ == "__main__":
    main()
