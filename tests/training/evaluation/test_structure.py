"""Structure of pieces that one can count by hand."""

import math

import pytest

from schemas import mock
from training.evaluation.structure import structure


def test_a_loop_repeats_and_a_transposed_figure_is_a_figure():
    loop = structure(mock.song("Piano: C4 D4 E4 F4 | C4 D4 E4 F4 | C4 D4 E4 F4"))
    assert loop == {"repeated": 1, "figures": 1, "answered": 1}
    moved = structure(mock.song("Piano: C4 D4 E4 F4 | G4 A4 B4 C5 | C4 - - F4"))
    # The second bar has nothing of the first but its rhythm, the third two notes of the first.
    assert moved["repeated"] == pytest.approx((0 + 2 / 4) / 2)
    assert moved["figures"] == pytest.approx((1 + 2 / 4) / 2) == moved["answered"]


def test_empty_bars_are_stepped_over_and_a_bar_alone_has_no_structure():
    gap = structure(mock.song("Piano: C4 D4 | - - | C4 D4"))
    assert gap == {"repeated": 1, "figures": 1, "answered": 1}
    assert all(math.isnan(value) for value in structure(mock.song("Piano: C4 D4")).values())


def test_tracks_are_told_apart():
    two = structure(mock.song("Piano: C4 - | - -\nBass: - - | C4 -"))
    assert two == {"repeated": 0, "figures": 0, "answered": 0}
