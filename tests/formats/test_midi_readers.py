"""symusic's and miditoolkit's readings of one file are the same; where they are not, it is
said here."""

import io
import struct
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.formats.midi import midi_bars, midi_keys, midi_tempi, read_midi
from pipelines.formats.midi_readers import READERS, RawMidi, by_miditoolkit, by_symusic
from schemas.contracts import Limits
from schemas.keys import KEY_NAMES
from schemas.reject import BadInput, Reason

LIMITS = Limits()
Event = tuple[int, mido.Message | mido.MetaMessage]


def smf(*tracks: list[Event], ticks_per_beat: int = 480) -> bytes:
    """A file of tracks of (tick, message)."""
    midi = mido.MidiFile(ticks_per_beat=ticks_per_beat)
    for events in tracks:
        track, now = mido.MidiTrack(), 0
        for tick, message in sorted(events, key=lambda event: event[0]):
            track.append(message.copy(time=tick - now))
            now = tick
        midi.tracks.append(track)
    stream = io.BytesIO()
    midi.save(file=stream)
    return stream.getvalue()


def note(start: int, end: int, pitch: int, channel: int = 0) -> list[Event]:
    return [
        (end, mido.Message("note_off", note=pitch, channel=channel)),
        (start, mido.Message("note_on", note=pitch, velocity=70, channel=channel)),
    ]


def program(tick: int, number: int) -> Event:
    return tick, mido.Message("program_change", program=number)


def rows(raw: RawMidi, with_program: bool = True) -> list[tuple[int, ...]]:
    """Every note of a reading, sorted."""
    found = []
    for track in raw.tracks:
        kind = (track.program * with_program, int(track.is_drum))
        columns = (track.start, track.end, track.pitch, track.velocity)
        found += [kind + one for one in zip(*(c.tolist() for c in columns), strict=True)]
    return sorted(found)


def assert_same(blob: bytes, with_program: bool = True) -> None:
    """Both readings of a file: notes, and what a song takes of the rest."""
    assert rows(by_symusic(blob), with_program) == rows(by_miditoolkit(blob), with_program)
    one, other = (read_midi(blob, LIMITS, reader) for reader in READERS)
    assert one.time_signatures == other.time_signatures
    assert one.keys == other.keys
    assert one.rounded_onsets == other.rounded_onsets
    tempi, others = midi_tempi(one), midi_tempi(other)
    assert np.array_equal(tempi["start"], others["start"])
    assert np.allclose(tempi["bpm"], others["bpm"], rtol=1e-6)


@settings(max_examples=40)
@given(
    st.integers(1, 960),
    st.lists(
        st.tuples(st.integers(0, 2000), st.integers(1, 400), st.integers(50, 54)),
        min_size=1,
        max_size=25,
    ),
    st.lists(st.tuples(st.integers(1, 2000), st.integers(200_000, 900_000)), max_size=4),
)
def test_overlapping_and_touching_notes_and_tempi(
    ticks_per_beat: int,
    notes: list[tuple[int, int, int]],
    tempi: list[tuple[int, int]],
) -> None:
    events = [event for s, d, p in notes for event in note(s, s + d, p)]
    changes = [(at, mido.MetaMessage("set_tempo", tempo=us)) for at, us in tempi]
    assert_same(smf(changes, events, ticks_per_beat=ticks_per_beat))


@pytest.mark.parametrize("reader", READERS)
def test_keys_are_numbered_as_everywhere(reader: str) -> None:
    names = [name.replace(" major", "").replace(" minor", "m") for name in KEY_NAMES]
    assert "C" in names and "Am" in names
    spelt = {
        "C": 0,
        "F#": 6,
        "Gb": 6,
        "Bb": 10,
        "B": 11,
        "Cm": 12,
        "F#m": 18,
        "Bbm": 22,
        "Am": 21,
    }
    for name, number in spelt.items():
        blob = smf([(0, mido.MetaMessage("key_signature", key=name)), *note(0, 96, 60)])
        assert read_midi(blob, LIMITS, reader).keys == ((0, number),), name


def test_the_key_of_a_bar_is_the_last_that_was_stated() -> None:
    keys = [(480 * 4, "G"), (480 * 9, "Em")]
    metas = [(at, mido.MetaMessage("key_signature", key=name)) for at, name in keys]
    midi = read_midi(smf([*metas, *note(0, 480 * 16, 60)]), LIMITS)
    assert midi_keys(midi, midi_bars(midi, 24 * 16)).tolist() == [24, 7, 7, 16]
    assert not len(midi_keys(read_midi(smf(note(0, 9, 60)), LIMITS), midi_bars(midi, 9)))


def test_a_note_that_outlasts_a_program_has_the_one_it_began_or_ended_with() -> None:
    blob = smf([program(0, 25), *note(0, 480, 60), program(240, 33)])
    assert [track.program for track in by_symusic(blob).tracks] == [25]
    assert [track.program for track in by_miditoolkit(blob).tracks] == [33]
    assert_same(blob, with_program=False)


@pytest.mark.parametrize("reader", READERS)
def test_seconds_are_those_of_the_files_own_ticks(reader: str) -> None:
    tempo = (481, mido.MetaMessage("set_tempo", tempo=1_000_000))
    midi = read_midi(smf([tempo, *note(7, 20, 60), *note(961, 990, 62)]), LIMITS, reader)
    wanted = [7 / 960, 481 / 960 + 480 / 480]
    assert np.allclose(midi.tracks[0].seconds, wanted)
    assert midi.rounded_onsets == 2


@pytest.mark.parametrize("reader", READERS)
def test_rmi_is_the_midi_inside_and_bad_bytes_are_refused(reader: str) -> None:
    blob = smf(note(0, 480, 60))
    riff = b"RIFF" + struct.pack("<I", len(blob) + 12) + b"RMIDdata"
    wrapped = riff + struct.pack("<I", len(blob)) + blob
    assert read_midi(wrapped, LIMITS, reader).end == 24
    for bad in (wrapped[:30], blob[:-4], b"RIFF", riff, blob[:22] + b"\xff" * 40):
        with pytest.raises(BadInput) as caught:
            read_midi(bad, LIMITS, reader)
        assert caught.value.reason in (
            Reason.MALFORMED,
            Reason.TRUNCATED,
            Reason.EMPTY_FILE,
        )


def test_real_files_are_read_alike(lmd_root: Path) -> None:
    """A few; tests/bench/midi_readers.py asks them all."""
    for path in sorted(lmd_root.glob("7/*.mid"))[:4]:
        assert_same(path.read_bytes(), with_program=False)
