"""Views against the slow simple way, and MIDI there and back."""

import numpy as np
import pytest

from schemas import mock
from schemas.grid import quantise
from schemas.midi import write_midi
from schemas.remi import BAR_TOKEN, RemiConfig, encode
from schemas.rhythm import count_rhythm
from schemas.song import DRUMS, GUITAR, STRINGS, TRACKS, Song, make_notes
from training.config import ViewConfig
from training.data.keys import KeyTable, relative_key, tonics_of
from training.data.midi import read_midi
from training.data.views import Keys, separate, song_of, view_song
from training.errors import RunFailed

SONGS = mock.songs(6, seed=3, n_bars=8)
REMI = RemiConfig()


def by_hand(song, kind):
    """Rhythm counts, note by note."""
    grid = quantise(song)
    first = np.append(0, np.cumsum(grid.bar_positions))
    counts = np.zeros((len(song.bars), 16), int)
    for bar, position, length in zip(grid.bar, grid.position, grid.sixteenths, strict=True):
        for step in range(1 if kind == "onsets" else length):
            at = first[bar] + position + step
            if at < first[-1]:
                in_bar = int(np.searchsorted(first, at, side="right")) - 1
                if at - first[in_bar] < 16:
                    counts[in_bar, at - first[in_bar]] += 1
    return counts


@pytest.mark.parametrize("kind", ["onsets", "sounding"])
def test_rhythm_is_what_counting_note_by_note_gives(kind):
    for song in [*SONGS, mock.song("Piano: C4 D4 E4 | F4 _ _ | G4 _ _", meter=(3, 4))]:
        np.testing.assert_array_equal(
            getattr(count_rhythm(quantise(song)), kind), by_hand(song, kind)
        )


def test_a_view_of_all_tracks_without_a_limit_is_the_release_tokens():
    for song in SONGS:
        view = view_song(song, ViewConfig(tokens_per_bar=4000), REMI)
        np.testing.assert_array_equal(view.tokens, encode(song, quantise(song)).tokens)


def test_thinning_fits_every_bar_keeps_every_onset_and_the_end():
    cut = 0
    for song in SONGS:
        full = view_song(song, ViewConfig(tokens_per_bar=4000), REMI)
        view = view_song(song, ViewConfig(tokens_per_bar=96), REMI)
        lengths = np.diff(view.bar_offset)
        over = np.diff(full.bar_offset) > 96
        assert (
            lengths.max() <= 96
            and (view.notes_cut > 0) == over.any()
            and view.bars_over == over.sum()
        )
        assert view.notes == len(song.notes)
        cut += view.notes_cut
        for bar in range(len(song.bars)):
            mine, whole = (
                set(v.tokens[v.bar_offset[bar] : v.bar_offset[bar + 1]].tolist())
                for v in (view, full)
            )
            assert {t for t in whole if 3 <= t < 19} == {t for t in mine if 3 <= t < 19}, (
                "a position lost its Beat"
            )
            assert mine <= whole
        fits = np.diff(full.bar_offset) <= 96
        for bar in np.flatnonzero(fits):
            np.testing.assert_array_equal(
                view.tokens[view.bar_offset[bar] : view.bar_offset[bar + 1]],
                full.tokens[full.bar_offset[bar] : full.bar_offset[bar + 1]],
            )
    assert cut > 100


def test_thinning_takes_from_the_fullest_position_first_and_leaves_the_melody():
    song = mock.song("Piano: C4+E4+G4+C5 D4 E4 F4\nDrums: C2 C2 C2 C2")
    view = view_song(song, ViewConfig(tokens_per_bar=27), REMI)
    notes = song_of(view.tokens).notes
    piano = notes[notes["track"] == 1]
    assert view.notes_cut == 4 and piano["pitch"].tolist()[0] == mock.pitch("C5")
    assert sorted(set(piano["start"].tolist())) == [0, 24, 48, 72]


def test_tail_cuts_plainly():
    for song in SONGS:
        full = encode(song, quantise(song))
        view = view_song(song, ViewConfig(tokens_per_bar=40, overflow="tail"), REMI)
        for bar in range(len(song.bars)):
            whole = full.tokens[full.bar_offset[bar] : full.bar_offset[bar + 1]]
            np.testing.assert_array_equal(
                view.tokens[view.bar_offset[bar] : view.bar_offset[bar + 1]], whole[:40]
            )


def test_a_view_of_some_tracks_hears_no_other():
    song = SONGS[0]
    view = view_song(song, ViewConfig(tracks=("Piano",), tokens_per_bar=4000), REMI)
    alone = song.notes[song.notes["track"] == 1]
    assert set(song_of(view.tokens).notes["track"].tolist()) == {1} and view.notes == len(
        alone
    )
    piano = Song("m", "k", alone, song.bars, song.tempi, "score")
    assert view.rhythm.sum() == count_rhythm(quantise(piano)).onsets.sum()
    assert (view.tokens == BAR_TOKEN).sum() == len(song.bars)


def test_tokens_to_midi_and_back(tmp_path):
    for index, song in enumerate(SONGS):
        said = song_of(view_song(song, ViewConfig(), REMI).tokens)
        path = str(tmp_path / f"{index}.mid")
        write_midi(said, path)
        back = read_midi(path)
        np.testing.assert_array_equal(back.notes, said.notes)
        np.testing.assert_array_equal(
            encode(back, quantise(back)).tokens,
            encode(said, quantise(said)).tokens[: len(encode(back, quantise(back)).tokens)],
        )
        np.testing.assert_allclose(back.tempi["bpm"], said.tempi["bpm"], rtol=1e-4)


