"""Measures on cases small enough to know the answer."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from schemas import mock
from schemas.keys import KEY_NAMES_ASCII
from training.data.keys import chroma, keys_of
from training.evaluation.metrics import (
    NGram,
    accuracies,
    auc,
    cosine,
    note_f1,
    over_songs,
    rhythm_vector,
    rounded,
    song_facts,
    token_types,
)
from training.evaluation.outputs import evenly
from training.evaluation.probes import probe, r_squared

SCALE = {"C major": "C4 D4 E4 F4 G4 A4 B4 C5", "A minor": "A3 B3 C4 D4 E4 F4 G#4 A4"}


def test_token_types():
    assert token_types(
        np.array([1, 2, 3, 18, 19, 82, 83, 522, 523, 842, 843, 922])
    ).tolist() == [
        0,
        0,
        1,
        1,
        2,
        2,
        3,
        3,
        4,
        4,
        5,
        5,
    ]


def test_ngrams_by_hand():
    grams = NGram(2)
    grams.add(np.array([0, 0, 1]), np.array([1, 1, 0]))
    found = grams.nll(np.array([0]), np.array([1]))
    parts = NGram(2)
    for before, after in ((0, 1), (0, 1), (1, 0)):
        parts.add(np.array([before], np.uint16), np.array([after], np.uint16))
    assert (parts.counts == grams.counts).all()
    assert found["bigram"] == pytest.approx(-math.log(3 / 4)) and found[
        "unigram"
    ] == pytest.approx(-math.log(3 / 5))


def test_accuracies():
    found = accuracies(np.array([1, 1, 1, 0]), np.array([1, 1, 0, 0]))
    assert found == {"accuracy": 0.75, "balanced": 0.75, "majority": 0.5, "n": 4}
    assert accuracies(np.array([0, 0, 0]), np.array([0, 0, 1]))["balanced"] == 0.5
    assert accuracies(np.array([]), np.array([])) == {"n": 0}


def test_note_f1():
    song = mock.song("Piano: C4 D4 E4 F4")
    assert note_f1(song, song, 1)["f1"] == pytest.approx(1)
    half = note_f1(mock.song("Piano: C4 D4 - -"), song, 1)
    assert half["precision"] == 1 and half["recall"] == 0.5
    assert note_f1(mock.song("Guitar: C4 D4 E4 F4"), song, 1)["f1"] == 0


@pytest.mark.parametrize("name", SCALE)
def test_keys(name):
    keys = keys_of(
        mock.song(f"Piano: {SCALE[name]} | {SCALE[name]}\nBass: {name[0]}2 | {name[0]}2")
    )
    assert [KEY_NAMES_ASCII[key] for key in keys[:2]] == [name, name]
    assert keys_of(mock.song("Drums: C2 C2 C2 C2"))[0] == 24


def test_chroma_counts_time_without_drums():
    found = chroma(mock.song("Piano: C4 _ E4 -\nDrums: C2 C2 C2 C2"))
    assert found[0].tolist() == [48, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0]


def test_song_facts_and_vectors():
    song = mock.song("Piano: C4 C4 C4 C4 | C4+E4 _ _ _")
    facts = song_facts(song, 2)
    assert facts["notes_per_bar"] == 3 and facts["bpm"] == 120
    vector = rhythm_vector(song, 3)
    assert (
        len(vector) == 48
        and vector[:16].sum() == 4
        and vector[16] == 2
        and vector[17:].sum() == 0
    )
    assert cosine(vector, vector) == pytest.approx(1) and cosine(vector, 0 * vector) == 0


def test_auc_and_rounding():
    assert auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([0, 0, 1, 1])) == pytest.approx(
        0.875
    )
    assert rounded({"a": [float("nan"), 0.123456]}) == {"a": [None, 0.1235]}


def test_a_probe_finds_what_is_there_and_not_what_is_not():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(800, 6)), random.normal(size=(400, 6))
    inputs = (x, y)
    there = tuple((one[:, 0] > 0).astype(int) for one in inputs)
    assert (probe(inputs, there, 2, 300) == there[1]).mean() > 0.9
    nothing = tuple(random.integers(0, 2, len(one)) for one in inputs)
    assert (probe(inputs, nothing, 2, 300) == nothing[1]).mean() < 0.6
    numbers = tuple(one[:, 1] * 3 + 5 for one in inputs)
    assert r_squared(probe(inputs, numbers, 0, 300), numbers[1]) > 0.8
    assert r_squared(numbers[1].mean() + 0 * numbers[1], numbers[1]) == pytest.approx(0)


def test_an_interval_over_songs_is_wider_than_one_over_their_rows():
    random = np.random.default_rng(0)
    by_song = random.integers(0, 2, 50).astype(float)
    rows = np.repeat(by_song, 20)
    low, high = over_songs(np.repeat(np.arange(50), 20), lambda at: float(rows[at].mean()))
    half = 1.96 * np.sqrt(by_song.var() / 50)
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)
    assert low < by_song.mean() < high


def test_a_crop_a_song_is_not_its_opening():
    split = SimpleNamespace(n_bars=np.array([4, 40, 40, 41, 200]))
    song, start = evenly(split, np.arange(5), 4, 1)
    assert song.tolist() == [0, 1, 2, 3, 4] and start[0] == 0
    assert len(set(start[1:4].tolist())) == 3 and (start + 4 <= split.n_bars).all()
    song, start = evenly(split, np.array([4]), 4, 3)
    assert np.diff(start).tolist() in ([65, 66], [66, 65], [65, 65], [66, 66])
