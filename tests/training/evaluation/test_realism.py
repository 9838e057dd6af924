"""Overlap with training bars against Python's sets, distances against SciPy's; copies
are found, judges' songs are not."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from schemas import mock
from schemas.grid import quantise
from schemas.labels import QUADRANTS
from schemas.remi import HIGHEST_PITCH, LOWEST_PITCH, N_BEATS
from schemas.song import Song, make_notes
from training.config import DataConfig
from training.data.cache import Split, open_split, prepare
from training.data.release import open_release
from training.data.views import song_of
from training.evaluation.baselines import Retrieval
from training.evaluation.evaluate import EvaluateConfig, emotion_report
from training.evaluation.handcrafted import feature_table
from training.evaluation.outputs import run_model
from training.evaluation.realism import TrainingBars, distance_to_real, wasserstein
from training.generation.writing import Writer

from ..conftest import mock_rows, release_row, write_release

# Wide enough that no bar is thinned.
DATA = DataConfig(bars=3, tokens_per_bar=256)
TUNE = "Piano: C4 E4 G4 C5 | C4 A4 F4 C5 | D4 G4 B4 G4\nDrums: C2 E2 C2 E2 | C2 E2 C2 E2 | C2 - - -"
JUDGES_TUNE = "Piano: C4 Eb4 F4 Ab4 | Db4 F4 Gb4 Bb4\nBass: Ab1 - - - | Gb1 - - -"
N_JUDGES = 4


def open_splits(
    folder: Path, rows: dict[str, list[dict[str, Any]]], data: DataConfig = DATA
) -> tuple[Split, Split]:
    """Training and test split of a release of `rows`."""
    made = prepare(open_release(write_release(folder / "release", rows)), data)
    return open_split(made, "train"), open_split(made, "test")


def rows_with_judges() -> dict[str, list[dict[str, Any]]]:
    """Made-up songs, the first of training for judges."""
    rows = mock_rows()
    for row in rows["train"][:N_JUDGES]:
        row["judge"] = True
    return rows


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Split, Split]:
    return open_splits(tmp_path_factory.mktemp("realism"), rows_with_judges())


@pytest.fixture(scope="module")
def tunes(tmp_path_factory: pytest.TempPathFactory) -> TrainingBars:
    """TUNE is a generator's to hear, JUDGES_TUNE is not."""
    rows = [
        release_row(mock.song(TUNE, key="a"), 0),
        release_row(mock.song(JUDGES_TUNE, key="b"), 1, judge=True),
    ]
    of_split = {"train": rows, "validation": rows[:1], "test": rows[:1]}
    return TrainingBars(open_splits(tmp_path_factory.mktemp("tunes"), of_split)[0])


def bars_of(song: Song) -> list[set[tuple[int, int, int]]]:
    """(position, track, pitch) of each bar, as far as tokens say them."""
    bars: list[set[tuple[int, int, int]]] = [set() for _ in song.bars]
    grid = quantise(song)
    for note, bar, position in zip(
        song.notes, grid.bar.tolist(), grid.position.tolist(), strict=True
    ):
        if position < N_BEATS and LOWEST_PITCH <= note["pitch"] <= HIGHEST_PITCH:
            bars[bar].add((position, int(note["track"]), int(note["pitch"])))
    return bars


def with_share(song: Song, other: Song, share: float, random: np.random.Generator) -> Song:
    """A share of a song's notes, and of another's the rest."""
    notes = np.concatenate(
        [
            one.notes[random.random(len(one.notes)) < kept]
            for one, kept in ((song, share), (other, 1 - share))
        ]
    )
    columns = [notes[name] for name in ("start", "duration", "pitch", "velocity", "track")]
    bars = max(song.bars, other.bars, key=len)
    return Song("mock", "mixed", make_notes(*columns), bars, song.tempi, song.meter_source)


def with_values(song: Song, **values: Any) -> Song:
    """A song, some columns of whose notes are others."""
    notes = song.notes.copy()
    for name, value in values.items():
        notes[name] = value
    return replace(song, notes=notes)


@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_overlap_is_that_of_sets(splits: tuple[Split, Split], share: float) -> None:
    songs, random = mock.songs(14), np.random.default_rng(0)
    written = [with_share(songs[at], songs[at + 1], share, random) for at in (2, 6, 11)]
    known = [bar for song in songs[N_JUDGES:12] for bar in bars_of(song)]
    wanted = [
        max(len(bar & other) / len(bar | other) for other in known)
        for song in written
        for bar in bars_of(song)
        if len(bar) >= 4
    ]
    found = TrainingBars(splits[0]).nearest(written)
    assert found.tolist() == pytest.approx(wanted)
    assert len(np.unique(found)) > 10


