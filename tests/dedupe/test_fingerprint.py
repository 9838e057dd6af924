"""The content hash must forgive key, loudness and small jitter, and nothing that changes
the tune."""

import numpy as np
import pytest

from pipelines.dedupe.fingerprint import content_hash
from schemas.grid import quantise
from schemas.song import (
    DRUMS,
    PIANO,
    STRINGS,
    Song,
    covered_ticks,
    make_notes,
    make_tempi,
    regular_bars,
)


def hash_of(notes: np.ndarray, bpm: float = 120.0) -> str:
    song = Song(
        "mock",
        "a",
        notes,
        regular_bars(covered_ticks(notes)),
        make_tempi([0], [bpm]),
        "assumed_4_4",
    )
    return content_hash(song, quantise(song))


def changed(notes: np.ndarray, **columns) -> np.ndarray:
    return make_notes(*[columns.get(name, notes[name]) for name in notes.dtype.names])


def tune(n_notes: int, seed: int, drums: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    track = np.full(n_notes, DRUMS) if drums else rng.integers(0, 5, n_notes)
    if not drums:
        track[0] = PIANO
    return make_notes(
        6 * rng.integers(0, 16 * 20, n_notes),
        rng.integers(1, 48, n_notes),
        rng.integers(30, 90, n_notes),
        rng.integers(1, 128, n_notes),
        track,
    )


@pytest.mark.parametrize("n_notes", [1, 2, 3, 20, 500])
@pytest.mark.parametrize("drums", [False, True])
class TestSameMusic:
    def test_velocity(self, n_notes, drums):
        notes = tune(n_notes, 1, drums)
        assert hash_of(changed(notes, velocity=np.full(n_notes, 64))) == hash_of(notes)

    def test_jitter_and_durations(self, n_notes, drums):
        notes = tune(n_notes, 2, drums)
        rng = np.random.default_rng(0)
        start = np.maximum(notes["start"] + rng.integers(-2, 3, n_notes), 0)
        assert hash_of(
            changed(notes, start=start, duration=notes["duration"] + 1)
        ) == hash_of(notes)

    def test_leading_silence_and_tempo(self, n_notes, drums):
        notes = tune(n_notes, 3, drums)
        assert hash_of(changed(notes, start=notes["start"] + 6 * 21), bpm=77.0) == hash_of(
            notes
        )

    def test_transposition_spares_drums(self, n_notes, drums):
        notes = tune(n_notes, 4, drums)
        pitched = notes["track"] != DRUMS
        assert hash_of(changed(notes, pitch=notes["pitch"] + 5 * pitched)) == hash_of(notes)

    def test_order_of_the_song_is_stable(self, n_notes, drums):
        notes = tune(n_notes, 5, drums)
        assert hash_of(notes) == hash_of(notes.copy())
        assert len(hash_of(notes)) == 32


@pytest.mark.parametrize("n_notes", [3, 20])
@pytest.mark.parametrize("drums", [False, True])
def test_one_note_changed_is_another_song(n_notes, drums):
    notes = tune(n_notes, 6, drums)
    pitch = notes["pitch"].copy()
    pitch[1] += 1
    later = notes["start"].copy()
    later[-1] += 6
    hashes = {
        hash_of(notes),
        hash_of(changed(notes, pitch=pitch)),
        hash_of(changed(notes, start=later)),
    }
    assert len(hashes) == 3


def test_drums_are_not_transposed():
    kick = make_notes([0, 24], [1, 1], [36, 38], [90, 90], [DRUMS, DRUMS])
    other = changed(kick, pitch=kick["pitch"] + 6)
    assert hash_of(kick) != hash_of(other)


def test_drums_and_pitched_notes_of_one_number_differ():
    drums = make_notes([0, 24], [1, 1], [36, 38], [90, 90], [DRUMS, DRUMS])
    assert hash_of(drums) != hash_of(changed(drums, track=[PIANO, PIANO]))
    # Without the drum mark, a pitched interval of 36 and a kick at 36 would be one code.
    leap = make_notes([0, 24], [1, 1], [40, 76], [90, 90], [PIANO, PIANO])
    beat = make_notes([0, 24], [1, 1], [40, 36], [90, 90], [PIANO, DRUMS])
    assert hash_of(leap) != hash_of(beat)


def test_track_and_doubling_do_not_count():
    notes = make_notes([0, 24, 48], [9, 9, 9], [60, 64, 67], [90, 90, 90], [PIANO] * 3)
    doubled = np.concatenate([notes, changed(notes, track=[STRINGS] * 3)])
    assert hash_of(changed(notes, track=[STRINGS] * 3)) == hash_of(notes)
    assert hash_of(make_notes(*[doubled[name] for name in notes.dtype.names])) == hash_of(
        notes
    )


def test_empty_songs_match_nothing():
    assert hash_of(make_notes([], [], [], [], [])) == ""


def test_hash_is_fixed():
    notes = make_notes(
        [0, 24, 48, 48],
        [9, 9, 9, 1],
        [60, 64, 67, 36],
        [90, 90, 90, 90],
        [PIANO, PIANO, PIANO, DRUMS],
    )
    assert hash_of(notes) == "7373386f45edecea45e00ab6af0a38ed"
