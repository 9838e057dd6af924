"""Beats of performed music, tracked from its onsets alone.

A hidden semi-Markov form of the bar pointer model (Whiteley, Cemgil and Godsill 2006; Krebs,
Böck and Widmer, ISMIR 2015): from beat to beat the period changes little, and within a beat
onsets fall on the beat, its halves, quarters and thirds more often than elsewhere. The best
sequence of beats is found by dynamic programming over frames and periods. Downbeats are the
beats on which the bass and the long notes fall.

Weights were counted and chosen by tests/bench/beat_accuracy.py.
"""

from dataclasses import dataclass

import numpy as np

FRAME_SECONDS = 0.01
# From 200 to 50 quarters a minute.
SHORTEST_FRAMES, LONGEST_FRAMES, N_PERIODS = 30, 120, 48
# Where within a beat onsets fall: share of each place (in twelfths of a beat) and the rest
# anywhere, counted on Lakh's files, whose beats are known.
PLACES = {0: 0.38, 6: 0.27, 9: 0.12, 3: 0.10, 4: 0.02, 8: 0.02}
ANYWHERE = 0.09
# How far hands are off the place that they mean.
SPREAD_SECONDS = 0.02
# A period twice as long or short costs this much, in nats, from one beat to the next.
CHANGE_COST = 40.0
# People feel a beat in some range of tempo (Parncutt 1994): its middle and its width in
# octaves, and how much a second of music weighs it.
COMMON_PERIOD, PERIOD_OCTAVES, PERIOD_WEIGHT = 0.6, 0.35, 1.0
# An onset this near a beat is the beat.
SNAP_SECONDS = 0.045
MIDDLE_C = 60
# Three beats a bar must stand out by this much more than four, the common meter.
METERS = {4: 1.0, 3: 1.5}


@dataclass(frozen=True, eq=False)
class Beats:
    """seconds: float64, rising, from at or before the first onset to after the last;
    per_bar: beats of a bar; first_downbeat: index of the first beat that starts one;
    confidence: grid_fit of the onsets on these beats."""

    seconds: np.ndarray
    per_bar: int
    first_downbeat: int
    confidence: float


def track_beats(
    onset: np.ndarray, duration: np.ndarray, pitch: np.ndarray, velocity: np.ndarray
) -> Beats:
    """Beats and downbeats of notes: onset and duration in seconds, pitch and velocity as
    MIDI numbers, one value a note, in any order; at least one note."""
    heard = _heard(onset, duration, pitch, velocity)
    seconds = _snapped(_best_beats(heard) * FRAME_SECONDS + onset.min(), onset, velocity)
    per_bar, first = _downbeats(seconds, onset, duration, pitch, velocity)
    places = beats_at(seconds, onset)
    return Beats(seconds, per_bar, first, grid_fit(places))


