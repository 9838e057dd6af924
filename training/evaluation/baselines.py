"""The plain rivals a reviewer asks for: a real song of the class, and a real song edited by
rule. They need no training.

Retrieval bounds from above what realism and control a generator can have at once; a rule
shows how much of control is tempo, density, loudness and mode.
"""

from collections.abc import Mapping

import numpy as np

from schemas.grid import quantise
from schemas.keys import N_KEYS
from schemas.labels import HIGH, LOW
from schemas.song import DRUMS, Song, make_notes, make_tempi
from training.config import AXES, DataConfig
from training.data.cache import Split
from training.data.keys import keys_of
from training.data.loader import crops
from training.data.views import separate, songs_of
from training.errors import RunFailed
from training.parts.sampling import SamplingConfig

FASTER, LOUDER = 1.25, 15
HALF_NOTE_TICKS = 48
# Degrees that differ between the major and the natural minor scale, in semitones over the
# tonic.
MAJOR_ONLY, MINOR_ONLY = (4, 9, 11), (3, 8, 10)


class Retrieval:
    """Windows of training songs that a generator may hear, of the class that is asked
    for."""

    name = "retrieval"

    def __init__(self, split: Split, data: DataConfig) -> None:
        self._split, self._data = split, data

    def generate(
        self, classes: Mapping[str, int | None], n: int, bars: int, sampling: SamplingConfig
    ) -> list[Song]:
        """n windows drawn with choice.seed; raises RunFailed where no song is of the
        class."""
        split, usable = self._split, ~self._split.judge & (self._split.n_bars >= bars)
        for index, axis in enumerate(AXES):
            if classes[axis] is not None:
                usable &= split.labels[:, index] == classes[axis]
        if not usable.any():
            raise RunFailed(
                f"no training song of {bars} bars is of the class {dict(classes)}: nothing can be retrieved"
            )
        random = np.random.default_rng(sampling.seed)
        song = random.choice(np.flatnonzero(usable), n)
        start = np.floor(random.random(n) * (split.n_bars[song] - bars + 1)).astype(
            np.int64
        )
        batch = crops(
            split, song, start, bars, self._data.tokens_per_bar, split.labels[song]
        )
        return songs_of(batch.tokens, batch.tonic)


class RuleEditing(Retrieval):
    """Windows of any training song, edited to the class that is asked for."""

    name = "rule editing"

    def generate(
        self, classes: Mapping[str, int | None], n: int, bars: int, sampling: SamplingConfig
    ) -> list[Song]:
        """n windows drawn with choice.seed and edited; an axis whose class is None is
        left as it is."""
        songs = super().generate(dict.fromkeys(AXES), n, bars, sampling)
        return [
            with_valence(with_arousal(song, classes["arousal"]), classes["valence"])
            for song in songs
        ]


def with_arousal(song: Song, level: int | None) -> Song:
    """High: a quarter faster, louder, half notes struck twice; low: slower, softer,
    without what is off the eighths."""
    if level is None:
        return song
    notes, factor = song.notes, FASTER if level == HIGH else 1 / FASTER
    if level == LOW:
        notes = notes[quantise(song).position % 2 == 0]
    else:
        again = notes[notes["duration"] >= HALF_NOTE_TICKS].copy()
        again["duration"] //= 2
        again["start"] += again["duration"]
        notes = np.concatenate([notes, again])
    velocity = np.clip(
        notes["velocity"].astype(int) + (LOUDER if level == HIGH else -LOUDER), 1, 127
    )
    notes = make_notes(
        notes["start"], notes["duration"], notes["pitch"], velocity, notes["track"]
    )
    tempi = make_tempi(song.tempi["start"], song.tempi["bpm"] * factor)
    return Song(
        song.source, song.source_key, separate(notes), song.bars, tempi, song.meter_source
    )


def with_valence(song: Song, level: int | None) -> Song:
    """High: in the major of its commonest key's tonic; low: in the natural minor. Drums
    stay."""
    keys = keys_of(song)
    keyed = keys[keys < N_KEYS]
    if level is None or not len(keyed):
        return song
    key = np.bincount(keyed).argmax()
    tonic, is_major = key % 12, key < 12
    if is_major == (level == HIGH):
        return song
    degree = (song.notes["pitch"].astype(int) - tonic) % 12
    moved = np.isin(degree, MAJOR_ONLY if is_major else MINOR_ONLY) & (
        song.notes["track"] != DRUMS
    )
    pitch = np.clip(
        song.notes["pitch"].astype(int) + moved * (-1 if is_major else 1), 0, 127
    )
    columns = {
        name: song.notes[name]
        for name in ("start", "duration", "pitch", "velocity", "track")
    } | {"pitch": pitch}
    notes = separate(make_notes(**columns))
    return Song(
        song.source, song.source_key, notes, song.bars, song.tempi, song.meter_source
    )
