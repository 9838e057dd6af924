"""What of a piece's notes listeners are said to hear as emotion: mode and harmony, register,
articulation, density, dynamics, melody.

After Livingstone et al. (2010) and Panda, Malheiro and Paiva (2020), who list such cues with
the studies that found them. Features are of the pitched notes of a whole piece or clip, none
depends on its key, and all are finite.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from schemas.krumhansl import KRUMHANSL_KESSLER, profiles_by_key
from schemas.song import DRUMS, TICKS_PER_QUARTER, Song, make_notes, seconds_at

# Pitch classes of each kind of chord above its root.
CHORDS = {
    "major": (0, 4, 7), "minor": (0, 3, 7), "diminished": (0, 3, 6), "augmented": (0, 4, 8),
    "suspended": (0, 5, 7), "dominant": (0, 4, 7, 10), "major_seventh": (0, 4, 7, 11),
    "minor_seventh": (0, 3, 7, 10), "half_diminished": (0, 3, 6, 10),
}  # fmt: skip
MAJOR_KINDS, MINOR_KINDS = (
    ("major", "dominant", "major_seventh"),
    ("minor", "minor_seventh"),
)
MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
# A chord whose root is in the bass is heard before another as near.
ROOT_IN_BASS = 0.1
# Beats of one local key, and of a held note that are heard at most.
KEY_BEATS, LONGEST_BEATS = 16, 16
# How long a note weighs at most, seconds; what is short, and what is long.
HEARD_SECONDS, SHORT_SECONDS, LONG_SECONDS = 4.0, 0.15, 1.0
TINY = 1e-6


@dataclass(frozen=True, eq=False)
class Heard:
    """The pitched notes of a song, a value a note: start and end in ticks, onset and length in
    seconds, pitch, velocity; and their onsets, a value each: tick, top and low pitch, size."""

    start: np.ndarray
    end: np.ndarray
    onset: np.ndarray
    length: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    is_top: np.ndarray
    at: np.ndarray
    top: np.ndarray
    low: np.ndarray
    size: np.ndarray
    bpm: np.ndarray

    @property
    def seconds(self) -> float:
        """From the first onset to the last end."""
        return max(float((self.onset + self.length).max() - self.onset.min()), TINY)


def affect_features(song: Song) -> dict[str, float]:
    """All features by name; nought throughout for a song without a pitched note."""
    notes = song.notes[song.notes["track"] != DRUMS]
    if not len(notes):
        # Any note will do: only the names are taken.
        return dict.fromkeys(
            _features(_heard(make_notes([0], [1], [60], [64], [1]), song.tempi)), 0.0
        )
    return _features(_heard(notes, song.tempi))


def _features(heard: Heard) -> dict[str, float]:
    chroma = np.bincount(heard.pitch % 12, np.sqrt(_weight(heard)), 12)
    tonic = int(_key_fits(chroma).argmax()) % 12
    return {
        **_tonality(chroma, tonic),
        **_harmony(heard, tonic),
        **_register(heard),
        **_articulation(heard),
        **_dynamics(heard),
        **_rhythm(heard),
        **_melody(heard, tonic),
    }


def affect_table(songs: Sequence[Song]) -> np.ndarray:
    """Features of each song, in their order: float (n, n_features)."""
    return np.array([list(affect_features(song).values()) for song in songs])


def _heard(notes: np.ndarray, tempi: np.ndarray) -> Heard:
    start, end = notes["start"].astype(np.int64), notes["start"] + notes["duration"]
    # Sorted by start, then track: within an onset pitch is sorted here.
    order = np.lexsort((notes["pitch"], start))
    start, end, notes = start[order], end[order], notes[order]
    pitch = notes["pitch"].astype(np.int64)
    at, first = np.unique(start, return_index=True)
    last = np.append(first[1:], len(start)) - 1
    is_top = np.zeros(len(start), bool)
    is_top[last] = True
    onset = seconds_at(tempi, start)
    return Heard(
        start=start,
        end=end,
        onset=onset,
        length=seconds_at(tempi, end) - onset,
        pitch=pitch,
        velocity=notes["velocity"].astype(np.float64),
        is_top=is_top,
        at=at,
        top=pitch[last],
        low=pitch[first],
        size=last - first + 1,
        bpm=tempi["bpm"].astype(np.float64),
    )


def _weight(heard: Heard) -> np.ndarray:
    return np.minimum(heard.length, HEARD_SECONDS)


def _key_fits(chroma: np.ndarray) -> np.ndarray:
    """Correlation of a chroma with each key's profile (Krumhansl and Kessler): 12 major, 12
    minor."""
    profiles = profiles_by_key(KRUMHANSL_KESSLER)
    profiles -= profiles.mean(1, keepdims=True)
    centred = chroma - chroma.mean()
    scale = np.linalg.norm(profiles, axis=1) * max(float(np.linalg.norm(centred)), TINY)
    return profiles @ centred / scale


def _shares(classes: np.ndarray, name: str, n: int = 12) -> dict[str, float]:
    share = np.bincount(classes, minlength=n) / max(len(classes), 1)
    return {f"{name}_{place}": float(share[place]) for place in range(n)}


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / max(counts.sum(), TINY)
    return float(-(share * np.log2(share)).sum())


def _tonality(chroma: np.ndarray, tonic: int) -> dict[str, float]:
    """How major or minor the whole is, and how much there is of each place of its scale."""
    fits = _key_fits(chroma)
    degree = np.roll(chroma, -tonic) / max(chroma.sum(), TINY)
    in_scale = np.array(
        [chroma[(root + np.array(MAJOR_SCALE)) % 12].sum() for root in range(12)]
    )
    scale = np.roll(chroma, -int(in_scale.argmax())) / max(chroma.sum(), TINY)
    best = np.sort(fits)
    return {
        "major_fit": float(fits[:12].max()),
        "minor_fit": float(fits[12:].max()),
        "mode": float(fits[:12].max() - fits[12:].max()),
        "key_clarity": float(best[-1] - best[-2]),
        "diatonic": float(in_scale.max() / max(chroma.sum(), TINY)),
        "third": _lean(degree[4], degree[3]),
        "sixth": _lean(degree[9], degree[8]),
        "seventh": _lean(degree[11], degree[10]),
        "chroma_entropy": _entropy(chroma),
        **{f"scale_{i}": float(scale[i]) for i in range(12)},
    }


def _lean(one: float, other: float) -> float:
    return float((one - other) / (one + other + TINY))


def _beats(heard: Heard) -> tuple[np.ndarray, np.ndarray]:
    """Of each beat in which something sounds: ticks that each pitch class sounds (n, 12), and
    the lowest pitch that sounds for a sixth of it, 127 for none."""
    n_beats = int(-(-heard.end.max() // TICKS_PER_QUARTER))
    chroma, bass = np.zeros((n_beats, 12)), np.full(n_beats, 127, np.int64)
    first = heard.start // TICKS_PER_QUARTER
    for later in range(LONGEST_BEATS):
        beat = first + later
        sounds = np.minimum(heard.end, (beat + 1) * TICKS_PER_QUARTER) - np.maximum(
            heard.start, beat * TICKS_PER_QUARTER
        )
        here = (sounds > 0) & (beat < n_beats)
        np.add.at(chroma, (beat[here], heard.pitch[here] % 12), sounds[here])
        low = here & (sounds > TICKS_PER_QUARTER // 6)
        np.minimum.at(bass, beat[low], heard.pitch[low])
    sounding = chroma.sum(1) > 0
    return chroma[sounding], bass[sounding]


def _chords(
    chroma: np.ndarray, bass: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kind (an index of CHORDS), root and likeness of the chord of each beat and the next."""
    both = chroma.copy()
    both[:-1] += chroma[1:]
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    shapes = np.zeros((len(CHORDS), 12, 12))
    for kind, classes in enumerate(CHORDS.values()):
        for root in range(12):
            shapes[kind, root, (root + np.array(classes)) % 12] = 1 / np.sqrt(len(classes))
    likeness = np.einsum("bp,krp->bkr", both, shapes)
    likeness += ROOT_IN_BASS * (np.arange(12) == (bass % 12)[:, None])[:, None]
    best = likeness.reshape(len(both), -1).argmax(1)
    return best // 12, best % 12, likeness.reshape(len(both), -1).max(1)