def test_half_a_note_at_the_end_of_a_cut_bar_is_none(tmp_path: Path) -> None:
    # 31 tokens cut most bars behind a Pitch or a Velocity: what the tokens say as a song
    # has to be the same bars.
    training, _ = open_splits(
        tmp_path, rows_with_judges(), replace(DATA, tokens_per_bar=31, overflow="tail")
    )
    assert training.counts["notes_cut"] > 1000
    ends = training.bar_offset[training.first_bar + training.n_bars]
    starts = training.bar_offset[training.first_bar]
    songs = [song_of(training.tokens[a:b]) for a, b in zip(starts, ends, strict=True)]
    found = TrainingBars(training).overlap(songs[N_JUDGES:])
    assert found["nearest_bar"] == found["copied_bars"] == 1 and found["n"] >= 90


def test_a_bar_written_again_is_a_copy_wherever_it_stands(tunes: TrainingBars) -> None:
    assert tunes.overlap([mock.song(TUNE)]) == {"nearest_bar": 1, "copied_bars": 1, "n": 3}
    # Neither the order of bars nor how long or loud a note is makes it another.
    song = mock.song(
        "Piano: - | D4 G4 B4 G4 | C4 E4 G4 C5\nDrums: - | C2 - - - | C2 E2 C2 E2", bpm=70.0
    )
    again = with_values(song, velocity=30, duration=7)
    assert tunes.overlap([again]) == {"nearest_bar": 1, "copied_bars": 1, "n": 2}


@pytest.mark.parametrize("track", ["Guitar", "Bass"])
def test_transposed_or_on_another_track_it_is_none(tunes: TrainingBars, track: str) -> None:
    song = mock.song("Piano: C4 E4 G4 C5 | C4 A4 F4 C5")
    moved = with_values(song, pitch=song.notes["pitch"] + 1)
    # Four of the eight notes of a training bar.
    assert tunes.nearest([song]).tolist() == [0.5, 0.5]
    assert tunes.overlap([moved])["copied_bars"] == 0 and tunes.nearest([moved]).max() < 0.2
    assert tunes.nearest([mock.song(f"{track}: C4 E4 G4 C5 | C4 A4 F4 C5")]).max() < 0.2


def test_overlap_by_hand(tunes: TrainingBars) -> None:
    # Of the third bar's five notes four are written, and one beside them.
    song = mock.song("Piano: D4 G4 B4 A4\nDrums: C2 - - -")
    assert tunes.overlap([song]) == {
        "nearest_bar": pytest.approx(4 / 6),
        "copied_bars": 0,
        "n": 1,
    }


def test_a_bar_that_lacks_one_note_of_many_is_no_copy(splits: tuple[Split, Split]) -> None:
    song = mock.songs(12)[7]
    said = np.flatnonzero(
        (song.notes["pitch"] >= LOWEST_PITCH) & (song.notes["pitch"] <= HIGHEST_PITCH)
    )
    found = TrainingBars(splits[0]).overlap(
        [replace(song, notes=np.delete(song.notes, said[40]))]
    )
    assert (
        found["copied_bars"] == pytest.approx(1 - 1 / found["n"])
        and 1 - 0.1 / found["n"] < found["nearest_bar"] < 1
    )


def test_songs_for_judges_are_not_training_bars(
    tunes: TrainingBars, splits: tuple[Split, Split]
) -> None:
    assert tunes.overlap([mock.song(JUDGES_TUNE)])["nearest_bar"] < 0.3
    trained_on, songs = TrainingBars(splits[0]), mock.songs(12)
    assert trained_on.overlap(songs[:N_JUDGES])["copied_bars"] == 0
    assert trained_on.overlap(songs[N_JUDGES:])["copied_bars"] == 1


def test_where_no_bar_has_four_notes_there_is_nothing_to_say(tunes: TrainingBars) -> None:
    for songs in ([], [mock.song("Piano: C4 E4 G4 - | - - - -")]):
        found = tunes.overlap(songs)
        assert (
            found["n"] == 0
            and math.isnan(found["nearest_bar"])
            and math.isnan(found["copied_bars"])
        )


def test_where_all_songs_are_for_judges_nothing_overlaps(tmp_path: Path) -> None:
    rows = {
        split: [release_row(mock.song(TUNE), 0, judge=True)]
        for split in ("train", "validation", "test")
    }
    assert TrainingBars(open_splits(tmp_path, rows)[0]).nearest(
        [mock.song(TUNE)]
    ).tolist() == [
        0,
        0,
        0,
    ]


