"""Where no truth is known, whether keys agree: python tests/bench/key_agreement.py --lpd DIR --lakh DIR

--lpd is the folder of npz of LPD-5, --lakh that of Lakh's MIDI files (`<hex>/<md5>.mid`).

signatures   the song's key against the one key signature of a MIDI file, where it says another key
             than C major (many a program writes that unasked)
transposed   songs of LPD moved by 1 to 11 semitones: whether every key moves by exactly as much
halves       the keys of the two halves of a song, each as a song of its own
forms        the five-track form of a song against its MIDI file
"""

import argparse
from pathlib import Path

import mir_eval
import numpy as np
from key_corpora import midi_keys
from key_pop import pitched_notes

from pipelines.features.key.estimate import compute
from pipelines.features.key.reading import raised_keys
from pipelines.features.key.settings import KeyConfig
from pipelines.formats.midi import midi_bars, midi_tempi, read_midi
from pipelines.formats.npz import read_npz
from schemas.contracts import Limits
from schemas.grid import quantise
from schemas.keys import KEY_NAMES_ASCII, N_KEYS
from schemas.krumhansl import krumhansl_schmuckler
from schemas.reject import BadInput
from schemas.song import DRUMS, Song, covered_ticks, make_tempi, regular_bars

N_SONGS = 300
C_MAJOR = 0


def from_npz(path: Path) -> Song:
    notes = read_npz(path.read_bytes(), Limits()).notes
    bars = regular_bars(covered_ticks(notes))
    return Song("lpd5", path.stem, notes, bars, make_tempi([0], [120.0]), "assumed_4_4")


def from_midi(path: Path) -> Song:
    midi = read_midi(path.read_bytes(), Limits())
    notes = pitched_notes(midi)
    bars = midi_bars(midi, covered_ticks(notes))
    return Song("lakh", path.stem, notes, bars, midi_tempi(midi), "score")


def keys_of(song: Song) -> dict:
    return compute(song, quantise(song), KeyConfig())


def plain_key(song: Song) -> int:
    """Krumhansl over the whole song, by ticks."""
    pitched = song.notes[song.notes["track"] != DRUMS]
    ticks = np.bincount(pitched["pitch"] % 12, weights=pitched["duration"], minlength=12)
    return int(krumhansl_schmuckler(ticks[None])[0][0])


def agreement(name: str, pairs: list[tuple[int, int]]) -> str:
    """MIREX's weighted score and the share of equals, of pairs of keys that both are known."""
    known = [pair for pair in pairs if max(pair) < N_KEYS]
    names = [(KEY_NAMES_ASCII[one], KEY_NAMES_ASCII[other]) for one, other in known]
    weighted = [mir_eval.key.weighted_score(one, other) for one, other in names]
    equal = np.mean([one == other for one, other in known])
    error = np.std(weighted) / len(weighted) ** 0.5
    return f"{name:34}{len(known):5} songs  weighted {np.mean(weighted):.3f} ±{error:.3f}  equal {equal:.3f}"


def half(song: Song, second: bool) -> Song:
    """The notes that start in the first or second half of a song's bars, from tick 0."""
    middle = int(song.bars["start"][len(song.bars) // 2])
    late = song.notes["start"] >= middle
    notes = song.notes[late == second].copy()
    if second:
        notes["start"] -= middle
    bars = regular_bars(covered_ticks(notes))
    return Song(
        "lpd5", song.source_key, notes, bars, make_tempi([0], [120.0]), "assumed_4_4"
    )


def raised(song: Song, up: int) -> Song | None:
    """The song `up` semitones higher, or None where it would leave MIDI's pitches."""
    notes = song.notes.copy()
    pitched = notes["track"] != DRUMS
    pitch = notes["pitch"][pitched].astype(int) + up
    if not len(pitch) or pitch.max() > 127:
        return None
    notes["pitch"][pitched] = pitch
    return Song("lpd5", song.source_key, notes, song.bars, song.tempi, "assumed_4_4")


def moves_exactly(song: Song, up: int) -> bool | None:
    moved = raised(song, up)
    if moved is None:
        return None
    keys = np.append(raised_keys(up), N_KEYS)
    one, other = keys_of(song), keys_of(moved)
    bars = np.array_equal(keys[one["key"]], other["key"])
    sure = np.array_equal(one["key_confidence"], other["key_confidence"])
    return bars and sure and keys[one["song_key"]] == other["song_key"]


def signature(path: Path) -> int | None:
    """The one key that a MIDI file says it is in, unless that is C major."""
    keys = set(midi_keys(path.read_bytes()).values())
    return keys.pop() if len(keys) == 1 and keys != {C_MAJOR} else None


def readable(paths: list[Path]) -> list[tuple[Path, Song]]:
    found = []
    for path in paths:
        try:
            found.append((path, from_midi(path)))
        except BadInput:
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lpd", type=Path, required=True)
    parser.add_argument("--lakh", type=Path, required=True)
    arguments = parser.parse_args()
    npz = {path.stem: path for path in sorted(arguments.lpd.rglob("*.npz"))}
    chosen = list(npz.values())[:: max(1, len(npz) // N_SONGS)]
    songs = [from_npz(path) for path in chosen]

    moved = [moves_exactly(song, 1 + number % 11) for number, song in enumerate(songs)]
    possible = [exact for exact in moved if exact is not None]
    print(f"transposed: exactly moved {sum(possible)} of {len(possible)}")

    halves = [(half(song, False), half(song, True)) for song in songs]
    halves = [pair for pair in halves if all(len(each.notes) for each in pair)]
    for name, find in (("", song_key), (", Krumhansl", plain_key)):
        print(agreement(f"halves{name}", [(find(a), find(b)) for a, b in halves]))

    files = readable(sorted(arguments.lakh.rglob("*.mid")))
    signed = [(key, song) for path, song in files if (key := signature(path)) is not None]
    both = [(song, from_npz(npz[path.stem])) for path, song in files if path.stem in npz]
    for name, find in (("", song_key), (", Krumhansl", plain_key)):
        print(agreement(f"signatures{name}", [(key, find(song)) for key, song in signed]))
        print(agreement(f"forms{name}", [(find(a), find(b)) for a, b in both]))


def song_key(song: Song) -> int:
    return int(keys_of(song)["song_key"])


if __name__ == "__main__":
    main()
