"""Key: pitch classes and bass against plain loops, ks_bar against music21, the model by
music whose key is plain."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music21 import note, stream
from music21.analysis.discrete import KrumhanslSchmuckler
from symusic import Score

from pipelines.features.key.bass import NO_BASS, bass_notes, phrase_starts
from pipelines.features.key.estimate import COLUMNS, compute, follow
from pipelines.features.key.path import transitions
from pipelines.features.key.pitch_classes import pitch_class_weights
from pipelines.features.key.profiles import key_profile
from pipelines.features.key.settings import KeyConfig
from pipelines.formats.midi import midi_bars, read_midi
from pipelines.formats.npz import read_npz
from schemas.contracts import Limits
from schemas.grid import Grid, quantise
from schemas.keys import NO_KEY
from schemas.krumhansl import krumhansl_schmuckler
from schemas.song import (
    BAR,
    DRUMS,
    Song,
    covered_ticks,
    make_notes,
    make_tempi,
    regular_bars,
)

HMM, KS = KeyConfig(), KeyConfig(method="ks_bar")
TRIADS = {"major": (0, 4, 7), "minor": (0, 3, 7)}


def make_song(notes: list[tuple[int, ...]], lengths: list[int]) -> Song:
    """A Song of (start, duration, pitch, velocity, track) notes on bars of these
    lengths, the last repeated as needed."""
    array = make_notes(*np.array(notes, int).reshape(-1, 5).T)
    while sum(lengths) < covered_ticks(array):
        lengths = [*lengths, lengths[-1]]
    bars = np.zeros(len(lengths), BAR)
    bars["length"], bars["numerator"], bars["denominator"] = lengths, 4, 4
    bars["start"] = np.cumsum([0, *lengths[:-1]])
    return Song("mock", "song", array, bars, make_tempi([0], [120.0]), "score")


def chords(keys: list[int], n_bars: int) -> list[tuple[int, ...]]:
    """I IV V I in each key by turns for n_bars, a bass note and its triad a bar."""
    notes: list[tuple[int, ...]] = []
    for bar in range(n_bars * len(keys)):
        key = keys[bar // n_bars]
        root, minor = key % 12 + (0, 5, 7, 0)[bar % 4], key >= 12 and bar % 4 != 2
        notes.append((96 * bar, 96, 36 + root % 12, 80, 3))
        notes.extend(
            (96 * bar, 96, 60 + (root + up) % 12, 80, 1)
            for up in TRIADS["minor" if minor else "major"]
        )
    return notes


def columns(song: Song, config: KeyConfig = HMM) -> dict:
    return compute(song, quantise(song), config)


def loop_weights(song: Song, grid: Grid) -> np.ndarray:
    """The slow simple way: every note against every bar."""
    weights = np.zeros((len(song.bars), 12))
    for i, (_, _, pitch, _, track) in enumerate(song.notes.tolist()):
        onset = song.bars["start"][grid.bar[i]] + 6 * grid.position[i]
        end = onset + 6 * grid.sixteenths[i]
        for bar, (start, length, _, _) in enumerate(song.bars.tolist()):
            if track != DRUMS:
                weights[bar, pitch % 12] += max(
                    0, min(end, start + length) - max(onset, start)
                )
    return weights


def loop_bass(song: Song, grid: Grid) -> tuple[list[int], list[int], bool]:
    """opening, closing and polyphonic, sixteenth by sixteenth."""
    first = np.concatenate([[0], np.cumsum(grid.bar_positions)])
    sounding: list[list[int]] = [[] for _ in range(first[-1])]
    for i, (_, _, pitch, _, track) in enumerate(song.notes.tolist()):
        start = first[grid.bar[i]] + grid.position[i]
        for at in range(start, min(start + grid.sixteenths[i], first[-1])):
            if track != DRUMS:
                sounding[at].append(pitch)
    heard, together = (
        sum(len(pitches) >= least for pitches in sounding) for least in (1, 2)
    )
    polyphonic = together > 0.05 * heard
    opening, closing = [], []
    for start, end in pairwise(first):
        chords = [
            pitches for pitches in sounding[start:end] if len(pitches) > 1 and polyphonic
        ]
        sounds = [pitches for pitches in sounding[start:end] if pitches]
        opening.append(min(chords[0]) % 12 if chords else NO_BASS)
        closing.append(min(sounds[-1]) % 12 if sounds else NO_BASS)
    return opening, closing, polyphonic


NOTES = st.lists(
    st.tuples(
        st.integers(0, 700),
        st.integers(1, 400),
        st.integers(24, 100),
        st.integers(1, 127),
        st.integers(0, 4),
    ),
    max_size=30,
)
PITCHED = NOTES.filter(lambda notes: any(track != DRUMS for *_, track in notes))
LENGTHS = st.lists(st.sampled_from([96, 72, 48, 120, 14, 90]), min_size=1, max_size=6)


@given(NOTES, LENGTHS)
@settings(max_examples=150, deadline=None)
def test_weights_equal_the_loop(notes, lengths):
    song = make_song(notes, lengths)
    grid = quantise(song)
    np.testing.assert_array_equal(pitch_class_weights(song, grid), loop_weights(song, grid))


@given(PITCHED, LENGTHS)
@settings(max_examples=150, deadline=None)
def test_bass_equals_the_loop(notes, lengths):
    song = make_song(notes, lengths)
    grid = quantise(song)
    bass = bass_notes(song, grid)
    opening, closing, polyphonic = loop_bass(song, grid)
    assert (bass.opening.tolist(), bass.closing.tolist(), bass.polyphonic) == (
        opening,
        closing,
        polyphonic,
    )
    assert bass.first == next((pitch for pitch in opening if pitch != NO_BASS), NO_BASS)
    assert bass.last == next(pitch for pitch in reversed(closing) if pitch != NO_BASS)


def test_a_note_a_tick_early_does_not_leak():
    song = make_song([(95, 97, 60, 80, 1), (191, 97, 67, 80, 1)], [96, 96, 96])
    weights = pitch_class_weights(song, quantise(song))
    assert weights[0].sum() == 0
    assert (weights[1, 0], weights[2, 7]) == (96, 96)


def test_phrases_start_after_rests_and_pick_up():
    late = make_song(
        [(90, 6, 60, 80, 1), *((96 * bar, 96, 60, 80, 1) for bar in range(1, 20))], [96]
    )
    short = make_song(
        [(0, 24, 60, 80, 1), *((24 + 96 * bar, 96, 60, 80, 1) for bar in range(18))],
        [24, 96],
    )
    for song in (late, short):
        assert np.flatnonzero(
            phrase_starts(bass_notes(song, quantise(song)))[:19]
        ).tolist() == [
            1,
            9,
            17,
        ]


@pytest.mark.parametrize("config", [HMM, KS], ids=["hmm", "ks_bar"])
def test_a_song_without_a_pitched_note_has_no_key(config):
    for song in (
        make_song([], [96, 96]),
        make_song([(0, 1, 36, 90, 0), (100, 1, 38, 90, 0)], [96, 96]),
    ):
        found = columns(song, config)
        assert tuple(found) == COLUMNS
        assert found["key"].tolist() == [NO_KEY, NO_KEY]
        assert found["key_confidence"].tolist() == [0.0, 0.0]
        assert found["song_key"] == NO_KEY


def test_empty_bars_have_no_key_alone_and_keep_it_in_the_model():
    notes = [note for note in chords([2], 16) if not 4 <= note[0] // 96 < 8]
    song = make_song(notes, [96])
    alone, followed = columns(song, KS), columns(song)
    assert (
        alone["key"][4:8].tolist() == [NO_KEY] * 4
        and alone["key_confidence"][4:8].tolist() == [0.0] * 4
    )
    assert followed["key"].tolist() == [2] * 16
    assert (followed["key_confidence"][4:8] > 0.5).all()


@pytest.mark.parametrize("key", range(24))
def test_plain_cadences_have_their_key(key):
    found = columns(make_song(chords([key], 16), [96]))
    assert found["key"].dtype == np.uint8 and found["key_confidence"].dtype == np.float32
    assert found["key"].tolist() == [key] * 16
    assert found["song_key"] == key


@pytest.mark.parametrize(("before", "after"), [(0, 7), (0, 2), (0, 6), (9, 18), (21, 9)])
def test_a_modulation_is_found_at_its_bar(before, after):
    found = columns(make_song(chords([before, after], 16), [96]))
    assert found["key"].tolist() == [before] * 16 + [after] * 16


@given(
    NOTES,
    LENGTHS,
    st.lists(st.tuples(st.integers(0, 700), st.integers(1, 50)), max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_drums_never_matter(notes, lengths, hits):
    pitched = [note for note in notes if note[4] != DRUMS]
    bars = [*lengths, *[96] * 12]  # the same bars with and without drums
    for config in (HMM, KS):
        without = columns(make_song(pitched, bars), config)
        with_drums = columns(
            make_song([*pitched, *((at, 1, pitch, 80, DRUMS) for at, pitch in hits)], bars),
            config,
        )
        assert without["song_key"] == with_drums["song_key"]
        for name in ("key", "key_confidence"):
            np.testing.assert_array_equal(without[name], with_drums[name])


@given(PITCHED, LENGTHS, st.integers(-11, 11))
@settings(max_examples=150, deadline=None)
def test_transposing_moves_every_key_by_as_much(notes, lengths, up):
    song = make_song(notes, lengths)
    moved = make_song(
        [(start, length, pitch + up, *rest) for start, length, pitch, *rest in notes],
        lengths,
    )
    keys = np.arange(25)
    keys[:24] = (keys[:24] + up) % 12 + keys[:24] // 12 * 12
    one, other = columns(song), columns(moved)
    # Exactly: a lone tritone is as much one key as another, and still goes along.
    np.testing.assert_array_equal(keys[one["key"]], other["key"])
    assert keys[one["song_key"]] == other["song_key"]
    np.testing.assert_array_equal(one["key_confidence"], other["key_confidence"])


@given(PITCHED, LENGTHS)
@settings(max_examples=50, deadline=None)
def test_confidence_is_the_chance_of_the_key(notes, lengths):
    song = make_song(notes, lengths)
    grid, found = quantise(song), columns(song)
    keys = follow(song, grid, HMM)
    if keys.song == NO_KEY:
        assert not found["key_confidence"].any()
        return
    np.testing.assert_allclose(keys.chance.sum(axis=1), 1.0)
    of_key = keys.chance[np.arange(len(keys.key)), keys.key]
    np.testing.assert_allclose(found["key_confidence"], of_key, atol=1e-4)
    if len(set(found["key"].tolist())) == 1:
        assert found["key"][0] == found["song_key"]
        assert (found["key_confidence"] == found["key_confidence"][0]).all()


def test_moves_are_chances_and_near_keys_are_nearer():
    moves = transitions(HMM)
    np.testing.assert_allclose(moves.sum(axis=2), 1.0)
    assert (moves > 0).all()
    assert (moves.argmax(axis=2) == np.arange(24)).all()
    assert (moves[:, 0, 7] > moves[:, 0, 6]).all()
    assert moves[1, 0, 7] > moves[0, 0, 7]
    # However large the chances are set, they stay chances.
    wild = transitions(replace(HMM, change=0.9, phrase_change=0.99))
    np.testing.assert_allclose(wild.sum(axis=2), 1.0)
    assert (wild >= 0).all()


def test_an_unknown_method_is_refused():
    with pytest.raises(
        ValueError, match="unknown key method 'guess': known are hmm, ks_bar"
    ):
        KeyConfig(method="guess")


@pytest.mark.parametrize("name", ["uniform", "change", "phrase_change"])
def test_chances_of_nothing_are_refused(name):
    for value in (0.0, -0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=f"{name} must be over 0 and under 1"):
            replace(HMM, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("evidence", float("nan")),
        ("gain", float("inf")),
        ("path_temperature", 0.5),
        ("mode_cost", 1000.0),
        ("fifths_cost", -1.0),
    ],
)
def test_weights_that_leave_no_posterior_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must"):
        replace(HMM, **{name: value})


def test_a_move_as_dear_as_may_be_still_has_a_posterior():
    dear = replace(
        HMM,
        fifths_cost=8.0,
        mode_cost=50.0,
        parallel_cost=50.0,
        relative_cost=50.0,
        evidence=1000.0,
    )
    found = columns(make_song(chords([0, 6, 15], 8), [96]), dear)
    assert (found["key_confidence"] > 0.5).all()


def test_keys_that_correlate_alike():
    # An augmented triad is the same from each of its three notes: the highest takes it; all
    # twelve notes: B minor.
    augmented, even = np.zeros(12), np.ones(12)
    augmented[[0, 4, 8]] = 24.0
    key, confidence = krumhansl_schmuckler(np.array([augmented, even]))
    assert key[0] % 12 in (8, 9, 10, 11) and confidence[0] < 1e-9
    assert key[1] == 23 and confidence[1] == 0.0


def music21_key(song: Song, grid: Grid, bar: int) -> int:
    """What music21 finds in the notes of a bar, each cut at the bar's lines."""
    start, length = int(song.bars["start"][bar]), int(song.bars["length"][bar])
    onset = song.bars["start"][grid.bar] + 6 * grid.position
    end = np.minimum(onset + 6 * grid.sixteenths, start + length)
    measure = stream.Measure()
    for i in np.flatnonzero(
        (onset < start + length) & (end > start) & (song.notes["track"] != DRUMS)
    ):
        at = max(int(onset[i]), start)
        single = note.Note(
            int(song.notes["pitch"][i]), quarterLength=Fraction(int(end[i]) - at, 24)
        )
        measure.insert(Fraction(at - start, 24), single)
    tonic, mode, _ = KrumhanslSchmuckler().process(measure)[0]
    return tonic.pitchClass + 12 * (mode == "minor")