def _harmony(heard: Heard, tonic: int) -> dict[str, float]:
    """Kinds of chords, their degrees and how they move, intervals that sound together, local
    keys."""
    chroma, bass = _beats(heard)
    kind, root, likeness = _chords(chroma, bass)
    unit = chroma / np.linalg.norm(chroma, axis=1, keepdims=True)
    moved = np.diff(root) % 12
    moved = moved[moved != 0]
    share = dict(
        zip(CHORDS, np.bincount(kind, minlength=len(CHORDS)) / len(kind), strict=True)
    )
    together = np.array(
        [(unit * np.roll(unit, step, 1)).sum(1).mean() for step in range(1, 7)]
    )
    together /= max(together.sum(), TINY)
    modes = np.array(list(_local_modes(chroma)))
    chord = kind * 12 + root
    return {
        **{f"chord_{name}": float(value) for name, value in share.items()},
        "chord_likeness": float(likeness.mean()),
        "chord_mode": float(
            sum(share[name] for name in MAJOR_KINDS)
            - sum(share[name] for name in MINOR_KINDS)
        ),
        "chord_change": _mean(np.diff(chord) != 0),
        "root_by_fifth": _mean(np.isin(moved, (5, 7))),
        "root_by_step": _mean(np.isin(moved, (1, 2, 10, 11))),
        "root_by_third": _mean(np.isin(moved, (3, 4, 8, 9))),
        **_shares((root - tonic) % 12, "root"),
        **_shares((bass - tonic) % 12, "bass"),
        **{f"interval_{step + 1}": float(together[step]) for step in range(6)},
        "beat_entropy": float(np.mean([_entropy(beat) for beat in chroma])),
        "chroma_flux": _mean(np.linalg.norm(np.diff(unit, axis=0), axis=1)),
        "mode_mean": float(modes.mean()),
        "mode_least": float(modes.min()),
        "mode_most": float(modes.max()),
        "minor_share": float((modes < 0).mean()),
    }


