"""Retrieval finds the class and never a judge's song; rules change what they say and
nothing else."""

import numpy as np
import pytest

from schemas import mock
from schemas.labels import HIGH, LOW
from schemas.song import DRUMS
from training.config import DataConfig
from training.data.cache import open_split, prepare
from training.data.keys import keys_of
from training.data.release import open_release
from training.errors import RunFailed
from training.evaluation.baselines import (
    FASTER,
    LOUDER,
    Retrieval,
    RuleEditing,
    with_arousal,
    with_valence,
)
from training.parts.sampling import SamplingConfig

from ..conftest import mock_rows, write_release

DATA = DataConfig(bars=3, tokens_per_bar=256)
TUNE = "Piano: C4 E4 G4 C5 | C4 A4 F4 C5 | D4 G4 B4 G4 | C5 G4 E4 C4\nDrums: C2 E2 C2 E2 | C2 E2 C2 E2"


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    rows = mock_rows()
    for row in rows["train"][:4]:
        row["judge"] = True
    folder = tmp_path_factory.mktemp("plain")
    return open_split(
        prepare(open_release(write_release(folder / "release", rows)), DATA), "train"
    )


def windows(split, songs):
    """(pitches, starts) of every window of 3 bars of some songs."""
    found = set()
    for song in songs:
        for start in range(split.n_bars[song] - 2):
            bars = (
                split.bar_offset[split.first_bar[song] + start],
                split.bar_offset[split.first_bar[song] + start + 3],
            )
            found.add(np.asarray(split.tokens[slice(*bars)]).tobytes())
    return found


def test_what_is_retrieved_is_of_the_class_and_no_judges(split):
    for valence in (LOW, HIGH):
        songs = [song for song in range(4, 12) if split.labels[song, 1] == valence]
        allowed = Retrieval(split, DATA).generate(
            {"arousal": None, "valence": valence}, 8, 3, SamplingConfig(seed=3)
        )
        again = Retrieval(split, DATA).generate(
            {"arousal": None, "valence": valence}, 8, 3, SamplingConfig(seed=3)
        )
        assert [song.notes.tolist() for song in allowed] == [
            song.notes.tolist() for song in again
        ]
        real = {song.notes.tobytes() for song in every_window(split, songs)}
        others = {
            song.notes.tobytes()
            for song in every_window(split, set(range(12)) - set(songs))
        }
        assert all(
            song.notes.tobytes() in real and song.notes.tobytes() not in others
            for song in allowed
        )


def every_window(split, songs):
    from training.data.views import song_of

    return [song_of(np.frombuffer(tokens, np.uint16)) for tokens in windows(split, songs)]


def test_a_class_that_no_song_has_is_said(split):
    with pytest.raises(RunFailed, match="no training song of 99 bars"):
        Retrieval(split, DATA).generate(
            {"arousal": 1, "valence": 1}, 1, 99, SamplingConfig()
        )


def test_edits_are_legal_songs_and_an_axis_without_a_class_is_left(split):
    plain = RuleEditing(split, DATA).generate(
        {"arousal": None, "valence": None}, 6, 3, SamplingConfig(seed=1)
    )
    edited = RuleEditing(split, DATA).generate(
        {"arousal": HIGH, "valence": None}, 6, 3, SamplingConfig(seed=1)
    )
    for before, after in zip(plain, edited, strict=True):
        assert after.tempi["bpm"] == pytest.approx(before.tempi["bpm"] * FASTER)
        assert len(after.notes) >= len(before.notes) and (after.bars == before.bars).all()


def test_major_becomes_minor_and_comes_back():
    song = mock.song(TUNE)
    assert np.bincount(keys_of(song)).argmax() == 0  # C major
    minor = with_valence(song, LOW)
    melody = minor.notes["pitch"][minor.notes["track"] != DRUMS].tolist()
    names = [
        "C4",
        "Eb4",
        "G4",
        "C5",
        "C4",
        "Ab4",
        "F4",
        "C5",
        "D4",
        "G4",
        "Bb4",
        "G4",
        "C5",
        "G4",
        "Eb4",
        "C4",
    ]
    assert melody == [mock.pitch(name) for name in names]
    assert np.array_equal(
        minor.notes[minor.notes["track"] == DRUMS], song.notes[song.notes["track"] == DRUMS]
    )
    assert np.bincount(keys_of(minor)).argmax() >= 12
    assert with_valence(song, HIGH) is song and with_valence(song, None) is song


def test_calm_is_slower_softer_and_without_the_sixteenths_between():
    song = mock.song("Piano: C4 D4 E4 F4 G4 A4 B4 C5 C4 D4 E4 F4 G4 A4 B4 C5")
    calm = with_arousal(song, LOW)
    assert len(calm.notes) == 8 and (calm.notes["start"] % 12 == 0).all()
    assert (calm.notes["velocity"] == 80 - LOUDER).all() and calm.tempi["bpm"][
        0
    ] == pytest.approx(120 / FASTER)


def test_a_half_note_is_struck_twice_where_it_is_loud():
    song = mock.song("Piano: C4 _ E4 F4")
    loud = with_arousal(song, HIGH)
    assert loud.notes[["start", "duration", "pitch"]].tolist() == [
        (0, 24, 60),
        (24, 24, 60),
        (48, 24, 64),
        (72, 24, 65),
    ]
    assert (loud.notes["velocity"] == 80 + LOUDER).all()