@pytest.mark.parametrize("pitch", ["tonic", "bar_tonic"])
def test_pitch_relative_to_the_tonic_comes_back_exactly(pitch):
    wide = mock.song("Piano: A0+C8 C4 D4 E4 | G4 A0 B7 C8\nDrums: C2 C2 A0 C2")
    for song in [*SONGS, wide]:
        keys = Keys(np.arange(len(song.bars), dtype=np.uint8) * 5 % 25, 14)
        plain = view_song(song, ViewConfig(tokens_per_bar=4000), REMI, keys)
        told = view_song(song, ViewConfig(tokens_per_bar=4000, pitch=pitch), REMI, keys)
        back = song_of(told.tokens, tonic=told.tonic)
        np.testing.assert_array_equal(back.notes, song_of(plain.tokens).notes)
        np.testing.assert_array_equal(told.rhythm, plain.rhythm)
        assert np.diff(told.bar_offset).tolist() == np.diff(plain.bar_offset).tolist()


def test_a_song_and_its_transposition_are_one_to_a_tonic_view():
    """Note by note: the degree over the tonic is what the view says, the key likewise."""
    text = "Piano: {} {} {} {}\nDrums: C2 C2 C2 C2"
    in_c = mock.song(text.format("C4", "Eb4", "G4", "C5"))
    in_a = mock.song(text.format("A3", "C4", "E4", "A4"))
    config = ViewConfig(tokens_per_bar=400, pitch="tonic")
    views = [view_song(song, config, REMI) for song in (in_c, in_a)]
    np.testing.assert_array_equal(views[0].tokens, views[1].tokens)
    assert [view.key.tolist() for view in views] == [[12], [12]]
    assert [view.tonic.tolist() for view in views] == [[0], [9]]


def test_tonics_of_bars_without_a_key():
    key = np.array([24, 7, 24, 21], np.uint8)
    assert tonics_of(key, 14, by_bar=True).tolist() == [2, 7, 7, 9]
    assert tonics_of(key, 14, by_bar=False).tolist() == [2, 2, 2, 2]
    assert tonics_of(key, 24, by_bar=False).tolist() == [0, 0, 0, 0]
    assert relative_key(key, np.array([2, 7, 7, 2])).tolist() == [24, 0, 24, 19]


def test_keys_are_drawn_as_songs_of_the_quadrant_have_them():
    label = np.array([[1, 1], [1, 1], [0, 0], [-1, -1]])
    table = KeyTable.of(np.array([2, 7, 4, 11]), label)
    happy = table.draw({"arousal": 1, "valence": 1}, 400, 0)
    assert set(happy.tolist()) == {2, 7} and 150 < (happy == 2).sum() < 250
    for classes in ({"arousal": 1, "valence": 0}, {"arousal": 1, "valence": None}):
        assert set(table.draw(classes, 400, 0).tolist()) == {2, 4, 7, 11}


def test_separate_leaves_what_an_instrument_can_play():
    notes = make_notes(
        [0, 0, 10, 12], [20, 8, 20, 4], [60, 60, 60, 62], [90, 80, 70, 60], [1, 1, 1, 1]
    )
    assert separate(notes)[["start", "duration", "velocity"]].tolist() == [
        (0, 10, 90),
        (10, 20, 70),
        (12, 4, 60),
    ]
    assert len(separate(notes[:0])) == 0


def test_programs_go_to_the_tracks_of_lpd5(tmp_path):
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(initial_tempo=100)
    for program, drum in ((0, True), (7, False), (31, False), (39, False), (73, False)):
        part = pretty_midi.Instrument(program, is_drum=drum)
        part.notes.append(pretty_midi.Note(100, 40 + program % 50, 0.0, 0.6))
        midi.instruments.append(part)
    midi.time_signature_changes.append(pretty_midi.TimeSignature(3, 4, 0.0))
    midi.write(str(tmp_path / "five.mid"))
    song = read_midi(str(tmp_path / "five.mid"))
    assert (
        sorted(song.notes["track"].tolist()) == [0, 1, 2, 3, 4]
        and GUITAR == 2
        and STRINGS == 4
        and DRUMS == 0
    )
    assert song.notes[song.notes["track"] == 4]["pitch"].tolist() == [63]
    assert (
        song.bars["numerator"].tolist() == [3]
        and song.notes["duration"].tolist() == [24] * 5
    )
    np.testing.assert_allclose(song.tempi["bpm"], [100], rtol=1e-4)
    assert len(TRACKS) == 5


def test_a_midi_without_notes_too_long_or_none_at_all_says_so(tmp_path):
    import mido
    import pretty_midi

    pretty_midi.PrettyMIDI().write(str(tmp_path / "empty.mid"))
    (tmp_path / "text.mid").write_text("hello")
    far = mido.MidiFile(ticks_per_beat=1, tracks=[mido.MidiTrack()])
    # 178,956,971 quarters are 2**32 + 8 of our ticks: in 32 bits they would come round to
    # the beginning.
    times = (
        (0, "note_on"),
        (2**31 // 24 * 2 + 1, "note_off"),
        (0, "note_on"),
        (4, "note_off"),
    )
    far.tracks[0].extend(
        mido.Message(kind, note=60, velocity=64, time=time) for time, kind in times
    )
    far.save(tmp_path / "far.mid")
    with pytest.raises(RunFailed, match="lasts over"):
        read_midi(str(tmp_path / "far.mid"))
    with pytest.raises(RunFailed, match="has no notes"):
        read_midi(str(tmp_path / "empty.mid"))
    with pytest.raises(RunFailed, match="cannot be read as MIDI"):
        read_midi(str(tmp_path / "text.mid"))
