import numpy as np
import pytest

from schemas import mock
from schemas.grid import quantise
from schemas.song import (
    Song,
    covered_ticks,
    make_notes,
    make_tempi,
    regular_bars,
    seconds_at,
)


def remade(song: Song, **changes: object) -> Song:
    fields = {
        name: getattr(song, name)
        for name in ("source", "source_key", "notes", "bars", "tempi", "meter_source")
    }
    return Song(**{**fields, **changes})


def test_arrays_are_read_only() -> None:
    song = mock.song("Piano: C4 D4 | E4")
    with pytest.raises(ValueError, match="read-only"):
        song.notes["pitch"][0] = 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"notes": make_notes([0], [0], [60], [80], [1])}, "less than a tick"),
        ({"notes": make_notes([-1], [6], [60], [80], [1])}, "before 0"),
        ({"notes": make_notes([0], [6], [128], [80], [1])}, "pitch over 127"),
        ({"notes": make_notes([0], [6], [60], [0], [1])}, "velocity outside"),
        ({"notes": make_notes([0], [6], [60], [80], [5])}, "track outside"),
        (
            {"notes": make_notes([0, 6], [6, 6], [60, 60], [80, 80], [1, 1])[::-1].copy()},
            "not sorted",
        ),
        ({"notes": make_notes([0], [97], [60], [80], [1])}, "bars end at tick"),
        ({"notes": make_notes([94], [1], [60], [80], [1])}, "bars end at tick"),
        ({"bars": regular_bars(96)[1:]}, "without gaps"),
        ({"tempi": make_tempi([1], [120.0])}, "rise from 0"),
        ({"tempi": make_tempi([0], [float("nan")])}, "positive number"),
        ({"meter_source": "guessed"}, "unknown meter_source"),
    ],
)
def test_what_a_reader_may_not_hand_on(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        remade(mock.song("Piano: C4 _ _ _"), **changes)


def test_regular_bars_cover_the_end_and_a_pick_up() -> None:
    assert regular_bars(97)["start"].tolist() == [0, 96]
    bars = regular_bars(100, 3, 4, first=24)
    assert bars["start"].tolist() == [0, 24, 96]
    assert bars["length"].tolist() == [24, 72, 72]


def test_an_onset_before_a_bar_line_needs_the_next_bar() -> None:
    notes = make_notes([93], [1], [60], [80], [1])
    assert covered_ticks(notes) == 97
    song = remade(
        mock.song("Piano: C4"), notes=notes, bars=regular_bars(covered_ticks(notes))
    )
    grid = quantise(song)
    assert (grid.bar[0], grid.position[0], grid.moved[0]) == (1, 0, 3)


def test_the_grid_is_the_nearest_sixteenth_of_the_nearest_bar() -> None:
    for song in mock.songs(20):
        grid = quantise(song)
        for note, bar, position, sixteenths, moved in zip(
            song.notes, grid.bar, grid.position, grid.sixteenths, grid.moved, strict=True
        ):
            sixteenth = int(
                np.floor(note["start"] / 6 + 0.5)
            )  # bars of 96 ticks: the grid is one ruler
            assert (bar, position) == divmod(sixteenth, 16)
            assert moved == sixteenth * 6 - note["start"]
            assert sixteenths == max(1, int(np.floor(note["duration"] / 6 + 0.5)))


def test_seconds_follow_tempo_changes() -> None:
    tempi = make_tempi([0, 48, 96], [120.0, 60.0, 240.0])
    # Two quarters at 120 (1 s), two at 60 (2 s), one at 240 (.25 s).
    assert seconds_at(tempi, np.array([0, 24, 48, 96, 120])).tolist() == [
        0.0,
        0.5,
        1.0,
        3.0,
        3.25,
    ]
