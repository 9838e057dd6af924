"""Measures of music that need no model: what MusPy, pypianoroll and MuseGAN report, over
note arrays, in NumPy.

They stand beside the controls of a generator: a class that is hit by writing noise shows
here. Time is in sixteenths of the song's own bars, so that real songs and written ones are
looked at alike.
"""

from itertools import combinations

import numpy as np

from schemas.grid import quantise
from schemas.song import DRUMS, TICKS_PER_QUARTER, TRACKS, Song
from training.evaluation.metrics import mean

SIXTEENTHS_PER_BEAT = 4
MAJOR_SCALE = np.array([0, 2, 4, 5, 7, 9, 11])
# Notes shorter than a 32nd are fragments (MuseGAN, section 5.2).
QUALIFIED_TICKS = TICKS_PER_QUARTER // 8
# MuseGAN's drum pattern: on a sixteenth, or a tick beside one for a tenth.
DRUM_PATTERN = np.array([1.0, 0.1, 0.0, 0.0, 0.0, 0.1])
# Harte, Sandler and Gasser (2006), eq. (3): circles of fifths, minor thirds and major
# thirds, with their radii.
TONAL_CIRCLES = ((7 / 6, 1.0), (3 / 2, 1.0), (2 / 3, 0.5))


def music_metrics(song: Song) -> dict[str, float]:
    """All measures of one song by name; NaN where a song has nothing to measure.

    pitch_range in semitones, pitch_classes used, pitch_class_entropy in bits; polyphony:
    pitches sounding where any does; polyphonic_share: of sixteenths with more than two;
    scale_consistency: share of notes in the best major or minor scale (Mogren 2016);
    groove_consistency: of onsets from one bar to the next (MusPy); empty_bars: share in
    which nothing sounds; qualified_notes: share of a 32nd and longer; drum_pattern: share
    of drum onsets on a sixteenth; tonal_distance between two tracks over the beats where
    both sound, mean of all pairs. Drums count for the last measures of rhythm alone.
    """
    notes = song.notes
    pitched = notes[notes["track"] != DRUMS]
    sounding = _rolls(song)
    together = sounding[1:].any(0).sum(1)
    return {
        "pitch_range": float(np.ptp(pitched["pitch"])) if len(pitched) else float("nan"),
        "pitch_classes": float(len(np.unique(pitched["pitch"] % 12))),
        "pitch_class_entropy": _entropy(np.bincount(pitched["pitch"] % 12, minlength=12)),
        "polyphony": mean(together[together > 0]),
        "polyphonic_share": mean(together > 2),
        "scale_consistency": scale_consistency(pitched["pitch"]),
        "groove_consistency": groove_consistency(song),
        "empty_bars": _empty_bars(song, np.any(sounding, axis=(0, 2))),
        "qualified_notes": mean(notes["duration"] >= QUALIFIED_TICKS),
        "drum_pattern": mean(
            DRUM_PATTERN[notes["start"][notes["track"] == DRUMS] % len(DRUM_PATTERN)]
        ),
        "tonal_distance": mean(
            np.array(
                [
                    tonal_distance(a, b)
                    for a, b in combinations(_chroma_of_beats(sounding[1:]), 2)
                ]
            )
        ),
    }


def scale_consistency(pitches: np.ndarray) -> float:
    """Largest share of pitches in one of the twelve diatonic scales (a natural minor is its
    relative major)."""
    if not len(pitches):
        return float("nan")
    classes = np.bincount(pitches % 12, minlength=12)
    return float(
        max(classes[(root + MAJOR_SCALE) % 12].sum() for root in range(12)) / len(pitches)
    )


def groove_consistency(song: Song) -> float:
    """1 − mean Hamming distance of the onsets of neighbouring bars, a sixteenth each;
    NaN for a single bar (MusPy)."""
    grid = quantise(song)
    if len(song.bars) < 2:
        return float("nan")
    onsets = np.zeros((len(song.bars), int(grid.bar_positions.max())), bool)
    onsets[grid.bar, grid.position] = True
    return float(1 - (onsets[1:] != onsets[:-1]).mean())


def tonal_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of two tracks' tonal centroids over the beats in which both sound;
    chroma (n_beats, 12) of each."""
    both = (a.sum(1) > 0) & (b.sum(1) > 0)
    if not both.any():
        return float("nan")
    classes = np.arange(12)
    space = np.stack(
        [
            radius * wave(classes * turn * np.pi)
            for turn, radius in TONAL_CIRCLES
            for wave in (np.sin, np.cos)
        ]
    )
    centroids = [
        chroma[both] / chroma[both].sum(1, keepdims=True) @ space.T for chroma in (a, b)
    ]
    return float(np.linalg.norm(centroids[0] - centroids[1], axis=1).mean())


def _rolls(song: Song) -> np.ndarray:
    """Which pitch of which track sounds in which sixteenth: bool (n_tracks,
    n_sixteenths, 128)."""
    grid, notes = quantise(song), song.notes
    first = np.cumsum(grid.bar_positions) - grid.bar_positions
    start = first[grid.bar] + grid.position
    end = np.minimum(start + grid.sixteenths, grid.bar_positions.sum())
    edges = np.zeros((len(TRACKS), int(grid.bar_positions.sum()) + 1, 128), np.int32)
    np.add.at(edges, (notes["track"], start, notes["pitch"]), 1)
    np.add.at(edges, (notes["track"], end, notes["pitch"]), -1)
    return edges.cumsum(1)[:, :-1] > 0


def _chroma_of_beats(rolls: np.ndarray) -> list[np.ndarray]:
    """Sounding sixteenths of each pitch class in each beat, of every track that sounds:
    (n_beats, 12)."""
    beats = rolls.shape[1] // SIXTEENTHS_PER_BEAT
    classes = np.pad(
        rolls[:, : beats * SIXTEENTHS_PER_BEAT], ((0, 0), (0, 0), (0, 4))
    ).reshape(len(rolls), beats, -1, 12)
    return [track.sum(1) for track in classes if track.any()]


def _empty_bars(song: Song, sounds: np.ndarray) -> float:
    """Share of bars without a sounding sixteenth; sounds: bool (n_sixteenths)."""
    positions = quantise(song).bar_positions
    bar = np.repeat(np.arange(len(positions)), positions)
    return float((np.bincount(bar, sounds, len(positions)) == 0).mean())


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(share * np.log2(share)).sum()) if len(share) else float("nan")