def test_ks_bar_equals_music21_on_real_bars(lpd_root):
    rng = np.random.default_rng(5)
    n_bars = n_ties = 0
    for path in sorted(lpd_root.rglob("*.npz"))[::120]:
        notes = read_npz(path.read_bytes(), Limits()).notes
        song = Song(
            "lpd5",
            path.stem,
            notes,
            regular_bars(covered_ticks(notes)),
            make_tempi([0], [120.0]),
            "assumed_4_4",
        )
        grid = quantise(song)
        found = compute(song, grid, KS)
        weights = pitch_class_weights(song, grid)
        for bar in rng.permutation(len(song.bars))[:50].tolist():
            if not weights[bar].any():
                assert found["key"][bar] == NO_KEY
                continue
            expected, n_bars = music21_key(song, grid, bar), n_bars + 1
            if expected != found["key"][bar]:
                # music21 lets the last bit of a sum choose between equals.
                assert found["key_confidence"][bar] == 0.0
                a, b = (
                    np.corrcoef(weights[bar], key_profile("krumhansl_kessler")[key])[0, 1]
                    for key in (expected, found["key"][bar])
                )
                assert a == pytest.approx(b, abs=1e-9)
                n_ties += 1
    assert n_bars >= 1000
    assert n_ties <= n_bars // 100