samples = st.lists(
    st.integers(-1000, 1000).map(lambda value: value / 8), min_size=1, max_size=30
).map(np.array)
varied = samples.filter(lambda values: np.ptp(values) > 0)


@settings(deadline=None)
@given(samples, samples)
def test_wasserstein_equals_scipys(some: np.ndarray, others: np.ndarray) -> None:
    assert wasserstein(some, others) == pytest.approx(
        wasserstein_distance(some, others), abs=1e-9
    )


@settings(deadline=None)
@given(samples, st.integers(1, 5))
def test_wasserstein_of_one_size_is_the_mean_gap_of_the_sorted(
    some: np.ndarray, seed: int
) -> None:
    others = np.random.default_rng(seed).normal(size=len(some))
    assert wasserstein(some, others) == pytest.approx(
        np.abs(np.sort(some) - np.sort(others)).mean()
    )


@settings(deadline=None)
@given(varied, varied, st.floats(-3, 3))
def test_distance_is_none_to_itself_symmetric_in_one_unit_and_k_for_a_shift(
    a: np.ndarray, b: np.ndarray, k: float
) -> None:
    assert distance_to_real(a[:, None], a[::-1, None]) == 0
    there, back = (
        distance_to_real(a[:, None], b[:, None]),
        distance_to_real(b[:, None], a[:, None]),
    )
    assert there * b.std() == pytest.approx(back * a.std(), abs=1e-9)
    assert distance_to_real(a[:, None] + k * a.std(), a[:, None]) == pytest.approx(
        abs(k), abs=1e-9
    )


def test_distance_is_the_mean_over_features_that_say_something() -> None:
    nan = float("nan")
    real = np.array(
        [
            [0.0, 5.0, nan, 1.0, 1.0],
            [2.0, 5.0, nan, nan, 2.0],
            [0.0, 5.0, nan, 3.0, 3.0],
            [2.0, 5.0, nan, 1.0, 4.0],
        ]
    )
    written = np.array([[1.0, 9.0, 1.0, nan, nan], [3.0, 9.0, 2.0, 3.0, nan]])
    # The first is moved by its deviation, the second never varies, the third no real song
    # has, the fifth no written one.
    fourth = wasserstein_distance([3.0], [1.0, 3.0, 1.0]) / np.std([1.0, 3.0, 1.0])
    assert distance_to_real(written, real) == pytest.approx((1 + fourth) / 2)
    assert math.isnan(distance_to_real(written[:, 1:3], real[:, 1:3]))


def test_noise_is_further_from_real_songs_than_they_are_from_each_other() -> None:
    songs = [mock.song(TUNE, bpm=100.0 + index) for index in range(8)]
    table = feature_table(songs)
    assert (
        distance_to_real(feature_table(mock.songs(8)), table)
        > 5 * distance_to_real(table[::2], table[1::2])
        > 0
    )
    assert math.isnan(distance_to_real(feature_table(songs), feature_table([])))


@pytest.mark.parametrize("split", ["train", "test"])
def test_what_is_retrieved_is_reported_as_copied(
    splits: tuple[Split, Split], split: str, tmp_path: Path
) -> None:
    training, test = splits
    outputs = run_model(None, DATA, training if split == "train" else test, 12, 1, "cpu")
    writer = Writer(AnyClass(training), DATA)
    report = emotion_report(writer, EvaluateConfig(pieces=2), training, outputs, tmp_path)
    memory = report.pop("memorisation")
    assert memory["written"] == {"nearest_bar": 1, "copied_bars": 1, "n": 4 * 2 * DATA.bars}
    assert memory["real"]["copied_bars"] == pytest.approx(
        (12 - N_JUDGES) / 12 if split == "train" else 0, abs=0.02
    )
    assert set(report) == set(QUADRANTS.values())
    for of_class in report.values():
        # A single real song has no deviation, and three have no halves.
        n = of_class["real"]["n"]
        assert math.isfinite(of_class["distance_to_real"]) == (n > 1)
        assert math.isfinite(of_class["distance_of_real_halves"]) == (n > 3)
    assert split == "test" or max(of_class["real"]["n"] for of_class in report.values()) > 3


class AnyClass(Retrieval):
    """Training windows, whatever is asked for."""

    def __init__(self, training: Split) -> None:
        super().__init__(training, DATA)

    def generate(self, classes: Any, n: int, bars: int, sampling: Any) -> list[Song]:
        return super().generate(dict.fromkeys(classes), n, bars, sampling)
