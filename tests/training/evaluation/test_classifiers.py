"""Judges beside what they must tell apart, their report by hand, and the command that no
leaking generator passes."""

import json
import sys

import numpy as np
import pytest
import torch

from schemas import mock
from schemas.remi import PITCH, TEMPO_TOKEN
from schemas.song import Song, make_notes, make_tempi
from training.cli import main
from training.config import DataConfig, from_tables
from training.data.cache import open_split, prepare
from training.data.loader import Loader
from training.data.release import open_release
from training.engine.trainer import Trainer
from training.errors import RunFailed
from training.evaluation.classifiers import JudgesConfig, Network, windows_of
from training.evaluation.classifiers import Windows as RealWindows
from training.evaluation.handcrafted import (
    Boosting,
    Rules,
    feature_table,
    handcrafted_features,
)
from training.evaluation.judging import CALIBRATION_BINS, calibration, ceiling
from training.evaluation.markdown import judges_table

from ..conftest import mock_rows, write_release

WINDOWS = ["--set", "windows=2", "--set", "pieces=1", "--set", "resamples=20"]


def playing(fast: bool, minor: bool, seed: int) -> Song:
    """Eight bars of chords, quick or slow, in C major or C minor."""
    random = np.random.default_rng([fast, minor, seed])
    step, chord = (12, [0, 3, 7]) if minor else (12, [0, 4, 7])
    starts = np.repeat(np.arange(0, 96 * 8, step if fast else 4 * step), 3)
    pitches = (
        60 + np.tile(chord, len(starts) // 3) + 12 * random.integers(-1, 2, len(starts))
    )
    notes = make_notes(
        starts,
        np.full(len(starts), 10),
        pitches,
        random.integers(60, 90, len(starts)),
        np.ones(len(starts), int),
    )
    empty = mock.song("Piano: " + " | ".join(["- - - -"] * 8))
    return Song(
        "mock",
        f"{fast}{minor}{seed}",
        notes,
        empty.bars,
        make_tempi([0], [140.0 if not minor else 80.0]),
        "score",
    )


KINDS = [(fast, minor) for fast in (False, True) for minor in (False, True)]
TAUGHT = [playing(fast, minor, seed) for seed in range(40) for fast, minor in KINDS]
HELD_OUT = [playing(fast, minor, seed) for seed in range(100, 105) for fast, minor in KINDS]


def labels(n: int) -> np.ndarray:
    """Fast songs are A1, those in major V1."""
    return np.array(
        [(int(fast), int(not minor)) for _ in range(n) for fast, minor in KINDS]
    )


@pytest.mark.parametrize("judge", [Rules(), Boosting()], ids=lambda judge: judge.name)
def test_density_and_mode_are_heard(judge):
    said = judge.fit(TAUGHT, labels(40)).probability(HELD_OUT)
    assert ((said > 0.5) == labels(5)).all()


def test_what_has_no_label_teaches_nothing():
    unlabelled = np.full((4, 2), -1)
    noise = mock.songs(4, seed=9, n_bars=8)
    alone = Boosting().fit(TAUGHT, labels(40)).probability(HELD_OUT)
    beside = (
        Boosting()
        .fit([*noise, *TAUGHT], np.concatenate([unlabelled, labels(40)]))
        .probability(HELD_OUT)
    )
    assert np.array_equal(alone, beside)


def test_hand_features_of_a_song_one_can_count():
    song = mock.song(
        "Piano: C4 E4 G4 C5 | C4+E4+G4 - - -\nDrums: C2 - - - | - - - -", bpm=120
    )
    found = handcrafted_features(song)
    assert (
        found["notes_per_second"] == 8 / 4
        and found["onsets_per_second"] == 5 / 4
        and found["drums_per_second"] == 1 / 4
    )
    assert (
        found["share_drums"] == 1 / 8
        and found["share_piano"] == 7 / 8
        and found["off_beat_share"] == 0
    )
    assert (
        found["bpm"] == 120
        and found["velocity_mean"] == 80
        and np.isnan(found["bass_pitch"])
    )
    assert feature_table([song]).shape == (1, len(found))


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(RunFailed, match=r"extra \[evaluate\]"):
        Boosting().fit(TAUGHT[:4], labels(1))


class Said:
    """A judge that has made up its mind."""

    name = "said"

    def __init__(self, chances):
        self.chances = np.array(chances)

    def probability(self, songs):
        return self.chances


def test_the_ceiling_is_over_songs_and_not_over_windows():
    # Three windows of song 0 that are loudly wrong once, and one of song 1: two songs, both
    # right.
    judge = Said([[0.1, 0.9], [0.1, 0.9], [0.9, 0.9], [0.8, 0.3]])
    real = RealWindows(
        mock.songs(4), np.array([0, 0, 0, 1]), np.array([[0, 1], [0, 1], [0, 1], [1, 0]])
    )
    found = ceiling([judge], real, JudgesConfig(resamples=50))["said"]
    assert (
        found["arousal"]["n"] == 2
        and found["arousal"]["accuracy"] == 1
        and found["arousal"]["auc"] == 1
    )
    assert found["quadrants"]["accuracy"] == 1
    low, high = found["arousal"]["accuracy_interval"]
    assert low == high == 1
    brier = np.mean([(1.1 / 3) ** 2, 0.2**2])
    assert found["arousal"]["brier"] == pytest.approx(brier)


def test_single_windows_are_counted_beside_the_votes():
    judge = Said([[0.1, 0.9], [0.1, 0.9], [0.9, 0.9], [0.8, 0.3]])
    real = RealWindows(
        mock.songs(4), np.array([0, 0, 0, 1]), np.array([[0, 1], [0, 1], [0, 1], [1, 0]])
    )
    found = ceiling([judge], real, JudgesConfig(resamples=5))["said"]
    assert (
        found["arousal"]["window_balanced"] == pytest.approx((2 / 3 + 1) / 2)
        and found["valence"]["window_balanced"] == 1
    )
    assert found["quadrants"]["window_accuracy"] == 3 / 4
    alone = RealWindows(mock.songs(4), real.song, np.array([[0, 1]] * 3 + [[0, -1]]))
    assert (
        ceiling([judge], alone, JudgesConfig(resamples=5))["said"]["valence"][
            "window_balanced"
        ]
        is None
    )


def test_an_interval_is_as_wide_as_songs_are_few():
    random = np.random.default_rng(0)
    widths = []
    for count in (20, 500):
        label = np.tile([[0, 0], [1, 1]], (count // 2, 1))
        judge = Said(np.clip(label * 0.3 + random.random((count, 2)) * 0.7, 0, 1))
        real = RealWindows([], np.arange(count), label)
        found = ceiling([judge], real, JudgesConfig(resamples=200))["said"]["valence"]
        low, high = found["accuracy_interval"]
        assert low < found["accuracy"] < high
        widths.append(high - low)
    assert widths[0] > 3 * widths[1]


def test_calibration_by_hand():
    said, label = np.array([0.05, 0.08, 0.95, 1.0]), np.array([0, 1, 1, 1])
    assert calibration(said, label) == pytest.approx((abs(0.13 - 1) + abs(1.95 - 2)) / 4)
    grid = (np.arange(CALIBRATION_BINS) + 0.5) / CALIBRATION_BINS
    many = np.repeat(grid, 1000)
    assert calibration(many, np.random.default_rng(1).random(len(many)) < many) < 0.02


def test_the_table_has_a_line_a_judge_and_axis():
    real = RealWindows([], np.arange(2), np.array([[0, 1], [1, 0]]))
    text = judges_table(
        ceiling([Said([[0.1, 0.9], [0.8, 0.3]])], real, JudgesConfig(resamples=5)),
        "Real songs",
    )
    assert text.startswith("Real songs\n\n| judge |")
    assert "| said | arousal | 1.000 (" in text and text.count("\n| said |") == 3


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A release with half of its training songs for judges, a judge's run on it and a
    generator's."""
    folder = tmp_path_factory.mktemp("judged")
    rows = mock_rows()
    for index, row in enumerate(rows["train"]):
        row |= {
            "judge": index < 6,
            "arousal_class": index // 2 % 2,
            "valence_class": index % 2,
        }
    url = write_release(folder / "release", rows)
    train = {
        "steps": 2,
        "batch": 4,
        "log_every": 1,
        "validate_every": 2,
        "validation_batches": 1,
        "threads": 1,
        "tensorboard": False,
    }
    data = {"bars": 3, "tokens_per_bar": 48}
    judge = {
        "name": "judge", "kind": "judge", "model": {"embedding": 8, "hidden": 4, "attention": 4, "heads": 2, "width": 8},
        "data": {**data, "songs": "judges", "labelled_share": 1.0}, "train": train,
    }  # fmt: skip
    model = {"layers": 1, "heads": 2, "width": 16, "feed_forward": 32, "latent": 4}
    generator = {
        "name": "small one",
        "kind": "semg_gmvae",
        "model": model,
        "data": data,
        "train": train,
    }
    piano = {**generator, "name": "piano", "data": {**data, "tracks": ["Piano"]}}
    Trainer(from_tables(piano), url, str(folder / "piano"), str(folder / "cache")).run()
    for tables in (judge, generator):
        Trainer(
            from_tables(tables), url, str(folder / tables["kind"]), str(folder / "cache")
        ).run()
    return folder


def test_the_judge_is_taught_its_own_songs_alone(shared):
    config = from_tables(
        {
            "name": "x",
            "kind": "judge",
            "data": {"bars": 3, "tokens_per_bar": 48, "songs": "judges"},
        }
    ).data
    split = open_split(
        prepare(open_release(str(shared / "release")), config, str(shared / "cache")),
        "train",
    )
    loader = Loader(split, config, 4, seed=0)
    taught = {int(song) for step in range(8) for song in loader.batch_at(step).song}
    assert taught == set(range(6)) and loader.left_out == {
        "too_short": 0,
        "for_generators": 6,
    }
    windows = windows_of(split, split.judge, config, 2)
    assert set(windows.song.tolist()) == taught and len(windows.songs) == 12
    assert (windows.label == split.labels[windows.song]).all()


def test_the_command_writes_ceiling_and_verdicts(shared, tmp_path, capsys):
    data = [
        "--data",
        str(shared / "release"),
        "--cache",
        str(shared / "cache"),
        "--out",
        str(tmp_path),
    ]
    judge = ["judge", str(shared / "judge"), *data, *WINDOWS]
    assert main([*judge, "--generator", str(shared / "semg_gmvae")]) == 0
    report = json.loads((tmp_path / "judges.json").read_text())
    assert set(report) == {"real", "retrieval", "rule editing", "small one"}
    assert all(set(part) == {"rules", "boosting", "network"} for part in report.values())
    assert (
        report["real"]["network"]["arousal"]["n"] == 4
        and report["small one"]["rules"]["quadrants"]["n"] == 4
    )
    assert report["small one"]["network"]["arousal"]["majority"] == 0.5
    assert all(0 <= part["boosting"]["valence"]["auc"] <= 1 for part in report.values())
    assert capsys.readouterr().out.strip() == (tmp_path / "judges.md").read_text().strip()
    assert main(judge) == 0
    del report["small one"]
    assert json.loads((tmp_path / "judges.json").read_text()) == report


def test_who_may_not_judge_or_be_judged_is_told_in_a_sentence(
    shared, release, tmp_path, capsys
):
    data = [
        "--data",
        str(shared / "release"),
        "--cache",
        str(shared / "cache"),
        "--out",
        str(tmp_path / "out"),
    ]
    judge, generator = str(shared / "judge"), str(shared / "semg_gmvae")
    for command, says in (
        (["judge", generator, *data], "is no judge"),
        (["judge", judge, "--generator", judge, *data], "was taught the judges' songs"),
        (
            ["judge", judge, "--generator", str(shared / "piano"), *data],
            "piano writes Piano and the judges heard other tracks",
        ),
        (
            [
                "judge",
                judge,
                "--data",
                release,
                "--cache",
                str(tmp_path),
                "--out",
                str(tmp_path),
            ],
            "another release",
        ),
        (
            ["sample", judge, "--emotion", "sad", "--out", str(tmp_path / "out")],
            "a Judge cannot write music",
        ),
        (["judge", judge, *data, "--set", "windows=0"], "windows"),
    ):
        assert main(command) in (1, 2)
        printed = capsys.readouterr().err.strip()
        assert says in printed and "\n" not in printed, printed
    assert not (tmp_path / "out").exists()


def test_the_network_is_told_pieces_as_its_release_is_written(tmp_path):
    heard = []

    class Listener:
        def logits(self, tokens):
            heard.append(tokens)
            return {
                axis: torch.zeros(len(tokens), 2) for axis in ("arousal", "valence")
            }, None

    data, song = (
        DataConfig(bars=3, tokens_per_bar=256),
        mock.song("Piano: C4 E4 G4 C5 | C4 E4 G4 C5"),
    )
    for tempo in ("on_change", "every_beat"):
        url = write_release(
            tmp_path / tempo, mock_rows(), config={"remi": {"tempo": tempo}}
        )
        said = Network(Listener(), data, open_release(url).remi, "cpu").probability(
            [song, song]
        )
        assert said.tolist() == [[0.5, 0.5]] * 2
    n_tempi = [int(((tokens >= TEMPO_TOKEN) & (tokens < PITCH)).sum()) for tokens in heard]
    assert n_tempi == [2 * 2, 2 * 8]  # two songs: one a bar, and one a beat that has notes
