"""What files of one piece differ in: edits of notes, each with the share of songs that must
still be found."""

from collections.abc import Callable

import numpy as np

from schemas.song import DRUMS, STRINGS, make_notes

Edit = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def rewritten(notes: np.ndarray, **new: np.ndarray) -> np.ndarray:
    return make_notes(
        **{**{name: notes[name].astype(np.int64) for name in notes.dtype.names}, **new}
    )


def transposed(notes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    by = int(rng.choice([-5, -3, -2, -1, 1, 2, 3, 4, 6]))
    return rewritten(
        notes,
        pitch=np.clip(notes["pitch"].astype(int) + by * (notes["track"] != DRUMS), 0, 127),
    )


def stretched(factor: float) -> Edit:
    return lambda notes, rng: rewritten(
        notes, start=np.floor(notes["start"] * factor + 0.5).astype(int)
    )


def bar_inserted(notes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    at = 96 * int(rng.integers(1, max(2, notes["start"].max() // 96)))
    return rewritten(notes, start=notes["start"] + 96 * (notes["start"] >= at))


def jittered(notes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rewritten(
        notes, start=np.maximum(notes["start"] + rng.integers(-2, 3, len(notes)), 0)
    )


def track_dropped(notes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Without one pitched track; without drums, where there is only one pitched track."""
    tracks = np.unique(notes["track"][notes["track"] != DRUMS])
    return notes[notes["track"] != (rng.choice(tracks) if len(tracks) > 1 else DRUMS)]


def tracks_swapped(notes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rewritten(
        notes, track=np.append(DRUMS, 1 + rng.permutation(STRINGS))[notes["track"]]
    )


def excerpt(share: float, from_start: bool = False) -> Edit:
    def cut(notes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        end = int(notes["start"].max()) + 1
        begin = 0 if from_start else int(rng.integers(0, end - int(end * share) + 1))
        return notes[(notes["start"] >= begin) & (notes["start"] < begin + end * share)]

    return cut


EDITS: dict[str, tuple[float, Edit]] = {
    "transposed": (1.0, transposed),
    "bar phase shifted": (
        1.0,
        lambda notes, rng: rewritten(
            notes, start=notes["start"] + int(rng.integers(1, 96))
        ),
    ),
    "tempo x 2": (1.0, stretched(2)),
    "tempo x 1.25": (1.0, stretched(1.25)),
    "tempo x 0.9": (1.0, stretched(0.9)),
    "a bar inserted": (1.0, bar_inserted),
    "tempo x 0.5": (0.93, stretched(0.5)),
    "jitter of 2 ticks": (0.93, jittered),
    "first fifth": (0.93, excerpt(0.2, from_start=True)),
    "10 % of notes dropped": (
        0.95,
        lambda notes, rng: notes[rng.random(len(notes)) >= 0.1],
    ),
    "a track dropped": (0.95, track_dropped),
    "tracks swapped": (0.95, tracks_swapped),
    "a half": (0.95, excerpt(1 / 2)),
    "a third": (0.95, excerpt(1 / 3)),
}
