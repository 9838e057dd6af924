"""The signature must survive what files of one piece differ in, and keep different
pieces apart."""

import numpy as np
import pytest

from pipelines.dedupe.shingles import ShingleConfig, shingles
from schemas.song import BASS, DRUMS, GUITAR, PIANO, STRINGS, make_notes

CONFIG = ShingleConfig()
N_BEATS = 400


def columns(notes: np.ndarray) -> dict[str, np.ndarray]:
    return {name: notes[name].astype(np.int64) for name in notes.dtype.names}


def changed(notes: np.ndarray, **new: np.ndarray) -> np.ndarray:
    return make_notes(**{**columns(notes), **new})


def band(seed: int, n_beats: int = N_BEATS) -> np.ndarray:
    """A melody, three-note chords, a bass line and a beat, of random tunes."""
    rng = np.random.default_rng(seed)
    beats = 24 * np.arange(n_beats)
    melody = 60 + rng.integers(0, 17, n_beats)
    root = 45 + rng.integers(0, 12, n_beats)
    third = root + rng.choice([3, 4], n_beats)
    parts = [
        (beats + 12 * rng.integers(0, 2, n_beats), melody, STRINGS),
        *((beats, 12 + pitch, PIANO) for pitch in (root, third, root + 7)),
        (beats, root - 12, BASS),
        *((beats, np.full(n_beats, 36 + 2 * (i % 2)), DRUMS) for i in range(2)),
    ]
    return make_notes(
        np.concatenate([start for start, _, _ in parts]),
        np.full(n_beats * len(parts), 6),
        np.concatenate([pitch for _, pitch, _ in parts]),
        rng.integers(30, 120, n_beats * len(parts)),
        np.repeat([track for _, _, track in parts], n_beats),
    )


