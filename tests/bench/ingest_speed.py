"""Speed of ingest on real LPD-5: songs a second with one and two workers, and the ratio to
the plain way.

The plain way is what people do without us: pypianoroll loads the rolls, a loop finds the
notes, pretty_midi holds them, music21 names the key of each bar. Both sides are measured in
one run, on the same files; only ratios are worth quoting.

    python tests/bench/ingest_speed.py --data ../shared/data
"""

import argparse
import cProfile
import os
import pstats
import resource
import sys
import tarfile
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from pipelines.beam.reading import make_row
from pipelines.cli import main as moodroll_data
from pipelines.config import load
from pipelines.ingest import reading
from pipelines.io.files import BeamFiles
from pipelines.registry import SOURCES
from schemas.contracts import Item


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        default="../shared/data",
        help="folder with lpd_5_full_sample.tar.xz or lpd_5/",
    )
    parser.add_argument("--songs", type=int, default=1500, help="songs for ingest")
    parser.add_argument(
        "--plain", type=int, default=12, help="songs for the plain way, which is slow"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = unpacked(Path(arguments.data), Path(folder))
        paths = sorted(root.rglob("*.npz"))
        chosen = [
            paths[i]
            for i in np.random.default_rng(0).permutation(len(paths))[: arguments.songs]
        ]
        build, few = (
            bench_build(Path(folder) / name, paths)
            for name, paths in (("all", chosen), ("few", chosen[:2]))
        )
        seconds = {workers: ingest_seconds(build, workers) for workers in (1, 2)}
        start = {workers: ingest_seconds(few, workers) for workers in (1, 2)}
        plain = plain_speed(chosen[: arguments.plain])
        ours = one_process_speed(build, chosen[: max(arguments.plain, 200)])
    print(f"\ningest, {len(chosen)} songs of LPD-5, files to Parquet")
    for workers, took in seconds.items():
        name = f"{workers} worker{'s' if workers > 1 else ' '}"
        print(
            f"  {name}   {len(chosen) / took:8.1f} songs/s  start included, which takes {start[workers]:.1f} s of {took:.1f}"
        )
    without = (seconds[1] - start[1]) / (seconds[2] - start[2])
    print(
        f"  2 workers / 1 worker {seconds[1] / seconds[2]:.2f}, without the start {without:.2f}"
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"  peak memory of a worker {peak:.2f} GiB")
    print("\none process, file to row, no Beam")
    print(
        f"  plain way   {plain:8.2f} songs/s  (pypianoroll, loop, pretty_midi, music21 per bar)"
    )
    print(f"  moodroll    {ours:8.2f} songs/s  ratio {ours / plain:.0f}")


def unpacked(data: Path, folder: Path) -> Path:
    """The npz below data, unpacked where they are not."""
    if (data / "lpd_5").exists():
        return data / "lpd_5"
    with tarfile.open(data / "lpd_5_full_sample.tar.xz") as tar:
        tar.extractall(folder, filter="data")
    return folder / "lpd_5"


def bench_build(folder: Path, paths: list[Path]) -> Path:
    """The file of a build of these songs alone."""
    (folder / "songs").mkdir(parents=True)
    for path in paths:
        (folder / "songs" / path.name).symlink_to(path.resolve())
    build = folder / "build.toml"
    build.write_text(
        f'name = "bench"\nshards = 16\n[sources.lpd5]\nroot = "{folder / "songs"}"\n'
    )
    return build


def ingest_seconds(build: Path, workers: int) -> float:
    begin, out = time.perf_counter(), build.with_name(f"out{workers}")
    assert (
        moodroll_data(
            [
                "ingest",
                str(build),
                "--out",
                str(out),
                "--",
                f"--direct_num_workers={workers}",
            ]
        )
        == 0
    )
    return time.perf_counter() - begin


def one_process_speed(build: Path, paths: list[Path]) -> float:
    """Songs a second of reading alone, and where its milliseconds go."""
    config = load(str(build), [], SOURCES)
    how = reading(config)
    items = [Item("lpd5", path.stem, (path.name,), path.stat().st_size) for path in paths]
    parse, root, settings = how.sources["lpd5"]
    make_row(parse, items[0], (BeamFiles().read(root, items[0].paths[0]),), settings, how)
    begin = time.perf_counter()
    with (
        cProfile.Profile()
        if "--profile" in sys.argv
        else warnings.catch_warnings() as profile
    ):
        for item in items:
            make_row(parse, item, (BeamFiles().read(root, item.paths[0]),), settings, how)
    if isinstance(profile, cProfile.Profile):
        pstats.Stats(profile).sort_stats("cumulative").print_stats(30)
    return len(items) / (time.perf_counter() - begin)


def plain_speed(paths: list[Path]) -> float:
    """Songs a second of the plain tool chain."""
    import pretty_midi
    import pypianoroll
    from music21 import analysis, note, stream

    warnings.simplefilter("ignore")
    begin = time.perf_counter()
    for path in paths:
        multitrack = pypianoroll.load(path)
        midi = pretty_midi.PrettyMIDI(initial_tempo=float(multitrack.tempo[0]))
        for track in multitrack.tracks:
            midi.instruments.append(
                pretty_midi.Instrument(track.program, track.is_drum, track.name)
            )
            for pitch in range(track.pianoroll.shape[1] if len(track.pianoroll) else 0):
                add_notes(midi.instruments[-1], pitch, track.pianoroll[:, pitch])
        for bar in bars_of(midi):
            measure = stream.Measure(
                [note.Note(pitch, quarterLength=length / 24) for pitch, length in bar]
            )
            if bar:
                analysis.discrete.KrumhanslSchmuckler().getSolution(measure)
    return len(paths) / (time.perf_counter() - begin)


def add_notes(instrument: object, pitch: int, column: np.ndarray) -> None:
    import pretty_midi

    start = 0
    cells = column.tolist()
    for step in range(1, len(cells) + 1):
        if step == len(cells) or cells[step] != cells[start]:
            if cells[start]:
                # Steps stand for seconds: what is timed is the work, not the tempo.
                instrument.notes.append(
                    pretty_midi.Note(int(cells[start]), pitch, start, step)
                )
            start = step


def bars_of(midi: object) -> list[list[tuple[int, int]]]:
    """Pitched notes of each bar of 96 steps, by onset."""
    pitched = [n for one in midi.instruments if not one.is_drum for n in one.notes]
    bars: list[list[tuple[int, int]]] = [
        [] for _ in range(int(max((n.start for n in pitched), default=0)) // 96 + 1)
    ]
    for one in pitched:
        bars[int(one.start) // 96].append((one.pitch, int(one.end - one.start)))
    return bars


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
