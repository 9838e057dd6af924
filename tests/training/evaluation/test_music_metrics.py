"""Measures of music against MusPy and pypianoroll, which are the slow simple way, and by
hand where those have none."""

import itertools
import math

import muspy
import numpy as np
import pypianoroll
import pytest

from schemas import mock
from schemas.grid import quantise
from schemas.song import DRUMS, TRACKS, Song, make_notes
from training.evaluation.music_metrics import (
    MAJOR_SCALE,
    groove_consistency,
    music_metrics,
    scale_consistency,
    tonal_distance,
)

SONGS = mock.songs(12, seed=3, n_bars=6)


def on_grid(song: Song) -> muspy.Music:
    """The song's notes in MusPy, four steps a quarter note; its bars are all 4/4."""
    grid, notes = quantise(song), song.notes
    start = grid.bar * 16 + grid.position
    end = np.minimum(start + grid.sixteenths, 16 * len(song.bars))
    tracks = [
        muspy.Track(
            is_drum=track == DRUMS,
            notes=[
                muspy.Note(int(s), int(pitch), int(e - s), 80)
                for s, e, pitch, of in zip(
                    start, end, notes["pitch"], notes["track"], strict=True
                )
                if of == track
            ],
        )
        for track in range(len(TRACKS))
    ]
    return muspy.Music(resolution=4, tracks=tracks)


@pytest.mark.parametrize("song", SONGS, ids=lambda song: song.source_key[-2:])
def test_equals_muspy(song: Song) -> None:
    found, music = music_metrics(song), on_grid(song)
    assert found["pitch_range"] == muspy.pitch_range(music)
    assert found["pitch_classes"] == muspy.n_pitch_classes_used(music)
    assert found["pitch_class_entropy"] == pytest.approx(muspy.pitch_class_entropy(music))
    assert found["polyphony"] == pytest.approx(muspy.polyphony(music))
    assert found["scale_consistency"] == pytest.approx(muspy.scale_consistency(music))
    # MusPy counts steps up to the last note's end, and measures up to the one that starts
    # there: silence after it is ours.
    steps = music.get_end_time()
    assert found["polyphonic_share"] * 16 * len(song.bars) == pytest.approx(
        muspy.polyphony_rate(music) * steps
    )


def test_groove_equals_muspy_where_the_last_bar_is_not_full() -> None:
    song = mock.song(
        "Piano: C4 D4 E4 F4 | G4 - - A4 | C4 D4 - F4 | C4 D4 E4 -\nDrums: - C2 - C2 | C2 - - - | - - C2 - | C2 - - -"
    )
    assert groove_consistency(song) == pytest.approx(
        muspy.groove_consistency(on_grid(song), 16)
    )
    assert 0.5 < groove_consistency(song) < 1


def test_groove_is_one_for_a_repeated_bar_and_nothing_for_one_bar() -> None:
    assert groove_consistency(mock.song("Piano: C4 - E4 - | G4 - A4 -")) == 1
    assert math.isnan(groove_consistency(mock.song("Piano: C4 - E4 -")))


def centroid(classes: np.ndarray) -> list[float]:
    """Harte, Sandler and Gasser (2006), eqs. (2) and (3), a term at a time."""
    point = [0.0] * 6
    for one in classes:
        for axis, (shift_emotion, radius) in enumerate(
            ((7 / 6, 1.0), (3 / 2, 1.0), (2 / 3, 0.5))
        ):
            point[2 * axis] += (
                radius * math.sin(one * shift_emotion * math.pi) / len(classes)
            )
            point[2 * axis + 1] += (
                radius * math.cos(one * shift_emotion * math.pi) / len(classes)
            )
    return point


# pypianoroll has this measure too, but its chroma is of blocks of ten pitches: the formula
# is the oracle.
@pytest.mark.parametrize("seed", range(8))
def test_tonal_distance_of_a_beat_is_hartes(seed: int) -> None:
    random = np.random.default_rng(seed)
    chords = [random.choice(12, 3, replace=False) for _ in range(2)]
    chroma = [np.bincount(chord, minlength=12)[None] * 4 for chord in chords]
    assert tonal_distance(*chroma) == pytest.approx(math.dist(*map(centroid, chords)))


