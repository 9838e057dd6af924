"""read_midi against pretty_midi, against a writer of our own, and against hostile bytes."""

import struct
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.formats.midi import MidiFile, midi_bars, midi_tempi, read_midi
from schemas.contracts import Limits
from schemas.reject import BadInput, Reason

LIMITS = Limits()
Event = tuple[int, bytes]


def variable_length(value: int) -> bytes:
    groups = [value & 127]
    while value := value >> 7:
        groups.append(value & 127 | 128)
    return bytes(reversed(groups))


def chunk(events: list[Event]) -> bytes:
    """One MTrk of (tick, message) events, in the order given."""
    body, now = b"", 0
    for tick, message in events:
        body += variable_length(tick - now) + message
        now = tick
    body += b"\x00\xff\x2f\x00"
    return b"MTrk" + struct.pack(">I", len(body)) + body


def smf(*tracks: list[Event], ticks_per_quarter: int = 96) -> bytes:
    return (
        b"MThd"
        + struct.pack(">IHHH", 6, 1, len(tracks), ticks_per_quarter)
        + b"".join(map(chunk, tracks))
    )


def note(
    start: int, end: int, pitch: int, velocity: int = 90, channel: int = 0
) -> list[Event]:
    return [
        (start, bytes([0x90 | channel, pitch, velocity])),
        (end, bytes([0x80 | channel, pitch, 0])),
    ]


def meter(tick: int, numerator: int, power: int) -> Event:
    return tick, bytes([0xFF, 0x58, 4, numerator, power, 24, 8])


def tempo(tick: int, microseconds: int) -> Event:
    return tick, b"\xff\x51\x03" + microseconds.to_bytes(3, "big")


def rows(midi: MidiFile) -> list[tuple[int, ...]]:
    columns = [
        (track.start, track.duration, track.pitch, track.velocity) for track in midi.tracks
    ]
    return [
        row
        for track in columns
        for row in zip(*(column.tolist() for column in track), strict=True)
    ]


def reason(blob: bytes, limits: Limits = LIMITS) -> Reason:
    with pytest.raises(BadInput) as caught:
        read_midi(blob, limits)
    return caught.value.reason


def nearest(times: int, ticks_per_quarter: int) -> int:
    return (48 * times + ticks_per_quarter) // (2 * ticks_per_quarter)


