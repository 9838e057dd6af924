"""Pop and piano music whose keys people have written down, for key_accuracy.py.

pop          Lakh MIDIs of Beatles songs (Raffel's midi-ground-truth), several of most, with the
             keys that Isophonics heard in the recordings; songs of one key
pop several  those of several keys; the key at each bar's middle, the recording's time
             stretched from the first to the last note of the file
pieces       preludes, fugues and études of WTC, op. 11, 28, 87 with their keys (justkeydding)

About one file in six stands in another key than the recording. `relabelled` moves the truth to
the key that the file's own notes are in, by how its pitch classes agree with the other files
of its song and with the other songs; it knows nothing of any key finder's answer.
"""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from key_corpora import Case, make_case

from pipelines.formats.midi import MidiFile, midi_bars, midi_tempi, read_midi
from schemas.contracts import Limits
from schemas.keys import NO_KEY
from schemas.reject import BadInput
from schemas.song import DRUMS, PIANO, covered_ticks, make_notes, seconds_at

LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
MODES = {"": 0, "major": 0, "mixolydian": 0, "minor": 12, "dorian": 12, "aeolian": 12}
# How much nearer a file must be to its best place than to the next best, as a share of the
# cosine between pitch-class shares, for its label to count as known.
CLEAR = 0.01
# A label stays where it is unless another place is nearer by as much.
MOVED = 0.02
ROUNDS = 4


def key_number(name: str) -> int | None:
    """The key of an Isophonics label (`F#:minor`, `A:mixolydian`) or of justkeydding's
    (`Bb`, `f#`); None for Silence and for modes that are neither major nor minor."""
    found = re.fullmatch(r"([A-Ga-g])([#b]?)(?::([a-z]+))?", name.strip())
    if not found or (found[3] or "") not in MODES:
        return None
    tonic = LETTERS[found[1].upper()] + {"#": 1, "b": -1, "": 0}[found[2]]
    minor = MODES[found[3] or ""] or 12 * found[1].islower()
    return tonic % 12 + minor


def read_labels(path: Path) -> list[tuple[float, float, int]]:
    """(from, to, key) of a .lab file, in seconds; keys that have no number are 24."""
    rows = []
    for line in path.read_text("utf-8").splitlines():
        start, end, kind, *name = line.split("\t")
        key = key_number(name[0]) if kind == "Key" else None
        if kind == "Key":
            rows.append((float(start), float(end), NO_KEY if key is None else key))
    return rows


def pitched_notes(midi: MidiFile) -> np.ndarray:
    """All notes of a file, drums on their track, all else on the piano."""
    columns = [
        (
            track.start,
            track.duration,
            track.pitch,
            track.velocity,
            _track(track.is_drum, track),
        )
        for track in midi.tracks
    ]
    return make_notes(*map(np.concatenate, zip(*columns, strict=True)))


def _track(is_drum: bool, track) -> np.ndarray:
    return np.full(len(track.start), DRUMS if is_drum else PIANO)


def beatles(root: Path) -> dict[str, list[Case]]:
    """The corpora `pop` and `pop several`, raw."""
    found: dict[str, list[Case]] = {"pop": [], "pop several": []}
    for path in sorted(root.rglob("*.mid")):
        work = re.sub(r"\.\d+$", "", path.stem)
        labels = read_labels(path.with_name(f"{work}.lab"))
        keys = {key for _, _, key in labels}
        if NO_KEY in keys or not keys:
            continue
        try:
            midi = read_midi(path.read_bytes(), Limits())
        except BadInput as error:
            print(f"left out: {path.name}: {error.detail}", file=sys.stderr)
            continue
        notes = pitched_notes(midi)
        bars = midi_bars(midi, covered_ticks(notes))
        if len(keys) == 1:
            truth = np.full(len(bars), labels[0][2])
            name, song_key = "pop", labels[0][2]
        else:
            truth = bar_keys(midi, notes, bars, labels)
            name, song_key = "pop several", None
        case = make_case(path.stem, notes, bars, truth, song_key)
        found[name].append(replace(case, work=f"{path.parent.name}/{work}"))
    return found


def bar_keys(
    midi: MidiFile,
    notes: np.ndarray,
    bars: np.ndarray,
    labels: list[tuple[float, float, int]],
) -> np.ndarray:
    """The key that a recording has in the middle of each bar, its labels stretched over the
    file from the first note to the last."""
    tempi = midi_tempi(midi)
    middles = seconds_at(tempi, bars["start"] + bars["length"] // 2)
    first, last = seconds_at(tempi, np.array([notes["start"].min(), covered_ticks(notes)]))
    start, end = labels[0][0], labels[-1][1]
    heard = start + (middles - first) * (end - start) / (last - first)
    at = np.searchsorted([row[0] for row in labels], heard, side="right") - 1
    return np.array([row[2] for row in labels])[np.maximum(at, 0)]


def pieces(root: Path) -> list[Case]:
    found = []
    for path in sorted((root / "features").glob("*.mid")):
        key = key_number((root / "annotations" / f"{path.stem}.key").read_text("utf-8"))
        midi = read_midi(path.read_bytes(), Limits())
        notes = pitched_notes(midi)
        bars = midi_bars(midi, covered_ticks(notes))
        found.append(make_case(path.stem, notes, bars, None, key))
    return found


def relabelled(cases: list[Case]) -> tuple[list[Case], int, int]:
    """The cases of one-key songs under the key of their own notes, how many were moved and how
    many left out because two places are about as near."""
    shares = np.array([_shares(case) for case in cases])
    tonic = np.array([case.song % 12 for case in cases])
    up = np.zeros(len(cases), int)
    for _ in range(ROUNDS):
        aligned = [
            np.roll(row, -down) for row, down in zip(shares, tonic + up, strict=True)
        ]
        near = np.array(
            [_nearness(i, cases, shares, np.array(aligned)) for i in range(len(cases))]
        )
        up = near.argmax(axis=1)
    second, first = np.sort(near, axis=1)[:, -2:].T
    kept = np.flatnonzero(first - second >= CLEAR)
    moved = [_moved(cases[i], int(up[i])) for i in kept]
    return moved, int((up[kept] > 0).sum()), len(cases) - len(kept)


def _nearness(
    i: int, cases: list[Case], shares: np.ndarray, aligned: np.ndarray
) -> np.ndarray:
    """How near a file is to the others, all on one tonic, when it stands 0 to 11 semitones
    above its label: the other files of its song count three times the songs of its mode."""
    case = cases[i]
    others = [
        j
        for j, other in enumerate(cases)
        if other.work != case.work and other.song // 12 == case.song // 12
    ]
    model = aligned[others].mean(axis=0)
    own = [j for j, other in enumerate(cases) if other.work == case.work and j != i]
    if own:
        model = (model + 3 * aligned[own].mean(axis=0)) / 4
    turned = np.array([np.roll(shares[i], -case.song - up) for up in range(12)])
    near = turned @ model / np.linalg.norm(model)
    near[0] += MOVED
    return near


def _shares(case: Case) -> np.ndarray:
    bars = case.reading.weights[case.reading.weights.any(axis=1)]
    mean = (bars / bars.sum(axis=1, keepdims=True)).mean(axis=0)
    return mean / np.linalg.norm(mean)


def _moved(case: Case, up: int) -> Case:
    key = case.song // 12 * 12 + (case.song + up) % 12
    return replace(case, bars=np.full(len(case.reading.weights), key), song=key)
