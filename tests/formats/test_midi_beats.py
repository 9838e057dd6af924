"""Beats tracked from notes: the best of all sequences, and the beats of played tunes."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from pipelines.formats import midi_beats
from pipelines.formats.midi_beats import beats_at, grid_fit, track_beats

# A waltz and a march, eight bars each: (beat, beats long, pitch), with a bass on the downbeat
WALTZ = [(3 * bar, 3, 40) for bar in range(8)] + [
    (3 * bar + beat, 1, pitch)
    for bar in range(8)
    for beat, pitch in ((0, 72), (1, 64), (1.5, 67), (2, 64), (2.5, 65))
]
MARCH = [(4 * bar, 4, 36) for bar in range(8)] + [
    (4 * bar + beat, 0.5, pitch)
    for bar in range(8)
    for beat, pitch in (
        (0, 72),
        (0.5, 74),
        (1, 76),
        (1.75, 74),
        (2, 72),
        (3, 67),
        (3.5, 69),
    )
]


def played(
    score: list[tuple[float, float, int]], period: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(onsets, durations, pitches) in seconds by uneven hands whose tempo wanders."""
    random = np.random.default_rng(seed)
    beat, long, pitch = (np.array(column, float) for column in zip(*score, strict=True))
    wander = np.exp(0.08 * np.sin(np.arange(int(beat.max()) + 3) / 5))
    moments = np.append(1.7, 1.7 + np.cumsum(period * wander))
    onset = np.interp(beat, np.arange(len(moments)), moments)
    return onset + random.normal(0, 0.012, len(beat)), long * period, pitch


@pytest.mark.parametrize("period", [0.45, 0.6, 0.75])
@pytest.mark.parametrize(("score", "per_bar"), [(WALTZ, 3), (MARCH, 4)])
def test_beats_of_a_played_tune(
    score: list[tuple[float, float, int]], per_bar: int, period: float
) -> None:
    onset, long, pitch = played(score, period, seed=per_bar)
    beats = track_beats(onset, long, pitch, np.full(len(pitch), 80))
    wanted = np.array([beat for beat, _, _ in score])
    found = beats_at(beats.seconds, onset)
    # Counted from the first beat of a bar, as the score counts
    shift = np.rint(np.median(found - wanted))
    assert np.abs(found - wanted - shift).max() < 0.15
    assert (beats.per_bar, (shift - beats.first_downbeat) % per_bar) == (per_bar, 0)
    assert beats.confidence > 0.5
    assert beats.seconds[0] <= onset.min() + 0.05 and beats.seconds[-1] > onset.max()
    assert (np.diff(beats.seconds) > 0.2).all()


def every_way(n_frames: int, lead: int, periods: list[int]) -> Iterator[list[int]]:
    """All beats that begin in the first lead + 1 frames and end after n_frames."""
    ways = [[start] for start in range(lead + 1)]
    while ways:
        way = ways.pop()
        if way[-1] >= n_frames:
            yield way
            continue
        # A beat at or before the first onset has none before it
        if len(way) == 1 or way[-1] > lead:
            ways += [[*way, way[-1] + period] for period in periods]


def test_no_other_beats_are_likelier(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SHORTEST_FRAMES", 3), ("LONGEST_FRAMES", 5), ("N_PERIODS", 3)):
        monkeypatch.setattr(midi_beats, name, value)
    monkeypatch.setattr(midi_beats, "PERIOD_WEIGHT", 50.0)
    heard = np.random.default_rng(3).random(11).round(1).astype(np.float32)
    heard[0] = 1.0

    def worth(way: list[int]) -> float:
        padded = np.concatenate([np.zeros(5), heard, np.zeros(5)])
        total, before = 0.0, 0
        for begin, end in pairwise(way):
            period = end - begin
            octaves = np.log2(period * 0.01 / 0.6) / midi_beats.PERIOD_OCTAVES
            total -= 0.5 * octaves**2 * 50.0 * period * 0.01
            total += float(padded[begin:end] @ midi_beats._place_weights(period))
            if before:
                total -= midi_beats.CHANGE_COST * abs(np.log2(period / before))
            before = period
        return total

    ways = list(every_way(5 + len(heard), 5, [3, 4, 5]))
    found = (midi_beats._best_beats(heard) + 5).tolist()
    assert len(ways) > 100 and found in ways
    assert worth(found) == pytest.approx(max(map(worth, ways)), abs=1e-4)


def test_grid_fit_is_the_mean_distance_against_chance() -> None:
    random = np.random.default_rng(0)
    grid = [0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1]
    places = 30 * random.random(4000)
    away = [min(abs(place % 1 - point) for point in grid) for place in places]
    chance = sum((b - a) ** 2 / 4 for a, b in pairwise(grid))
    assert grid_fit(places) == pytest.approx(max(0, 1 - np.mean(away) / chance))
    assert grid_fit(places) < 0.05
    assert grid_fit(np.array([0, 7.25, 3 + 1 / 3, 4.5])) == pytest.approx(1)
    assert grid_fit(np.array([])) == 0


def test_a_single_note_and_a_single_chord_have_beats() -> None:
    for n_notes in (1, 4):
        beats = track_beats(
            np.full(n_notes, 3.2),
            np.ones(n_notes),
            np.arange(60, 60 + n_notes),
            np.full(n_notes, 64),
        )
        assert len(beats.seconds) >= 2 and beats.first_downbeat < len(beats.seconds)