def similarity(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    first, second = set(shingles(a, CONFIG).tolist()), set(shingles(b, CONFIG).tolist())
    shared = len(first & second)
    return shared / max(1, len(first | second)), shared / max(
        1, min(len(first), len(second))
    )


def transposed(notes, rng):
    return changed(notes, pitch=columns(notes)["pitch"] + 5 * (notes["track"] != DRUMS))


def shifted(notes, rng):
    return changed(notes, start=columns(notes)["start"] + 31)


def stretched(factor):
    return lambda notes, rng: changed(notes, start=np.floor(notes["start"] * factor + 0.5))


def bar_inserted(notes, rng):
    start = columns(notes)["start"]
    return changed(notes, start=start + 96 * (start >= 4000))


def other_velocity_and_duration(notes, rng):
    size = len(notes)
    return changed(
        notes, velocity=rng.integers(1, 128, size), duration=rng.integers(1, 90, size)
    )


def tracks_renamed(notes, rng):
    other = np.array([DRUMS, GUITAR, PIANO, BASS, PIANO])
    return changed(notes, track=other[notes["track"]])


def without_drums(notes, rng):
    return notes[notes["track"] != DRUMS]


def jittered(notes, rng):
    return changed(
        notes,
        start=np.maximum(columns(notes)["start"] + rng.integers(-2, 3, len(notes)), 0),
    )


def notes_dropped(notes, rng):
    return notes[rng.random(len(notes)) >= 0.1]


def track_dropped(notes, rng):
    return notes[notes["track"] != PIANO]


def excerpt(begin, end):
    return lambda notes, rng: notes[
        (notes["start"] >= 24 * begin) & (notes["start"] < 24 * end)
    ]


SAME = [
    transposed,
    shifted,
    stretched(2),
    stretched(0.5),
    bar_inserted,
    other_velocity_and_duration,
    without_drums,
]
ALIKE = [
    stretched(1.25),
    stretched(0.9),
    jittered,
    notes_dropped,
    track_dropped,
    tracks_renamed,
]


@pytest.mark.parametrize("edit", SAME)
def test_what_does_not_count(edit):
    notes = band(0)
    jaccard, _ = similarity(notes, edit(notes, np.random.default_rng(1)))
    assert jaccard > 0.95


@pytest.mark.parametrize("edit", ALIKE)
def test_what_leaves_enough(edit):
    notes = band(0)
    jaccard, containment = similarity(notes, edit(notes, np.random.default_rng(1)))
    assert jaccard >= 0.1 or containment >= 0.5


@pytest.mark.parametrize("edit", [excerpt(0, 80), excerpt(100, 230), excerpt(200, 400)])
def test_an_excerpt_is_contained(edit):
    notes = band(0)
    assert similarity(notes, edit(notes, None))[1] > 0.95


def test_different_tunes_share_nothing():
    sets = [shingles(band(seed), CONFIG) for seed in range(20)]
    assert min(map(len, sets)) > 1000
    every = np.concatenate(sets)
    assert len(np.unique(every)) > 0.999 * len(every)


def test_sorted_distinct_uint64():
    found = shingles(
        np.concatenate(
            [band(0), changed(band(0), start=columns(band(0))["start"] + 24 * N_BEATS)]
        ),
        CONFIG,
    )
    assert found.dtype == np.uint64
    assert (found[1:] > found[:-1]).all()


def test_hashes_fill_the_hash_space_evenly():
    found = np.concatenate([shingles(band(seed), CONFIG) for seed in range(20)])
    for shift in (0, 29, 60):
        counts = np.bincount(
            ((found >> np.uint64(shift)) & np.uint64(15)).astype(int), minlength=16
        )
        assert abs(counts - len(found) / 16).max() < 5 * np.sqrt(len(found) / 16)


def test_line_ngrams_against_the_plain_way():
    """One voice: the sets of 7 successive intervals with 3 different ones, each a hash,
    no two the same."""
    rng = np.random.default_rng(2)
    pitch = 60 + rng.integers(0, 3, 300)
    notes = make_notes(
        12 * np.arange(300), np.full(300, 6), pitch, np.full(300, 90), np.full(300, PIANO)
    )
    intervals = np.diff(pitch).tolist()
    lines = {tuple(intervals[i : i + 7]) for i in range(len(intervals) - 6)}
    lines = {line for line in lines if len(set(line)) >= 3}
    # Each chord is one note, so its symbol is the motion of that note.
    motions = [interval % 12 for interval in intervals]
    chords = {tuple(motions[i : i + 5]) for i in range(len(motions) - 4)}
    chords = {chord for chord in chords if len(set(chord)) >= 3}
    assert len(shingles(notes, CONFIG)) == len(lines) + len(chords)


def test_the_top_line_counts_and_of_the_bass_the_bottom_line():
    rng = np.random.default_rng(3)
    lines = [rng.integers(low, low + 12, 200) for low in (70, 40)]
    start = 24 * np.arange(200)
    both = {
        "start": np.tile(start, 2),
        "duration": 6 * np.ones(400),
        "velocity": 90 * np.ones(400),
    }
    config = ShingleConfig(chord_events=10_000)

    def of(pitch, track):
        return shingles(
            make_notes(
                start, 6 * np.ones(200), pitch, 90 * np.ones(200), track * np.ones(200)
            ),
            config,
        )

    for track, heard in ((PIANO, lines[0]), (BASS, lines[1])):
        together = shingles(
            make_notes(**both, pitch=np.concatenate(lines), track=track * np.ones(400)),
            config,
        )
        assert np.array_equal(together, of(heard, track))
        assert len(together) > 100


def test_chords_are_pitch_classes_over_the_lowest_note():
    chords = band(5)[band(5)["track"] == PIANO]
    lowest = np.repeat(chords["pitch"][::3], 3)
    config = ShingleConfig(line_intervals=10_000)
    found = shingles(chords, config)
    opened = changed(
        chords, pitch=columns(chords)["pitch"] + 12 * (chords["pitch"] != lowest)
    )
    assert len(found) > 300
    assert np.array_equal(shingles(opened, config), found)
    sharpened = changed(
        chords, pitch=columns(chords)["pitch"] + (chords["pitch"] != lowest)
    )
    assert not len(np.intersect1d(shingles(sharpened, config), found))


def test_notes_of_a_chord_need_not_begin_together():
    notes = band(4)
    late = changed(notes, start=columns(notes)["start"] + 2 * (notes["pitch"] % 2))
    assert similarity(notes, late)[0] > 0.95
    chords = notes[notes["track"] == PIANO]
    rolled = changed(chords, start=columns(chords)["start"] + 4 * (chords["pitch"] % 2))
    assert similarity(chords, rolled)[0] > 0.95


def one_voice(pitches: list[int]) -> np.ndarray:
    size = len(pitches)
    return make_notes(
        12 * np.arange(size), [6] * size, pitches, [90] * size, [PIANO] * size
    )


PLAIN = [[60] * 64, [60, 62] * 32, [60] * 20 + [65] * 20]


@pytest.mark.parametrize("pitches", PLAIN)
@pytest.mark.parametrize(
    "edit",
    [transposed, shifted, stretched(2), stretched(1.25), stretched(0.5), bar_inserted],
)
def test_a_plain_song_is_like_its_equal(pitches, edit):
    notes = one_voice(pitches)
    assert similarity(notes, edit(notes, None)) == (1, 1)


def test_plain_songs_are_not_like_one_another():
    songs = [
        *PLAIN,
        [60] * 63,
        [60] * 65,
        [62, 60] * 32,
        [60] * 20 + [64] * 20,
        [60] * 21 + [65] * 19,
    ]
    sets = [shingles(one_voice(pitches), CONFIG) for pitches in songs]
    assert min(map(len, sets)) == 16
    assert len(np.unique(np.concatenate(sets))) == 16 * len(sets)


def test_a_few_notes_say_nothing():
    assert not len(shingles(one_voice([60, 64, 67, 72]), CONFIG))


@pytest.mark.parametrize("n_notes", range(20))
def test_any_number_of_notes(n_notes):
    for track in (DRUMS, PIANO, BASS):
        notes = make_notes(
            12 * np.arange(n_notes),
            [6] * n_notes,
            40 + np.arange(n_notes),
            [90] * n_notes,
            [track] * n_notes,
        )
        assert shingles(notes, CONFIG).dtype == np.uint64


def drums(seed: int, n_beats: int = 400) -> np.ndarray:
    rng = np.random.default_rng(seed)
    start = 12 * np.flatnonzero(rng.random(2 * n_beats) < 0.7)
    size = len(start)
    return make_notes(
        start,
        [1] * size,
        rng.choice([36, 38, 42, 46, 49], size),
        [90] * size,
        [DRUMS] * size,
    )


def test_drums_alone_are_told_by_their_drums():
    assert similarity(drums(0), stretched(2)(drums(0), None))[0] > 0.95
    assert similarity(drums(0), excerpt(0, 200)(drums(0), None))[1] > 0.95
    assert similarity(drums(0), drums(1)) == (0, 0)


def test_drum_loops_are_not_like_one_another():
    sets = []
    for size in (100, 101, 200):
        pitch = np.resize([36, 42, 38, 42], size)
        sets.append(
            shingles(
                make_notes(
                    12 * np.arange(size), [1] * size, pitch, [90] * size, [DRUMS] * size
                ),
                CONFIG,
            )
        )
    assert not len(np.intersect1d(sets[0], sets[1])) and not len(
        np.intersect1d(sets[0], sets[2])
    )


def test_hashes_are_fixed():
    found = shingles(band(0, 12), CONFIG)
    assert (len(found), int(found[0])) == (20, 234536416207743807)