def pretty_rows(path: Path) -> list[tuple[int, ...]]:
    """(start, duration, pitch, velocity, program, is_drum) of every note that
    pretty_midi sees, in our ticks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pretty_midi

        pretty = pretty_midi.PrettyMIDI(str(path))
    found: list[tuple[int, ...]] = []
    for instrument in pretty.instruments:
        for one in instrument.notes:
            start, end = (
                nearest(int(pretty.time_to_tick(t)), pretty.resolution)
                for t in (one.start, one.end)
            )
            row = (
                start,
                max(1, end - start),
                one.pitch,
                one.velocity,
                int(instrument.program),
                instrument.is_drum,
            )
            found.append(row)
    return found


def our_rows(path: Path) -> list[tuple[int, ...]]:
    midi = read_midi(path.read_bytes(), LIMITS)
    return [
        (*row, t.program, t.is_drum)
        for t in midi.tracks
        for row in rows(MidiFile((t,), (), ()))
    ]


class TestOracle:
    def test_nottingham_is_pretty_midis_note_for_note(self, nottingham_root: Path) -> None:
        for path in sorted((nottingham_root / "MIDI").glob("*.mid"))[::9]:
            assert Counter(our_rows(path)) == Counter(pretty_rows(path)), path.name

    def test_lakh_is_pretty_midis_but_for_stray_notes(self, lmd_root: Path) -> None:
        """Program changes amid a note and notes of no length are read in other ways:
        under one note in a hundred."""
        equal = 0
        paths = sorted(lmd_root.glob("0/*.mid"))[:14]
        for path in paths:
            ours, pretty = Counter(our_rows(path)), Counter(pretty_rows(path))
            equal += ours == pretty
            assert (ours - pretty).total() + (
                pretty - ours
            ).total() < 0.01 * pretty.total(), path.name
        assert equal > len(paths) // 2

    def test_the_three_broken_files(self, lmd_root: Path) -> None:
        """pretty_midi refuses all three: two for a key signature that is none, which
        does not concern the notes."""
        names = {path.stem[:8]: path for path in lmd_root.glob("*/*.mid")}
        assert reason(names["42213043"].read_bytes()) == Reason.MALFORMED
        for stem in ("6cf97f67", "b4468b49"):
            midi = read_midi(names[stem].read_bytes(), LIMITS)
            assert sum(len(track.start) for track in midi.tracks) > 500


class TestNotes:
    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(1, 960),
        st.lists(
            st.tuples(
                st.integers(0, 3000),
                st.integers(1, 500),
                st.integers(0, 127),
                st.integers(1, 127),
            ),
            min_size=1,
            max_size=30,
            unique_by=lambda one: one[2],
        ),
    )
    def test_every_note_comes_back(
        self, ticks_per_quarter: int, notes: list[tuple[int, int, int, int]]
    ) -> None:
        events = sorted(event for s, d, p, v in notes for event in note(s, s + d, p, v))
        wanted = []
        for s, d, p, v in notes:
            start = nearest(s, ticks_per_quarter)
            wanted.append((start, max(1, nearest(s + d, ticks_per_quarter) - start), p, v))
        midi = read_midi(smf(events, ticks_per_quarter=ticks_per_quarter), LIMITS)
        assert rows(midi) == sorted(wanted, key=lambda row: (row[0], row[2]))

    def test_a_note_off_ends_all_notes_of_its_pitch_that_sound(self) -> None:
        overlapping = [*note(0, 96, 60), *note(48, 192, 60)]
        assert rows(read_midi(smf(sorted(overlapping)), LIMITS)) == [
            (0, 24, 60, 90),
            (12, 12, 60, 90),
        ]

    def test_tracks_and_channels_stay_apart_and_empty_ones_go(self) -> None:
        name = (0, b"\xff\x03\x04Bass")
        program = (0, bytes([0xC0, 33]))
        midi = read_midi(
            smf(
                [meter(0, 3, 2)],
                [name, program, *note(0, 96, 40)],
                note(0, 96, 36, channel=9),
            ),
            LIMITS,
        )
        assert [(t.name, t.program, t.is_drum) for t in midi.tracks] == [
            ("Bass", 33, False),
            ("", 0, True),
        ]
        assert midi.end == 24


class TestBars:
    def test_pick_up_and_changes(self) -> None:
        """A bar of 1/4 as pick-up, two of 3/4, then 6/8 until the end is covered."""
        signatures = [meter(0, 1, 2), meter(96, 3, 2), meter(96 * 7, 6, 3)]
        midi = read_midi(smf([*signatures], note(0, 96 * 11, 60)), LIMITS)
        bars = midi_bars(midi, midi.end)
        assert bars["start"].tolist() == [0, 24, 96, 168, 240]
        assert bars["length"].tolist() == [24, 72, 72, 72, 72]
        assert list(
            zip(bars["numerator"].tolist(), bars["denominator"].tolist(), strict=True)
        )[2:4] == [(3, 4), (6, 8)]

    def test_a_change_amid_a_bar_cuts_it_short(self) -> None:
        midi = read_midi(
            smf([meter(0, 4, 2), meter(96 * 6, 2, 2)], note(0, 96 * 9, 60)), LIMITS
        )
        assert midi_bars(midi, midi.end)["length"].tolist() == [96, 48, 48, 48]

    def test_four_four_where_none_is_stated(self) -> None:
        midi = read_midi(smf(note(0, 96 * 5, 60)), LIMITS)
        assert midi.time_signatures == ()
        assert midi_bars(midi, midi.end)["length"].tolist() == [96, 96]

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, 2000), st.integers(1, 15), st.integers(0, 5)),
            max_size=6,
        ),
        st.integers(1, 3000),
    )
    def test_bars_run_on_and_every_signature_starts_one(
        self, changes: list[tuple[int, int, int]], end: int
    ) -> None:
        signatures = [meter(t, n, d) for t, n, d in sorted(changes)]
        midi = read_midi(smf(signatures, note(0, 96 * 200, 60)), LIMITS)
        bars = midi_bars(midi, end)
        ends = (bars["start"] + bars["length"]).tolist()
        assert (
            bars["start"].tolist() == [0, *ends[:-1]]
            and ends[-1] >= end
            and (bars["length"] > 0).all()
        )
        assert {tick for tick, _, _ in midi.time_signatures if tick < end} <= set(
            bars["start"].tolist()
        )
        assert (
            bars["length"] <= 96 * bars["numerator"].astype(int) // bars["denominator"]
        ).all()


def test_a_tempo_beyond_any_song_says_nothing() -> None:
    midi = read_midi(
        smf(
            [*note(0, 1, 60), tempo(1, 400_000), tempo(2**27, 500_000)], ticks_per_quarter=1
        ),
        LIMITS,
    )
    assert midi_tempi(midi).tolist() == [(0, 120.0), (24, 150.0)]


def test_tempi() -> None:
    midi = read_midi(
        smf([tempo(0, 600_000), tempo(192, 300_000), tempo(192, 400_000)], note(0, 96, 60)),
        LIMITS,
    )
    assert midi.tempi == ((0, 100.0), (48, 150.0))
    late = read_midi(smf([tempo(192, 400_000)], note(0, 960, 60)), LIMITS)
    assert midi_tempi(late).tolist() == [(0, 120.0), (48, 150.0)]


class TestHostile:
    whole = smf([meter(0, 4, 2)], note(0, 96, 60), note(0, 96, 64))

    def test_empty_and_other_files(self) -> None:
        assert reason(b"") == Reason.EMPTY_FILE
        for blob in (
            b"hello",
            b"<html><body>404</body></html>",
            b"\x00" * 500,
            b"RIFF" + self.whole,
        ):
            assert reason(blob) == Reason.MALFORMED

    def test_cut_at_every_byte(self) -> None:
        for length in range(4, len(self.whole)):
            assert reason(self.whole[:length]) == Reason.TRUNCATED, length

    def test_no_notes(self) -> None:
        assert reason(smf([meter(0, 4, 2)])) == Reason.MALFORMED

    def test_smpte_and_no_resolution(self) -> None:
        for division in (0, 0xE728):
            assert (
                reason(self.whole[:12] + struct.pack(">H", division) + self.whole[14:])
                == Reason.MALFORMED
            )

    def test_absurd_length_and_too_many_notes(self) -> None:
        assert (
            reason(smf(note(0, (1 << 28) - 1, 60), ticks_per_quarter=1)) == Reason.TOO_LARGE
        )
        assert reason(smf(note(0, 96, 60)), Limits(max_ticks=23)) == Reason.TOO_LARGE
        assert reason(self.whole, Limits(max_notes=1)) == Reason.TOO_LARGE
        assert reason(self.whole, Limits(max_file_bytes=10)) == Reason.TOO_LARGE

    def test_times_that_overflow(self) -> None:
        events = [
            (k * ((1 << 28) - 1), message)
            for k in range(12)
            for _, message in note(0, 0, 60)
        ]
        assert reason(smf(events)) == Reason.TOO_LARGE

    @settings(max_examples=200, deadline=None)
    @given(st.data())
    def test_changed_bytes_give_a_file_or_bad_input(self, data: st.DataObject) -> None:
        blob = bytearray(self.whole)
        for _ in range(data.draw(st.integers(1, 8))):
            blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
        try:
            midi = read_midi(bytes(blob), LIMITS)
        except BadInput:
            return
        for track in midi.tracks:
            assert (
                (np.diff(track.start) >= 0).all()
                and (track.start >= 0).all()
                and (track.duration > 0).all()
            )
            assert (
                track.pitch.max() <= 127
                and track.velocity.min() >= 1
                and track.velocity.max() <= 127
            )
        assert midi_bars(midi, midi.end)["length"].min() > 0
        assert np.isfinite(midi_tempi(midi)["bpm"]).all()


@pytest.mark.parametrize("n_more", [1, 2, 10])
def test_a_header_may_be_longer_than_the_six_bytes_that_are_known(n_more: int) -> None:
    short = smf([meter(0, 3, 2), *note(0, 96, 60)])
    fields = short[8:14] + bytes(n_more)
    longer = b"MThd" + struct.pack(">I", len(fields)) + fields + short[14:]
    wanted, found = read_midi(short, LIMITS), read_midi(longer, LIMITS)
    assert found.time_signatures == wanted.time_signatures == ((0, 3, 4),)
    assert found.tracks[0].pitch.tolist() == wanted.tracks[0].pitch.tolist() == [60]
    with pytest.raises(BadInput) as caught:
        read_midi(longer[: 14 + n_more], LIMITS)
    assert caught.value.reason == Reason.TRUNCATED


def test_a_header_shorter_than_its_fields_is_malformed() -> None:
    short = smf(note(0, 96, 60))
    with pytest.raises(BadInput) as caught:
        read_midi(b"MThd" + struct.pack(">I", 4) + short[8:], LIMITS)
    assert caught.value.reason == Reason.MALFORMED
