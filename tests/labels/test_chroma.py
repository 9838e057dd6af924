"""Chroma of notes and segments against slow sums, the alignment against the textbook
recursion, and what it tells."""

import numpy as np
import pytest

from pipelines.labels import chroma
from pipelines.labels.chroma import BAND, FRAMES, chroma_fit, note_chroma, segment_chroma
from schemas.song import PIANO, Song, covered_ticks, make_notes, make_tempi, regular_bars


def song_of(starts, durations, pitches, bpm=120.0, track=PIANO) -> Song:
    n = len(starts)
    notes = make_notes(starts, durations, pitches, np.full(n, 64), np.full(n, track))
    return Song(
        "x",
        "y",
        notes,
        regular_bars(covered_ticks(notes)),
        make_tempi([0], [bpm]),
        "assumed_4_4",
    )


def melody(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    durations = rng.choice([12, 24, 48], n)
    scale = np.array([0, 2, 4, 5, 7, 9, 11])
    # A melody that dwells on chords, so that its chroma moves through the piece.
    chord = np.repeat(rng.integers(0, 7, n // 6 + 1), 6)[:n]
    return (
        np.cumsum(durations) - durations,
        durations,
        60 + scale[(chord + rng.choice([0, 2, 4], n)) % 7],
    )


def test_note_chroma_sums_seconds_times_velocity():
    starts, durations, pitches = melody(0, 40)
    song = song_of(starts, durations, pitches)
    step = 60 / (120 * 24)
    width = (starts + durations).max() * step / FRAMES
    expected = np.zeros((FRAMES, 12))
    for start, duration, pitch in zip(
        starts * step, durations * step, pitches, strict=True
    ):
        for frame in range(FRAMES):
            low, high = (
                max(start, frame * width),
                min(start + duration, (frame + 1) * width),
            )
            expected[frame, pitch % 12] += 64 * max(0.0, high - low)
    np.testing.assert_allclose(note_chroma(song), expected, atol=1e-6)


def test_segment_chroma_is_the_time_weighted_sum():
    rng = np.random.default_rng(1)
    starts, pitches = np.sort(rng.random(50)) * 20, rng.random((50, 12))
    starts[0] = 0.0
    ends, width = np.append(starts[1:], 25.0), 25.0 / FRAMES
    expected = np.zeros((FRAMES, 12))
    for start, end, strength in zip(starts, ends, pitches, strict=True):
        for frame in range(FRAMES):
            expected[frame] += strength * max(
                0.0, min(end, (frame + 1) * width) - max(start, frame * width)
            )
    np.testing.assert_allclose(segment_chroma(starts, pitches, 25.0), expected, atol=1e-9)


def slow_alignment(likeness: np.ndarray) -> float:
    n = len(likeness)
    cost = np.full((n + 1, n + 1), np.inf)
    cost[0, 0] = 0
    for i in range(1, n + 1):
        for j in range(1, n + 1):
            if abs(i - j) <= round(n * BAND):
                here = 1 - likeness[i - 1, j - 1]
                cost[i, j] = min(
                    cost[i - 1, j - 1] + 2 * here,
                    cost[i - 1, j] + here,
                    cost[i, j - 1] + here,
                )
    return 1 - cost[n, n] / (2 * n)


@pytest.mark.parametrize("n", [1, 2, 9, 40])
def test_alignment_equals_the_recursion(n):
    likeness = np.random.default_rng(n).uniform(-1, 1, (3, n, n))
    np.testing.assert_allclose(
        chroma._aligned(likeness), [slow_alignment(one) for one in likeness]
    )


def as_audio(song: Song, stretch: float, noise: float) -> np.ndarray:
    """The song as segments of a quarter of a second of a performance that speeds up, with a
    floor of noise."""
    starts = np.arange(0, 200) / 200
    frames = note_chroma(song)
    at = np.minimum((starts**stretch * FRAMES).astype(int), FRAMES - 1)
    pitches = frames[at] / np.maximum(frames[at].max(axis=1, keepdims=True), 1e-9)
    pitches = np.clip(
        pitches * (1 - noise) + noise * np.random.default_rng(0).random((200, 12)), 0, 1
    )
    return segment_chroma(starts * 60, pitches, 60.0)


def test_the_same_music_fits_though_played_freely_and_others_do_not():
    songs = [song_of(*melody(seed)) for seed in range(6)]
    chromas = [note_chroma(song) for song in songs]
    audio = [as_audio(song, 1.08, 0.3) for song in songs]
    fits = np.array([[chroma_fit(one, other) for other in audio] for one in chromas])
    assert np.diag(fits).min() > 0.35
    assert (fits - np.diag(np.full(6, np.inf))).max() < np.diag(fits).min() - 0.1


def test_another_key_does_not_fit():
    starts, durations, pitches = melody(3)
    audio = as_audio(song_of(starts, durations, pitches), 1.0, 0.2)
    assert chroma_fit(note_chroma(song_of(starts, durations, pitches + 1)), audio) < 0.2


def test_silence_is_unknown():
    drums = song_of([0, 24], [1, 1], [36, 38], track=0)
    assert not note_chroma(drums).any() and not note_chroma(song_of([], [], [])).any()
    assert np.isnan(chroma_fit(note_chroma(drums), np.ones((FRAMES, 12))))
    # Equal strength throughout tells as little as silence.
    assert np.isnan(chroma_fit(note_chroma(song_of(*melody(0))), np.ones((FRAMES, 12))))