def beats_at(beats: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Where moments (seconds) stand among beats (seconds), in beats; beyond the ends the
    outermost period goes on."""
    index = np.clip(np.searchsorted(beats, seconds, side="right") - 1, 0, len(beats) - 2)
    return index + (seconds - beats[index]) / (beats[index + 1] - beats[index])


# The sixteenths and the triplet eighths of a beat, and where the next begins
_GRID = np.array([0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1])
# Mean distance of a random moment from the grid: a gap g holds g of all moments, g/4 away.
_CHANCE = float((np.diff(_GRID) ** 2).sum() / 4)


def grid_fit(places: np.ndarray) -> float:
    """How well onsets (in beats) keep sixteenths and triplets, 0-1: 1 where each is exact,
    0 where they are no nearer than chance."""
    if not len(places):
        return 0.0
    away = np.abs(places[:, None] % 1 - _GRID).min(1)
    return float(np.clip(1 - away.mean() / _CHANCE, 0, 1))


def _heard(
    onset: np.ndarray, duration: np.ndarray, pitch: np.ndarray, velocity: np.ndarray
) -> np.ndarray:
    """How much begins in each frame from the first onset on: float32.

    Loud, low and long notes are more; a chord is more than a note, and less than its notes
    together.
    """
    frame = np.rint((onset - onset.min()) / FRAME_SECONDS).astype(np.int64)
    weight = velocity / 64 * (1 + _lowness(pitch)) * np.sqrt(np.minimum(duration, 1.0))
    return np.log1p(np.bincount(frame, weight)).astype(np.float32)


def _lowness(pitch: np.ndarray) -> np.ndarray:
    """0 from middle C up, 1 from two octaves below it down."""
    return np.clip((MIDDLE_C - pitch) / 24, 0, 1)


def _periods() -> np.ndarray:
    periods = np.geomspace(SHORTEST_FRAMES, LONGEST_FRAMES, N_PERIODS)
    return np.unique(np.rint(periods).astype(np.int64))


def _place_weights(period: int) -> np.ndarray:
    """Log of how likely an onset is in each frame of a beat of `period` frames, against
    anywhere."""
    phase = np.arange(period) / period
    spread = SPREAD_SECONDS / (period * FRAME_SECONDS)
    density = np.full(period, ANYWHERE)
    for place, share in PLACES.items():
        away = np.abs(phase - place / 12)
        away = np.minimum(away, 1 - away)
        bump = np.exp(-0.5 * (away / spread) ** 2)
        density += share * bump / bump.mean()
    return np.log(density)


def _best_beats(heard: np.ndarray) -> np.ndarray:
    """Frames of the most likely beats, counted from the first onset; the first of them is
    at or before it, the last after all onsets."""
    periods = _periods()
    lead = int(periods[-1])
    n_frames = lead + len(heard)
    padded = np.concatenate([np.zeros(lead), heard, np.zeros(lead)])
    octaves = np.log2(periods)
    cost = CHANGE_COST * np.abs(octaves[:, None] - octaves)
    common = np.log2(periods * FRAME_SECONDS / COMMON_PERIOD) / PERIOD_OCTAVES
    prior = -0.5 * common**2 * PERIOD_WEIGHT * periods * FRAME_SECONDS
    # What a beat of each period that starts in each frame says of the onsets in it
    gain = np.stack(
        [
            np.convolve(padded, _place_weights(period)[::-1])[period - 1 :][:n_frames]
            for period in periods
        ],
        axis=1,
    )
    gain += prior
    ended = np.full((n_frames + lead, len(periods)), -np.inf, np.float32)
    came = np.zeros((n_frames, len(periods)), np.int16)
    for frame in range(n_frames):
        if frame <= lead:
            began = np.zeros(len(periods))
            came[frame] = -1
        else:
            reached = ended[frame] - cost
            came[frame] = reached.argmax(1)
            began = reached[np.arange(len(periods)), came[frame]]
        ended[frame + periods, np.arange(len(periods))] = began + gain[frame]
    return _traced(ended, came, periods, n_frames, lead) - lead


def _traced(
    ended: np.ndarray, came: np.ndarray, periods: np.ndarray, n_frames: int, lead: int
) -> np.ndarray:
    """The beats that lead to the best end after all onsets."""
    ends = ended[n_frames:]
    frame, index = divmod(int(ends.argmax()), len(periods))
    frame += n_frames
    beats = [frame]
    while index >= 0:
        frame -= int(periods[index])
        beats.append(frame)
        index = int(came[frame, index])
    return np.array(beats[::-1])


def _snapped(beats: np.ndarray, onset: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Beats at the middle, by loudness, of the onsets near them; others stay."""
    order = np.argsort(onset, kind="stable")
    times, weights = onset[order], velocity[order].astype(np.float64)
    low = np.searchsorted(times, beats - SNAP_SECONDS)
    high = np.searchsorted(times, beats + SNAP_SECONDS, side="right")
    weight = np.append(0.0, np.cumsum(weights))
    moment = np.append(0.0, np.cumsum(weights * times))
    total = weight[high] - weight[low]
    near = (moment[high] - moment[low]) / np.where(total > 0, total, 1)
    return np.where(total > 0, near, beats)


def _downbeats(
    beats: np.ndarray,
    onset: np.ndarray,
    duration: np.ndarray,
    pitch: np.ndarray,
    velocity: np.ndarray,
) -> tuple[int, int]:
    """Beats a bar, and the first downbeat: where low, long and loud notes stand out most.

    Four beats unless three stand out more.
    """
    place = beats_at(beats, onset)
    beat = np.rint(place).astype(np.int64)
    on = np.abs(place - beat) < 1 / 8
    weight = velocity / 127 * (0.5 + _lowness(pitch)) * np.sqrt(np.minimum(duration, 2.0))
    accent = np.log1p(np.bincount(beat[on], weight[on], len(beats)))
    found = []
    for per_bar, hurdle in METERS.items():
        phase = np.arange(len(accent)) % per_bar
        for first in range(min(per_bar, len(accent) - 1)):
            stands_out = accent[phase == first].mean() - accent[phase != first].mean()
            found.append((float(stands_out) / hurdle, per_bar, -first))
    _, per_bar, first = max(found)
    return per_bar, -first
