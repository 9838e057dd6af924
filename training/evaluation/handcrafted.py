"""Hand features of a piece, and the judges that need no network: two rules and gradient
boosting.

A judge says how likely a piece is high in arousal and in valence. A rule shows how much of
a control figure is "more notes" or "minor"; boosting is what these labels allow at this
size.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from schemas.grid import quantise
from schemas.song import BASS, DRUMS, TRACKS, Song, seconds_at
from training.config import AXES, UNLABELLED
from training.errors import RunFailed
from training.evaluation.metrics import mean, song_facts
from training.evaluation.music_metrics import music_metrics


# Two judges ask of the same songs; a Song is itself and no other, so that it may be looked
# up by what it is.
@lru_cache(maxsize=8192)
def handcrafted_features(song: Song) -> dict[str, float]:
    """What a musician would ask for: tempo, density, loudness, register, length, tracks,
    mode, texture; NaN where silent."""
    notes, grid = song.notes, quantise(song)
    seconds = float(
        seconds_at(song.tempi, song.bars["start"][-1:] + song.bars["length"][-1:])[0]
    )
    pitched, bass = notes[notes["track"] != DRUMS], notes[notes["track"] == BASS]
    drums = int((notes["track"] == DRUMS).sum())
    onsets = len(np.unique(grid.bar * 64 + grid.position))
    per_track = np.bincount(notes["track"], minlength=len(TRACKS)) / max(len(notes), 1)
    return {
        "notes_per_second": len(notes) / seconds,
        "onsets_per_second": onsets / seconds,
        "drums_per_second": drums / seconds,
        "off_beat_share": mean(grid.position % 4 != 0),
        "velocity_mean": mean(notes["velocity"]),
        "velocity_spread": float(np.std(notes["velocity"])) if len(notes) else float("nan"),
        "pitch_mean": mean(pitched["pitch"]),
        "pitch_spread": float(np.std(pitched["pitch"])) if len(pitched) else float("nan"),
        "bass_pitch": mean(bass["pitch"]),
        "sixteenths_mean": mean(grid.sixteenths[notes["track"] != DRUMS]),
        **{
            f"share_{name.lower()}": float(share)
            for name, share in zip(TRACKS, per_track, strict=True)
        },
        **song_facts(song),
        **music_metrics(song),
    }


def feature_table(songs: Sequence[Song]) -> np.ndarray:
    """Hand features of each song, in their order: float (n, n_features)."""
    return np.array([list(handcrafted_features(song).values()) for song in songs])


class Rules:
    """arousal: notes a second over the median of the songs it was fitted on; valence: tempo
    over its median, and major.

    The chance of high is a share, not a calibrated one: a piece's rank among those songs,
    the mean of the two for valence.
    """

    name = "rules"

    def fit(self, songs: Sequence[Song], labels: np.ndarray) -> "Rules":
        """labels (n, 2) are not looked at, beyond leaving out what has none."""
        facts = [
            handcrafted_features(song)
            for song, label in zip(songs, labels, strict=True)
            if (label != UNLABELLED).any()
        ]
        self._known = {
            name: np.sort([one[name] for one in facts])
            for name in ("notes_per_second", "bpm")
        }
        return self

    def probability(self, songs: Sequence[Song]) -> np.ndarray:
        """Of high arousal and valence: float (n, 2)."""
        said = np.empty((len(songs), 2))
        for row, song in enumerate(songs):
            facts = handcrafted_features(song)
            rank = {name: _rank(facts[name], known) for name, known in self._known.items()}
            major = 0.5 if np.isnan(facts["minor_share"]) else 1 - facts["minor_share"]
            said[row] = rank["notes_per_second"], (rank["bpm"] + major) / 2
        return said


def _rank(value: float, known: np.ndarray) -> float:
    """Share of `known`, sorted, that is lower, equals by half."""
    return float(
        np.searchsorted(known, value) + np.searchsorted(known, value, side="right")
    ) / (2 * len(known))


def boosting_classifier() -> Any:
    """scikit-learn's class; RunFailed where it is not installed."""
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise RunFailed(
            "judges need scikit-learn: install moodroll with its extra [evaluate]"
        ) from error
    return HistGradientBoostingClassifier


class Boosting:
    """Gradient boosting on hand features, an axis each (scikit-learn, extra `evaluate`)."""

    name = "boosting"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def fit(self, songs: Sequence[Song], labels: np.ndarray) -> "Boosting":
        """labels (n, 2), −1 where there is none; raises RunFailed without scikit-learn."""
        kind, table = boosting_classifier(), feature_table(songs)
        self._models = []
        for axis in range(len(AXES)):
            known = labels[:, axis] != UNLABELLED
            model = kind(
                max_depth=3,
                max_iter=100,
                learning_rate=0.05,
                min_samples_leaf=20,
                random_state=self._seed,
            )
            # The library has no bins for what no song has, such as the pitch of a bass that
            # never plays.
            has = ~np.isnan(table[known]).all(0)
            self._models.append((has, model.fit(table[known][:, has], labels[known, axis])))
        return self

    def probability(self, songs: Sequence[Song]) -> np.ndarray:
        """Of high arousal and valence: float (n, 2)."""
        table = feature_table(songs)
        return np.stack(
            [model.predict_proba(table[:, has])[:, 1] for has, model in self._models],
            axis=1,
        )