def test_tonal_distance_is_over_beats_where_both_tracks_sound() -> None:
    near = music_metrics(mock.song("Piano: C4 E4 G4 C5\nBass: C2 C2 C2 -"))[
        "tonal_distance"
    ]
    far = music_metrics(mock.song("Piano: C4 E4 G4 C5\nBass: F#2 F#2 F#2 -"))[
        "tonal_distance"
    ]
    assert far > near > 0
    assert math.isnan(
        music_metrics(mock.song("Piano: C4 - E4 -\nBass: - C2 - E2"))["tonal_distance"]
    )


def test_qualified_notes_of_one_pitch_equal_pypianorolls() -> None:
    # pypianoroll measures lengths in cells of its flattened roll, 128 a step, which is
    # right for one pitch alone.
    lengths = np.array([1, 2, 3, 4, 6, 12])
    starts = np.arange(len(lengths)) * 24
    notes = make_notes(starts, lengths, [60] * 6, [80] * 6, [1] * 6)
    song = mock.song("Piano: " + " | ".join(["- - - -"] * 2))
    song = Song("mock", "lengths", notes, song.bars, song.tempi, "score")
    pianoroll = np.zeros((24 * 6, 128))
    for start, length in zip(starts, lengths, strict=True):
        pianoroll[start : start + length, 60] = True
    assert (
        music_metrics(song)["qualified_notes"]
        == pypianoroll.qualified_note_rate(pianoroll, threshold=3 * 128)
        == 4 / 6
    )


def test_drum_pattern_equals_pypianorolls() -> None:
    starts = np.array([0, 1, 3, 6, 11, 12, 17, 20, 24])
    notes = make_notes(starts, [1] * 9, [36] * 9, [80] * 9, [DRUMS] * 9)
    empty = mock.song("Piano: - - - -")
    song = Song("mock", "drums", notes, empty.bars, empty.tempi, "score")
    # pypianoroll tiles its pattern over four beats of six ticks: one quarter note of ours
    # at a time.
    pianoroll = np.zeros((24, 128), bool)
    pianoroll[starts[:-1], 36] = True
    first = pypianoroll.drum_in_pattern_rate(pianoroll, 24)
    assert music_metrics(song)["drum_pattern"] == pytest.approx((first * 8 + 1) / 9)


def test_empty_bars_are_those_in_which_nothing_sounds() -> None:
    assert (
        music_metrics(
            mock.song("Piano: C4 - - - | - - - - | - - - C4 | C4 - - - | - - - -")
        )["empty_bars"]
        == 0.4
    )
    # The held note crosses the bar line: the bar after it is not empty.
    held = mock.song("Piano: C4 - - - | - - - - | - - - - | - - - -")
    notes = make_notes([0], [96 * 3], [60], [80], [1])
    assert (
        music_metrics(Song("mock", "held", notes, held.bars, held.tempi, "score"))[
            "empty_bars"
        ]
        == 0.25
    )


def test_the_best_scale_is_found_whatever_its_root() -> None:
    for root in range(12):
        assert scale_consistency(60 + (root + MAJOR_SCALE)) == 1
    chromatic = np.arange(60, 72)
    brute = max(
        np.isin(chromatic % 12, [(root + step) % 12 for step in scale]).mean()
        for root, scale in itertools.product(
            range(12), ([0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 10])
        )
    )
    assert scale_consistency(chromatic) == brute


def test_a_song_without_notes_has_nothing_to_measure() -> None:
    empty = mock.song("Piano: - - - - | - - - -")
    found = music_metrics(
        Song("mock", "none", empty.notes[:0], empty.bars, empty.tempi, "score")
    )
    assert (
        found["empty_bars"] == 1
        and found["pitch_classes"] == 0
        and found["polyphonic_share"] == 0
    )
    assert all(
        math.isnan(found[name])
        for name in ("pitch_range", "polyphony", "scale_consistency", "drum_pattern")
    )