def test_real_tunes_have_the_key_they_are_written_in(nottingham_root):
    right_bars, right_songs = [], []
    for path in sorted((nottingham_root / "MIDI").glob("*.mid"))[::8]:
        midi = read_midi(path.read_bytes(), Limits())
        signatures = {
            (event.key, event.tonality)
            for event in Score.from_midi(path.read_bytes()).key_signatures
        }
        if len(signatures) != 1:
            continue
        ((sharps, minor),) = signatures
        truth = (sharps * 7 % 12 + 9) % 12 + 12 if minor else sharps * 7 % 12
        parts = [
            (t.start, t.duration, t.pitch, t.velocity, np.full(len(t.start), 1 + (i > 0)))
            for i, t in enumerate(midi.tracks)
        ]
        notes = make_notes(*map(np.concatenate, zip(*parts, strict=True)))
        song = Song(
            "nottingham",
            path.stem,
            notes,
            midi_bars(midi, covered_ticks(notes)),
            make_tempi([0], [120.0]),
            "score",
        )
        found = columns(song)
        right_songs.append(found["song_key"] == truth)
        right_bars.append(found["key"] == truth)
    assert len(right_songs) > 100
    assert np.mean(right_songs) > 0.92
    assert np.mean(np.concatenate(right_bars)) > 0.89
