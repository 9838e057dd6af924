"""Rhythm: onsets and sounding notes per sixteenth, against a plain loop."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.features.rhythm import COLUMNS, compute
from schemas.grid import Grid, quantise
from schemas.song import BAR, Song, covered_ticks, make_notes, make_tempi


def loop_counts(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The slow simple way: walk every note from its onset, sixteenth by sixteenth."""
    onsets, sounding = np.zeros((2, len(grid.bar_positions), 16), int)
    for bar, position, left in zip(grid.bar, grid.position, grid.sixteenths, strict=True):
        if position < 16:
            onsets[bar, position] += 1
        while left and bar < len(grid.bar_positions):
            if position < 16:
                sounding[bar, position] += 1
            left, position = left - 1, position + 1
            if position == grid.bar_positions[bar]:
                bar, position = bar + 1, 0
    return onsets.clip(max=255).ravel(), sounding.clip(max=255).ravel()


def make_song(notes: list[tuple[int, ...]], lengths: list[int]) -> Song:
    """A Song of (start, duration, pitch, velocity, track) notes on bars of these
    lengths, the last repeated as needed."""
    columns = np.array(notes, int).reshape(-1, 5).T
    array = make_notes(*columns)
    while sum(lengths) < covered_ticks(array):
        lengths = [*lengths, lengths[-1]]
    bars = np.zeros(len(lengths), BAR)
    bars["length"], bars["numerator"], bars["denominator"] = lengths, 4, 4
    bars["start"] = np.cumsum([0, *lengths[:-1]])
    return Song("mock", "song", array, bars, make_tempi([0], [120.0]), "score")


NOTES = st.lists(
    st.tuples(
        st.integers(0, 600),
        st.integers(1, 300),
        st.integers(0, 127),
        st.integers(1, 127),
        st.integers(0, 4),
    ),
    max_size=40,
)
LENGTHS = st.lists(
    st.sampled_from([96, 72, 48, 120, 144, 6, 14, 90]), min_size=1, max_size=8
)


@given(NOTES, LENGTHS)
@settings(max_examples=200, deadline=None)
def test_equals_the_loop(notes, lengths):
    song = make_song(notes, lengths)
    grid = quantise(song)
    columns = compute(song, grid)
    assert tuple(columns) == COLUMNS
    for name, expected in zip(COLUMNS, loop_counts(grid), strict=True):
        assert columns[name].dtype == np.uint8
        np.testing.assert_array_equal(columns[name], expected)


def test_counts_by_hand():
    # Two notes at once, one of them over the bar line; a drum; a bar of 12 sixteenths.
    song = make_song(
        [(0, 6, 60, 80, 1), (66, 18, 64, 80, 3), (66, 6, 67, 80, 1), (12, 1, 36, 90, 0)],
        [72, 96],
    )
    columns = compute(song, quantise(song))
    onsets, sounding = (columns[name].reshape(-1, 16) for name in COLUMNS)
    assert onsets.shape == (2, 16)
    assert onsets[0].tolist() == [1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]
    assert sounding[0].tolist() == onsets[0].tolist()
    assert onsets[1].sum() == 0
    assert sounding[1].tolist() == [1, 1] + [0] * 14


def test_a_note_a_tick_early_is_in_the_next_bar():
    song = make_song([(95, 24, 60, 80, 1)], [96, 96])
    columns = compute(song, quantise(song))
    assert columns["rhythm_onsets"].reshape(-1, 16)[1, 0] == 1
    assert columns["rhythm_sounding"].reshape(-1, 16).sum(axis=1).tolist() == [0, 4]


def test_clipped_at_255():
    song = make_song([(0, 6, 60 + i % 40, 80, 1) for i in range(300)], [96])
    columns = compute(song, quantise(song))
    assert columns["rhythm_onsets"][0] == columns["rhythm_sounding"][0] == 255


def test_long_bars_keep_their_first_sixteen():
    song = make_song([(96, 6, 60, 80, 1), (90, 12, 62, 80, 1)], [144])
    columns = compute(song, quantise(song))
    assert np.flatnonzero(columns["rhythm_onsets"]).tolist() == [15]
    assert np.flatnonzero(columns["rhythm_sounding"]).tolist() == [15]


def test_no_notes():
    song = make_song([], [96, 96])
    assert compute(song, quantise(song))["rhythm_sounding"].tolist() == [0] * 32
