"""Beats tracked from notes: against beats that are known, and on music that has none in its files.

    python tests/bench/beat_accuracy.py DATA

DATA holds nottingham/MIDI, lmd_full and emopia (midi, labels.csv). Files whose onsets keep their own beats are played by uneven
hands (rubato of 3 % a beat, onsets 12 ms off) at their tempo, Nottingham's at 105 a minute and 25 % around it. The weights of
midi_beats were chosen on the files whose name hashes to an even number, and figures are of the others; but the first choices were
made on random parts of all these files, so the figures are a little flattered.
"""

import csv
import sys
import zlib
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipelines.formats.midi import midi_tempi, read_midi
from pipelines.formats.midi_beats import beats_at, grid_fit, track_beats
from schemas.contracts import Limits
from schemas.reject import BadInput
from schemas.song import TICKS_PER_QUARTER, seconds_at

TOLERANCE, RUBATO, JITTER, BEATS = 0.07, 0.03, 0.012, 80
MOST = 100


def notes(path: Path):
    """onset, length (s), pitch, velocity, start (beats) of a file's notes; its tempo."""
    midi = read_midi(path.read_bytes(), Limits())
    columns = [
        np.concatenate([getattr(track, name) for track in midi.tracks])
        for name in ("seconds", "start", "duration", "pitch", "velocity")
    ]
    onset, start, duration, pitch, velocity = columns
    tempi = midi_tempi(midi)
    length = seconds_at(tempi, start + duration) - seconds_at(tempi, start)
    return onset, length, pitch, velocity, start / TICKS_PER_QUARTER, float(tempi["bpm"][0])


def f_measure(found: np.ndarray, wanted: np.ndarray) -> float:
    """Harmonic mean of precision and recall, each beat within TOLERANCE of one, both rising."""
    i = j = hits = 0
    while i < len(found) and j < len(wanted):
        if abs(found[i] - wanted[j]) <= TOLERANCE:
            hits, i, j = hits + 1, i + 1, j + 1
        elif found[i] < wanted[j]:
            i += 1
        else:
            j += 1
    return 2 * hits / max(len(found) + len(wanted), 1)


def played(path: Path, bpm: float | None, seed: int):
    """F of a file's beats, and of the best of twice, half and that; None where its onsets keep no beats."""
    random = np.random.default_rng(seed)
    _, length, pitch, velocity, start, own = notes(path)
    if grid_fit(start) < 0.8:
        return None
    chosen = start < start.min() + BEATS
    beat = start[chosen] - np.floor(start.min())
    period = 60 / (
        np.clip(own, 55, 190) if bpm is None else bpm * np.exp(random.normal(0, 0.25))
    )
    drift = np.zeros(int(beat.max()) + 3)
    for i in range(1, len(drift)):
        drift[i] = 0.9 * drift[i - 1] + random.normal(0, RUBATO)
    moments = np.append(0.0, np.cumsum(period * np.exp(drift)))
    onset = np.interp(beat, np.arange(len(moments)), moments) + random.normal(
        0, JITTER, len(beat)
    )
    found = track_beats(onset, length[chosen], pitch[chosen], velocity[chosen])
    inside = [
        one[(one >= onset.min() - 0.1) & (one <= onset.max() + 0.1)]
        for one in (found.seconds, moments)
    ]
    half = (inside[1][1:] + inside[1][:-1]) / 2
    twice = np.sort(np.append(inside[1], half))
    f = f_measure(*inside)
    levels = [
        f,
        f_measure(inside[0], twice),
        *(f_measure(inside[0], inside[1][k::2]) for k in (0, 1)),
    ]
    return f, max(levels), f_measure(inside[0], half), found.confidence


def known(paths: list[Path], bpm: float | None, name: str) -> None:
    held = [path for path in paths if zlib.crc32(path.stem.encode()) % 2]
    figures = []
    for seed, path in enumerate(held):
        try:
            one = played(path, bpm, seed)
        except BadInput:
            continue
        figures += [one] if one else []
        if len(figures) == MOST:
            break
    f, level, off, sure = np.array(figures).T
    right = np.corrcoef(sure, level)[0, 1]
    says = f"{(off > 0.7).mean():.3f}; confidence and F correlate {right:.2f}"
    print(
        f"{name}: {len(figures)} files, F {f.mean():.3f} ± {f.std() / len(f) ** 0.5:.3f}, at the best of half, same and twice "
        f"{level.mean():.3f} ± {level.std() / len(f) ** 0.5:.3f}, on the off-beat " + says
    )


def performed(root: Path) -> None:
    """EMOPIA: how far onsets are from sixteenths, and whether clips of one song have one tempo."""
    away, chance, tempo = [], [], defaultdict(list)
    rows = [
        row
        for row in csv.DictReader((root / "labels.csv").open())
        if zlib.crc32(row["song"].encode()) % 2
    ]
    for row in rows:
        onset, length, pitch, velocity, *_ = notes(root / row["file"])
        beats = track_beats(onset, length, pitch, velocity)
        period = float(np.median(np.diff(beats.seconds)))
        place = 4 * beats_at(beats.seconds, onset)
        away.append(np.abs(place - np.rint(place)).mean() / 4 * period * 1000)
        chance.append(period / 16 * 1000)
        tempo[row["song"]].append(60 / period)
    error = np.std(away) / len(away) ** 0.5
    pairs = np.array(
        [np.log2(b / a) for clips in tempo.values() for a, b in pairwise(clips)]
    )
    near = (np.abs(pairs) < 0.08).mean()
    print(
        f"emopia: {len(rows)} clips, onsets {np.mean(away):.1f} ± {error:.1f} ms from a sixteenth (chance "
        f"{np.mean(chance):.1f}); of {len(pairs)} neighbouring clips of one song {near:.2f} agree within 6 %, "
        f"{(np.abs(np.abs(pairs) - 1) < 0.08).mean():.2f} are twice or half"
    )


if __name__ == "__main__":
    data = Path(sys.argv[1])
    known(sorted((data / "nottingham" / "MIDI").glob("*.mid")), 105.0, "nottingham, played")
    known(sorted((data / "lmd_full").glob("*/*.mid")), None, "lmd_full, played")
    performed(data / "emopia")
