"""Affect features by slow loops and by transposing; judges of whole songs on songs that say
plainly what they are."""

from dataclasses import replace

import numpy as np
import pytest

from schemas import mock
from schemas.song import DRUMS, PIANO, Song, make_notes, make_tempi, regular_bars
from training.errors import RunFailed
from training.evaluation.affect_features import (
    CHORDS,
    _beats,
    _chords,
    _heard,
    affect_features,
    affect_table,
)
from training.evaluation.ensemble import Ensemble
from training.evaluation.handcrafted import Rules
from training.evaluation.metrics import accuracies
from training.evaluation.whole_songs import Labelled, whole_song_judges, whole_songs_table

# What moves with the notes up and down; nothing else may.
REGISTER = ("pitch_", "top_", "low_", "high_", "deep_")


def clip(arousal: int, valence: int, seed: int) -> Song:
    """A minute of chords: fast and loud or not, major or minor."""
    random = np.random.default_rng([seed, arousal, valence])
    tonic, step = 60 + int(random.integers(0, 12)), 12 if arousal else 36
    start = np.repeat(np.arange(0, 96 * 8, step), 3)
    third = 4 if valence else 3
    chord = np.tile([0, third, 7], len(start) // 3)
    degree = np.repeat(random.choice([0, 0, 5, 7], len(start) // 3), 3)
    velocity = random.integers(80, 110, len(start)) - 40 * (1 - arousal)
    notes = make_notes(
        start,
        np.full(len(start), step),
        tonic - 12 + chord + degree,
        velocity,
        np.ones(len(start)),
    )
    tempi = make_tempi([0], [90.0 + float(random.normal(0, 5))])
    return Song("mock", f"{seed}", notes, regular_bars(96 * 9), tempi, "assumed_4_4")


def labelled(n_each: int, first: int) -> Labelled:
    songs, labels, groups = [], [], []
    for seed in range(first, first + n_each):
        for arousal in (0, 1):
            for valence in (0, 1):
                songs.append(clip(arousal, valence, seed))
                labels.append((arousal, valence))
                groups.append(f"song {seed}")
    return Labelled(songs, np.array(labels), np.array(groups))


def test_features_do_not_depend_on_the_key() -> None:
    for song in [clip(1, 0, 4), clip(0, 1, 5)]:
        notes = song.notes.copy()
        # Within the range in which no pitch is cut or crosses a threshold of register
        notes["pitch"] = 52 + notes["pitch"] % 12
        before = affect_features(replace(song, notes=_sorted(notes)))
        for up in (1, 5):
            moved = notes.copy()
            moved["pitch"] += up
            after = affect_features(replace(song, notes=_sorted(moved)))
            for name, value in before.items():
                if not name.startswith(REGISTER):
                    assert after[name] == pytest.approx(value, abs=1e-6), (name, up)


def _sorted(notes: np.ndarray) -> np.ndarray:
    return make_notes(
        *(notes[name] for name in ("start", "duration", "pitch", "velocity", "track"))
    )


def test_beats_are_those_of_a_loop_and_chords_those_they_are_made_of() -> None:
    song = mock.songs(1, n_bars=4)[0]
    notes = song.notes[song.notes["track"] != DRUMS]
    heard = _heard(notes, song.tempi)
    wanted = np.zeros((int(-(-heard.end.max() // 24)), 12))
    for note in notes:
        start, end = int(note["start"]), int(note["start"]) + int(note["duration"])
        for tick in range(start, end):
            if tick // 24 < start // 24 + 16:
                wanted[tick // 24, note["pitch"] % 12] += 1
    found, _ = _beats(heard)
    assert np.array_equal(found, wanted[wanted.any(1)])
    for number, classes in enumerate(CHORDS.values()):
        for root in (0, 7):
            chroma = np.zeros((1, 12))
            chroma[0, (root + np.array(classes)) % 12] = 1
            kind, at, likeness = _chords(chroma, np.array([48 + root]))
            assert (kind[0], at[0]) == (number, root) and likeness[0] == pytest.approx(1.1)


def test_every_song_has_the_same_finite_features() -> None:
    bars, tempi = regular_bars(96), make_tempi([0], [120.0])
    silent = make_notes([], [], [], [], [])
    single = make_notes([0], [5], [60], [90], [PIANO])
    drums = make_notes([0, 24], [1, 1], [38, 40], [90, 90], [DRUMS, DRUMS])
    songs = [
        Song("mock", str(i), notes, bars, tempi, "assumed_4_4")
        for i, notes in enumerate((silent, single, drums))
    ]
    songs.append(clip(1, 1, 0))
    table = affect_table(songs)
    assert np.isfinite(table).all() and not table[0].any() and not table[2].any()
    assert list(affect_features(songs[0])) == list(affect_features(songs[3]))


def test_judges_hear_what_is_plain_and_intervals_hold_the_figures() -> None:
    judges = [Rules(), Ensemble(trees=20)]
    report = whole_song_judges(judges, labelled(8, 0), labelled(4, 50), 0, resamples=20)
    assert report["ensemble"]["quadrants"]["accuracy"] > 0.9
    assert report["ensemble"]["quadrants"]["n"] == 16
    for of in report.values():
        for figures in of.values():
            low, high = figures["accuracy_interval"]
            assert low <= figures["accuracy"] <= high
    text = whole_songs_table(report, "validation", 32, ["emopia"])
    assert "MIDI-like (published, on the test clips) | 0.684 | 0.882 | 0.833" in text
    assert "published" not in whole_songs_table(report, "validation", 32, ["lpd5"])


def test_the_ensemble_is_the_middle_of_its_heads_and_needs_both_classes() -> None:
    taught = labelled(5, 0)
    judge = Ensemble(trees=20).fit(taught.songs, taught.label)
    chance = judge.quadrants(taught.songs[:6])
    assert np.allclose(chance.sum(1), 1)
    said = judge.probability(taught.songs[:6])
    assert np.allclose(said[:, 0], chance[:, 2] + chance[:, 3])
    assert np.allclose(said[:, 1], chance[:, 1] + chance[:, 3])
    known = accuracies(chance.argmax(1), taught.label[:6] @ [2, 1])
    assert known["accuracy"] == 1
    partly = taught.label.copy()
    partly[::3, 1] = -1
    Ensemble(trees=5).fit(taught.songs, partly)
    partly[:, 0] = 1
    with pytest.raises(RunFailed, match="both classes"):
        Ensemble(trees=5).fit(taught.songs, partly)
