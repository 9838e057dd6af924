"""The key of a song by its table of weights: against loops over keys and degrees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.features.key.bass import NO_BASS, Bass, phrase_starts
from pipelines.features.key.path import path_gain
from pipelines.features.key.pitch_classes import HALF_WINDOW, window_means
from pipelines.features.key.reading import Reading, lowered, raised_keys
from pipelines.features.key.song_key import (
    EDGE_DEGREES,
    OPENING_DEGREES,
    chances,
    song_scores,
    window_scores,
)
from pipelines.features.key.song_weights import FITTED


def reading_of(seed: int, n_bars: int, polyphonic: bool) -> Reading:
    """Bars of random pitch classes, every third of them empty."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 97, (n_bars, 12)) * (rng.random((n_bars, 12)) < 0.4)
    weights[::3] = 0
    weights[-1, seed % 12] = 96
    opening = rng.integers(0, 13, n_bars) if polyphonic else np.full(n_bars, NO_BASS)
    closing = np.append(rng.integers(0, 13, n_bars - 1), seed % 12)
    first = next((int(pitch) for pitch in opening if pitch != NO_BASS), NO_BASS)
    bass = Bass(opening, closing, first, seed % 12, polyphonic, 0)
    return Reading(weights.astype(float), bass, phrase_starts(bass))


def loop_scores(reading: Reading) -> list[float]:
    """The slow simple way: key by key, degree by degree."""
    bass = reading.bass
    bars = [bar / bar.sum() for bar in reading.weights if bar.sum() > 0]
    opening = [int(pitch) for pitch in bass.opening if pitch != NO_BASS]
    starts = reading.phrase_start.tolist()
    ends = [
        int(pitch)
        for pitch, ends_phrase in zip(bass.closing, [*starts[1:], True], strict=True)
        if ends_phrase and pitch != NO_BASS
    ]
    scores = []
    for key in range(24):
        profile = FITTED.minor if key >= 12 else FITTED.major
        score = FITTED.minor_key if key >= 12 else 0.0
        for degree in range(12):
            share = sum(bar[(key + degree) % 12] for bar in bars) / len(bars)
            score += profile[degree] * share**0.5
        if bass.polyphonic:
            for degree, weight in zip(OPENING_DEGREES, FITTED.opening_bass, strict=True):
                if opening:
                    over = [pitch == (key + degree) % 12 for pitch in opening]
                    score += weight * sum(over) / len(opening)
            for edge, pitch in (
                (FITTED.first_bass, bass.first),
                (FITTED.last_bass, bass.last),
            ):
                for degree, weight in zip(EDGE_DEGREES, edge, strict=True):
                    score += weight * (pitch == (key + degree) % 12)
        else:
            on_tonic = [pitch == key % 12 for pitch in ends]
            score += FITTED.melody_phrase * sum(on_tonic) / max(1, len(ends))
            score += FITTED.melody_last * (bass.last == key % 12)
        scores.append(score)
    return scores


@pytest.mark.parametrize("polyphonic", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_scores_equal_the_loop(seed, polyphonic):
    reading = reading_of(seed, 20, polyphonic)
    np.testing.assert_allclose(song_scores(reading, FITTED), loop_scores(reading))


@pytest.mark.parametrize("polyphonic", [True, False])
def test_a_window_over_everything_says_what_the_song_does_but_for_its_edges(polyphonic):
    reading = reading_of(3, 5, polyphonic)
    middle = window_scores(reading, FITTED)[2]
    bass = reading.bass
    edges = np.zeros(24)
    for key in range(24):
        if polyphonic:
            for edge, pitch in (
                (FITTED.first_bass, bass.first),
                (FITTED.last_bass, bass.last),
            ):
                for degree, weight in zip(EDGE_DEGREES, edge, strict=True):
                    edges[key] += weight * (pitch == (key + degree) % 12)
        else:
            edges[key] += FITTED.melody_phrase * (bass.closing[-1] == key % 12)
            edges[key] += FITTED.melody_last * (bass.last == key % 12)
    np.testing.assert_allclose(middle + edges, song_scores(reading, FITTED))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_window_means_equal_the_loop(numbers):
    values = np.array(numbers, float)[:, None]
    counted = values[:, 0] > 0
    found = window_means(values, counted)
    for bar in range(len(numbers)):
        around = numbers[max(0, bar - HALF_WINDOW) : bar + HALF_WINDOW + 1]
        heard = [number for number in around if number > 0]
        assert found[bar, 0] == pytest.approx(sum(heard) / max(1, len(heard)))


@pytest.mark.parametrize("up", range(12))
def test_a_lowered_song_has_lowered_scores(up):
    reading = reading_of(up, 12, True)
    moved = lowered(reading, up)
    assert moved.bass.last == (reading.bass.last - up) % 12
    np.testing.assert_allclose(
        song_scores(moved, FITTED)[raised_keys(-up)], song_scores(reading, FITTED)
    )
    again = lowered(moved, -up)
    np.testing.assert_array_equal(again.weights, reading.weights)
    np.testing.assert_array_equal(again.bass.opening, reading.bass.opening)


def test_chances_add_up_however_large_the_scores():
    found = chances(np.array([[0.0] * 24, [1000.0] + [0.0] * 23]))
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    np.testing.assert_allclose(found[0], 1 / 24)


def test_the_gain_of_a_path_is_counted_by_hand():
    moves = np.log(np.array([[[0.9, 0.1], [0.1, 0.9]]]))
    evidence = np.array([[2.0, 0.0], [2.0, 0.0], [0.0, 5.0], [0.0, 5.0]])
    table = np.zeros(4, int)
    path = np.array([0, 0, 1, 1])
    of_path = 14 + 2 * np.log(0.9) + np.log(0.1)
    of_one_key = 10 + 3 * np.log(0.9)
    expected = (of_path - of_one_key) / 4
    assert path_gain(path, evidence, moves, table) == pytest.approx(expected)
    assert path_gain(np.zeros(4, int), evidence, moves, table) == -np.inf
