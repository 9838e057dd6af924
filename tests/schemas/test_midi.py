"""The MIDI writer against two readers of other people's."""

import io
from fractions import Fraction

import numpy as np
import pretty_midi
import pytest
from symusic import Score

from schemas import mock
from schemas.midi import midi_bytes
from schemas.song import TRACKS, Song, make_notes, make_tempi, regular_bars

SONGS = mock.songs(6)


def apart(song: Song) -> Song:
    """A song without notes that sound over others of their pitch, which MIDI cannot tell."""
    kept: dict[tuple[int, int], int] = {}
    rows = []
    for row in song.notes.tolist():
        start, duration, pitch, _, track = row
        if start >= kept.get((track, pitch), 0):
            rows.append(row)
            kept[track, pitch] = start + duration
    notes = make_notes(*np.array(rows).T)
    return Song("mock", song.source_key, notes, song.bars, song.tempi, "score")


@pytest.mark.parametrize("song", SONGS, ids=lambda song: song.source_key[-1])
def test_notes_and_tempi_are_those_that_symusic_reads(song: Song) -> None:
    song = apart(song)
    score = Score.from_midi(midi_bytes(song))
    found = []
    for part in score.tracks:
        for note in part.notes:
            place = Fraction(note.start, 20), Fraction(note.duration, 20)
            found.append((*place, note.pitch, note.velocity, TRACKS.index(part.name)))
    wanted = [tuple(row) for row in song.notes.tolist()]
    assert sorted(found) == sorted(wanted)
    assert [tempo.time // 20 for tempo in score.tempos] == song.tempi["start"].tolist()
    assert [tempo.qpm for tempo in score.tempos] == pytest.approx(
        song.tempi["bpm"].tolist(), rel=1e-5
    )


def test_programs_drums_and_meters_are_those_that_pretty_midi_reads() -> None:
    bars = np.concatenate([regular_bars(96, 4, 4), regular_bars(144, 3, 4)])
    bars["start"][1:] += 96
    notes = make_notes([0, 96], [24, 24], [60, 36], [80, 90], [3, 0])
    song = Song("mock", "m", notes, bars, make_tempi([0], [90.0]), "score")
    midi = pretty_midi.PrettyMIDI(io.BytesIO(midi_bytes(song)))
    parts = {part.name: (part.program, part.is_drum) for part in midi.instruments}
    assert parts["Bass"] == (32, False) and parts["Drums"] == (0, True)
    meters = [(one.numerator, one.denominator) for one in midi.time_signature_changes]
    assert meters == [(4, 4), (3, 4)]
    assert midi.get_downbeats()[1] == pytest.approx(4 * 60 / 90)


def test_the_same_song_gives_the_same_bytes() -> None:
    assert midi_bytes(SONGS[0]) == midi_bytes(mock.songs(6)[0])