def _local_modes(chroma: np.ndarray) -> Iterator[float]:
    """How much better the best major key fits than the best minor one, over KEY_BEATS at a
    time."""
    step = KEY_BEATS // 2
    for begin in range(0, max(1, len(chroma) - step), step):
        fits = _key_fits(chroma[begin : begin + KEY_BEATS].sum(0))
        yield float(fits[:12].max() - fits[12:].max())


def _register(heard: Heard) -> dict[str, float]:
    features = {}
    for name, pitch, weight in (
        ("pitch", heard.pitch, _weight(heard) + TINY),
        ("top", heard.top, None),
        ("low", heard.low, None),
    ):
        features[f"{name}_mean"] = float(np.average(pitch, weights=weight))
        features[f"{name}_spread"] = float(pitch.std())
        features[f"{name}_tenth"] = float(np.percentile(pitch, 10))
        features[f"{name}_ninetieth"] = float(np.percentile(pitch, 90))
    return {
        **features,
        "high_share": _mean(heard.pitch >= 72),
        "deep_share": _mean(heard.pitch < 48),
        "width": _mean(heard.top - heard.low),
    }


def _articulation(heard: Heard) -> dict[str, float]:
    """How long notes are, in seconds and against the time to the next; how densely they
    come."""
    length, seconds = heard.length, heard.seconds
    gaps = np.diff(np.unique(heard.onset))
    gaps = gaps if len(gaps) else np.array([1.0])
    return {
        "length_median": float(np.log(np.median(length) + 0.01)),
        "length_mean": float(np.log(length.mean() + 0.01)),
        "short_share": _mean(length < SHORT_SECONDS),
        "long_share": _mean(length > LONG_SECONDS),
        "gap_median": float(np.log(np.median(gaps) + 0.01)),
        "gap_variation": float(gaps.std() / gaps.mean()),
        "legato": float(np.log((np.median(length) + 0.01) / (np.median(gaps) + 0.01))),
        "sounding": float(length.sum() / seconds),
        "notes_a_second": float(np.log(len(length) / seconds)),
        "onsets_a_second": float(np.log(len(heard.at) / seconds)),
        "notes_an_onset": _mean(heard.size),
        "chord_share": _mean(heard.size > 2),
        "low_notes_a_second": float(np.log1p((heard.pitch < 55).sum() / seconds)),
        "high_notes_a_second": float(np.log1p((heard.pitch >= 67).sum() / seconds)),
    }


def _dynamics(heard: Heard) -> dict[str, float]:
    velocity, early = heard.velocity, heard.onset < heard.onset.mean()
    mean = float(velocity.mean())
    return {
        "velocity_mean": mean,
        "velocity_spread": float(velocity.std()),
        "velocity_tenth": float(np.percentile(velocity, 10)),
        "velocity_ninetieth": float(np.percentile(velocity, 90)),
        "melody_louder": _mean(velocity[heard.is_top])
        - _mean(velocity[~heard.is_top], mean),
        "gets_louder": _mean(velocity[~early], mean) - _mean(velocity[early], mean),
        "low_velocity": _mean(velocity[heard.pitch < 55], mean),
        "energy": float(np.log((velocity / 64).sum() / heard.seconds)),
    }


def _rhythm(heard: Heard) -> dict[str, float]:
    """Where within beats onsets fall, how far apart they are in beats, and tempo."""
    place = heard.at % TICKS_PER_QUARTER
    gaps = np.diff(heard.at) / TICKS_PER_QUARTER
    steps = np.digitize(gaps, (0.3, 0.6, 1.2))
    return {
        "on_beat": _mean(np.minimum(place, TICKS_PER_QUARTER - place) <= 1),
        "on_half": _mean(np.abs(place - 12) <= 1),
        "on_quarter": _mean((np.abs(place - 6) <= 1) | (np.abs(place - 18) <= 1)),
        **_shares(steps, "gap", 4),
        "tempo": float(np.log(np.median(heard.bpm))),
        "tempo_spread": float(np.log(heard.bpm).std()),
    }


def _melody(heard: Heard, tonic: int) -> dict[str, float]:
    """The highest notes as a line."""
    moved = np.diff(heard.top)
    return {
        "leap": _mean(np.abs(moved)),
        "repeats": _mean(moved == 0),
        "steps": _mean((np.abs(moved) <= 2) & (moved != 0)),
        "rises": _mean(moved > 0, 0.5),
        "melody_entropy": _entropy(np.bincount(heard.top % 12, minlength=12)),
        **_shares((heard.top - tonic) % 12, "melody"),
    }


def _mean(values: np.ndarray, nothing: float = 0.0) -> float:
    return float(values.mean()) if len(values) else nothing
