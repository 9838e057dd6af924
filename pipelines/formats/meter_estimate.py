"""The meter of a song that states none, from its notes: two, three or four quarters a bar.

A bar is the lag at which the music is most like itself (Foote and Uchihashi 2001, the beat
spectrum) and the period of its accents. Both are numbers of a song, and a linear model of
them, fitted by tests/bench/fit_meter.py on files whose meter is known, gives how likely each
meter is.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.formats.meter_weights import WEIGHTS
from schemas.song import DRUMS, TICKS_PER_QUARTER

# Quarters a bar, and what they are written as.
METERS = {2: (2, 4), 3: (3, 4), 4: (4, 4)}
COMMON = 4
# Below this, 4/4 stays: chosen by cross-validation over songs.
LEAST_CONFIDENCE = 0.7
# A song of fewer notes or quarters says too little.
MIN_NOTES, MIN_QUARTERS = 40, 16
MAX_QUARTERS = 1000
LAGS = (1, 2, 3, 4, 6, 8, 9, 12)
DIFFERENCES = ((4, 3), (8, 6), (2, 3))
SIXTEENTHS = 4
KICKS, SNARES = slice(35, 37), slice(38, 41)
MIDDLE_C = 60
N_PITCHES = 128


@dataclass(frozen=True)
class Meter:
    """numerator and denominator of a song's bars, and how likely they are, 0-1."""

    numerator: int
    denominator: int
    confidence: float


def estimate_meter(notes: np.ndarray) -> Meter | None:
    """The likeliest meter of a song's notes (NOTE, the beat a quarter); None where that is
    not likely enough to leave 4/4, or the song is too short to say."""
    if not says_enough(notes):
        return None
    likely = probabilities(features(notes))
    best = int(np.argmax(likely))
    quarters = list(METERS)[best]
    if quarters != COMMON and likely[best] < LEAST_CONFIDENCE:
        return None
    return Meter(*METERS[quarters], float(likely[best]))


def says_enough(notes: np.ndarray) -> bool:
    """Whether there is music enough to tell a meter from."""
    if len(notes) < MIN_NOTES:
        return False
    return bool(notes["start"].max() >= MIN_QUARTERS * TICKS_PER_QUARTER)


def probabilities(values: np.ndarray) -> np.ndarray:
    """How likely bars of 2, 3 and 4 quarters are, float64[3], by the fitted table."""
    table = np.array([row[1:] for row in WEIGHTS])
    middle, spread, weights = table[1:, 0], table[1:, 1], table[1:, 2:]
    scores = table[0, 2:] + (values - middle) / spread @ weights
    likely = np.exp(scores - scores.max())
    return likely / likely.sum()


def feature_names() -> list[str]:
    """A name for each number of `features`."""
    names = []
    for view in ("onsets", "pitch classes", "drums"):
        names += [f"{view} like themselves after {lag}" for lag in LAGS[1:]]
        names += [f"{view} after {one} more than {other}" for one, other in DIFFERENCES]
    for accent in ("length", "onsets", "low pitch", "kick", "snare"):
        for period in METERS:
            names += [f"{accent} every {period}", f"{accent} every {period} from the first"]
    return names


def features(notes: np.ndarray) -> np.ndarray:
    """The numbers that tell meters apart, float64, as feature_names names them."""
    beats = _Beats(notes)
    found: list[float] = []
    for view in (beats.onsets, beats.pitch_classes, beats.drums):
        found += _self_similarity(view)
    accents = (
        beats.longest,
        beats.onsets.sum(axis=1),
        -beats.lowest,
        beats.drums[:, KICKS].sum(axis=1),
        beats.drums[:, SNARES].sum(axis=1),
    )
    for accent in accents:
        found += _periods(accent)
    return np.array(found)


class _Beats:
    """A song by quarters: counts of onsets in each sixteenth, of pitch classes and of drums;
    of the notes on each beat the longest, in quarters, and the lowest pitch."""

    def __init__(self, notes: np.ndarray) -> None:
        sixteenth = np.round(notes["start"] * (SIXTEENTHS / TICKS_PER_QUARTER))
        sixteenth = sixteenth.astype(np.int64)
        heard = sixteenth < MAX_QUARTERS * SIXTEENTHS
        notes, sixteenth = notes[heard], sixteenth[heard]
        beat, place = np.divmod(sixteenth, SIXTEENTHS)
        n_beats = int(beat.max()) + 1
        drum = notes["track"] == DRUMS
        pitch = notes["pitch"].astype(np.int64)
        self.onsets = _counts(beat * SIXTEENTHS + place, n_beats, SIXTEENTHS)
        self.pitch_classes = _counts(beat[~drum] * 12 + pitch[~drum] % 12, n_beats, 12)
        self.drums = _counts(beat[drum] * N_PITCHES + pitch[drum], n_beats, N_PITCHES)
        on_beat = place == 0
        quarters = np.minimum(notes["duration"] / TICKS_PER_QUARTER, 4)
        self.longest = np.zeros(n_beats)
        np.maximum.at(self.longest, beat[on_beat], quarters[on_beat])
        low = on_beat & ~drum
        self.lowest = np.full(n_beats, float(MIDDLE_C))
        np.minimum.at(self.lowest, beat[low], pitch[low])


def _counts(cells: np.ndarray, n_rows: int, n_columns: int) -> np.ndarray:
    counted = np.bincount(cells, minlength=n_rows * n_columns)
    return counted.reshape(n_rows, n_columns).astype(float)


def _self_similarity(view: np.ndarray) -> list[float]:
    """How much more than on average the beats of a view are like those some beats later."""
    like = {lag: _mean_cosine(view, lag) for lag in LAGS}
    mean = sum(like.values()) / len(like)
    return [like[lag] - mean for lag in LAGS[1:]] + [
        like[one] - like[other] for one, other in DIFFERENCES
    ]


def _mean_cosine(view: np.ndarray, lag: int) -> float:
    before, after = view[:-lag], view[lag:]
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    sounding = norms > 0
    if not sounding.any():
        return 0.0
    products = (before * after).sum(axis=1)
    return float((products[sounding] / norms[sounding]).mean())


def _periods(accent: np.ndarray) -> list[float]:
    """For each period, how far the strongest of its beats stands out, and the first."""
    standard = (accent - accent.mean()) / (accent.std() + 1e-9)
    found = []
    for period in METERS:
        means = [float(standard[phase::period].mean()) for phase in range(period)]
        found += [max(means), means[0]]
    return found
