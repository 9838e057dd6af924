"""A Song as a Standard MIDI File, through miditoolkit: the one writer of both commands."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from schemas.song import (
    BASS,
    DRUMS,
    GUITAR,
    PIANO,
    STRINGS,
    TICKS_PER_QUARTER,
    TRACKS,
    Song,
)

# The General MIDI program that LPD-5 gives to each track.
PROGRAMS = {DRUMS: 0, PIANO: 0, GUITAR: 24, BASS: 32, STRINGS: 48}
MIDI_RESOLUTION = 480
_SCALE = MIDI_RESOLUTION // TICKS_PER_QUARTER


def write_midi(song: Song, path: str | Path) -> None:
    """Write the five tracks of a song with its tempo and meter changes; the same song gives
    the same bytes."""
    Path(path).write_bytes(midi_bytes(song))


def midi_bytes(song: Song) -> bytes:
    """The file's bytes: every onset, duration, pitch and velocity exact, a tempo to the
    nearest microsecond a quarter."""
    from miditoolkit import MidiFile, TempoChange, TimeSignature

    midi = MidiFile(ticks_per_beat=MIDI_RESOLUTION)
    midi.tempo_changes = [
        TempoChange(bpm, start * _SCALE) for start, bpm in song.tempi.tolist()
    ]
    meters = song.bars[["numerator", "denominator"]]
    changes = song.bars[np.append(True, meters[1:] != meters[:-1])]
    midi.time_signature_changes = [
        TimeSignature(numerator, denominator, start * _SCALE)
        for start, _, numerator, denominator in changes.tolist()
    ]
    midi.instruments = [_instrument(song, track) for track in range(len(TRACKS))]
    midi.max_tick = int(song.bars["start"][-1] + song.bars["length"][-1]) * _SCALE
    stream = io.BytesIO()
    midi.dump(file=stream)
    return stream.getvalue()


def _instrument(song: Song, track: int) -> Any:
    from miditoolkit import Instrument, Note

    instrument = Instrument(PROGRAMS[track], is_drum=track == DRUMS, name=TRACKS[track])
    notes = song.notes[song.notes["track"] == track]
    for start, duration, pitch, velocity, _ in notes.tolist():
        begin, end = start * _SCALE, (start + duration) * _SCALE
        instrument.notes.append(Note(velocity, pitch, begin, end))
    return instrument
