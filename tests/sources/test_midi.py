"""Source midi: which files make which songs, on which tracks and beats."""

import io
from pathlib import Path

import mido
import numpy as np
import pytest

from pipelines.config import load
from pipelines.io.files import BeamFiles
from pipelines.registry import SOURCES
from pipelines.sources.midi import MidiConfig, is_chosen, items, parse, track_of_programs
from schemas.contracts import Limits
from schemas.grid import quantise
from schemas.reject import BadInput, Reason
from schemas.remi import RemiConfig, encode
from schemas.row import from_row, to_row
from schemas.settings import SettingsError
from schemas.song import BASS, DRUMS, GUITAR, PIANO, STRINGS, Song, seconds_at

A = "a" * 32
TRACK, OTHER = "TRABCDE1234567890F", "TRZZZZZ1234567890F"
Notes = list[tuple[float, float, int]]
TUNE: Notes = [(beat, 1, 60 + beat % 5) for beat in range(16)]


def midi(
    notes: Notes = TUNE, program: int = 0, channel: int = 0, meter: str = "4/4"
) -> bytes:
    """A file of notes (quarter, quarters long, pitch)."""
    file = mido.MidiFile(ticks_per_beat=480)
    events: list[tuple[int, mido.Message]] = []
    for start, long, pitch in notes:
        on = mido.Message("note_on", note=pitch, velocity=80, channel=channel)
        off = mido.Message("note_off", note=pitch, channel=channel)
        events += [(round(480 * start), on), (round(480 * (start + long)), off)]
    track, now = mido.MidiTrack(), 0
    numerator, denominator = map(int, meter.split("/"))
    track.append(
        mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator)
    )
    track.append(mido.Message("program_change", program=program, channel=channel))
    for tick, event in sorted(events, key=lambda one: (one[0], one[1].type)):
        track.append(event.copy(time=tick - now))
        now = tick
    file.tracks.append(track)
    stream = io.BytesIO()
    file.save(file=stream)
    return stream.getvalue()


def put(root: Path, path: str, blob: bytes) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(blob)


def read(root: Path, **settings: object) -> dict[str, Song]:
    config = MidiConfig(str(root), **settings)  # type: ignore[arg-type]  # as a build file gives them
    return {
        item.key: parse(
            item,
            tuple(BeamFiles().read(str(root), path) for path in item.paths),
            config,
            Limits(),
        )
        for item in items(BeamFiles(), config)
    }


def one(blob: bytes, root: Path, **settings: object) -> Song:
    put(root, "song.mid", blob)
    return read(root, **settings)["song"]


def test_files_of_every_ending_and_lakhs_names_are_songs(tmp_path: Path) -> None:
    for path in ("a.mid", "b/A.MIDI", "b/c.kar", "d.rmi", f"0/{A}", f"c/{A[1:]}", "x.txt",
                 "._a.mid", "__MACOSX/b/._c.kar", "e.mid.gz"):  # fmt: skip
        put(tmp_path, path, midi())
    (tmp_path / "folder.mid").mkdir()
    found = items(BeamFiles(), MidiConfig(str(tmp_path), name="mine"))
    assert [(item.song_id, item.n_bytes is None) for item in found] == [
        ("mine:a", False),
        (f"mine:{A}", False),
        ("mine:b/A.MIDI", False),
        ("mine:b/c.kar", False),
        ("mine:d.rmi", False),
        ("mine:folder", True),
    ]


def test_a_pattern_chooses_and_no_two_files_share_a_key(tmp_path: Path) -> None:
    assert is_chosen("b/Q1_x.MID", "b/q*.mid") and not is_chosen("c/Q1_x.mid", "b/*")
    put(tmp_path, "a.mid", midi())
    put(tmp_path, "a", midi())
    with pytest.raises(ValueError, match=r"a and a\.mid"):
        items(BeamFiles(), MidiConfig(str(tmp_path), pattern="*"))


def test_an_md5_is_one_song_and_its_folders_are_its_tracks(tmp_path: Path) -> None:
    put(tmp_path, f"A/B/C/{TRACK}/{A}.mid", midi())
    put(tmp_path, f"Z/Z/Z/{OTHER}/{A}.mid", midi())
    songs = read(tmp_path)
    assert list(songs) == [A]
    assert songs[A].folder_track_ids == (TRACK, OTHER)
    assert songs[A].title is None


def test_programs_go_where_lpd_puts_them(tmp_path: Path) -> None:
    tracks = track_of_programs({})
    for program in range(128):
        family = program // 8
        wanted = {0: PIANO, 3: GUITAR, 4: BASS}.get(family, STRINGS)
        if 12 <= family <= 12 or family >= 14:
            assert tracks[program] is None, program
        else:
            assert tracks[program] == wanted, program
    assert one(midi(program=33), tmp_path).notes["track"].tolist() == [BASS] * 16
    assert set(one(midi(program=33, channel=9), tmp_path).notes["track"]) == {DRUMS}
    changed = one(midi(program=97), tmp_path, programs={"96-103": "Guitar"})
    assert set(changed.notes["track"]) == {GUITAR}


def test_notes_that_fit_nowhere_are_counted_and_a_file_of_them_is_refused(
    tmp_path: Path,
) -> None:
    file = mido.MidiFile(file=io.BytesIO(midi()))
    file.tracks.append(
        mido.MidiFile(file=io.BytesIO(midi(program=120, channel=3))).tracks[0]
    )
    stream = io.BytesIO()
    file.save(file=stream)
    assert one(stream.getvalue(), tmp_path).origin.unplaced_notes == 16
    with pytest.raises(BadInput, match="none of its 16 notes") as caught:
        one(midi(program=120), tmp_path)
    assert caught.value.reason == Reason.MALFORMED


def test_two_hands_on_one_note_are_one(tmp_path: Path) -> None:
    file = mido.MidiFile(file=io.BytesIO(midi()))
    longer = [(beat, 2, pitch) for beat, _, pitch in TUNE[:4]]
    file.tracks.append(mido.MidiFile(file=io.BytesIO(midi(longer, 1, 5))).tracks[0])
    stream = io.BytesIO()
    file.save(file=stream)
    song = one(stream.getvalue(), tmp_path)
    assert (len(song.notes), song.origin.doubled_notes) == (16, 4)
    assert song.notes["duration"].tolist() == [48] * 4 + [24] * 12


def test_bars_are_the_files_where_its_beats_are_kept(tmp_path: Path) -> None:
    song = one(midi(meter="3/4"), tmp_path)
    assert (song.meter_source, song.origin.meter_confidence) == ("midi", None)
    assert song.bars["length"].tolist() == [72] * 6 and not len(song.origin.note_seconds)
    assert song.title == "song" and song.song_id == "midi:song"


def uneven(seed: int = 0) -> bytes:
    """A tune that is played at 100 quarters a minute into a file that says 120."""
    random = np.random.default_rng(seed)
    tune: Notes = [(4 * bar, 4, 36) for bar in range(8)]
    tune += [(beat, 0.9, 60 + beat % 5) for beat in range(32)]
    tune += [(beat + 0.5, 0.4, 72) for beat in range(0, 32, 2)]
    hands = random.normal(0, 0.02, len(tune))
    return midi(
        [(0.4 + 1.2 * start + off, long * 1.2, pitch)
         for (start, long, pitch), off in zip(tune, hands, strict=True)]
    )  # fmt: skip


def test_performed_music_gets_the_beats_it_is_played_on(tmp_path: Path) -> None:
    song = one(uneven(), tmp_path)
    assert song.meter_source == "tracked"
    assert song.origin.meter_confidence and song.origin.meter_confidence > 0.5
    bpm = np.median(song.tempi["bpm"])
    assert bpm == pytest.approx(100, rel=0.02)
    bass = song.notes["start"][song.notes["pitch"] == 36]
    assert {int(start) for start in bass[1:] - song.bars["start"][0]} <= set(
        song.bars["start"].tolist()
    ) | {int(start) for start in bass}
    # No second is lost: as played, and within a tick of what the tempi say
    seconds = seconds_at(song.tempi, song.notes["start"])
    gap = seconds - song.origin.note_seconds
    assert np.abs(gap - np.median(gap)).max() < 0.05
    as_file = one(uneven(), tmp_path, beats="file")
    assert as_file.meter_source == "midi" and np.all(as_file.tempi["bpm"] == 120)


def test_a_row_keeps_what_was_played(tmp_path: Path) -> None:
    song = one(uneven(), tmp_path, is_cut=True)
    again = from_row(to_row(song, encode(song, quantise(song), RemiConfig()), {}))
    assert again.origin.is_cut and again.origin.meter_confidence
    assert np.array_equal(again.origin.note_seconds, song.origin.note_seconds)


def test_trim_takes_off_bars_that_only_ring(tmp_path: Path) -> None:
    ringing: Notes = [*TUNE, (15.9, 40, 30)]
    whole, cut = (one(midi(ringing), tmp_path, trim=trim) for trim in (False, True))
    # 15.9 quarters round to the sixteenth that begins a bar
    assert (len(whole.bars), len(cut.bars)) == (14, 5)
    assert int((cut.notes["start"] + cut.notes["duration"]).max()) == 5 * 96
    assert len(cut.notes) == len(whole.notes)


@pytest.mark.parametrize(
    ("programs", "says"),
    [
        ({"128": "Piano"}, "'128' is no program"),
        ({"9-4": "Piano"}, "'9-4' is no program"),
        ({"x": "Piano"}, "'x' is no program"),
        (
            {"4": "Flute"},
            "goes to Drums, Piano, Guitar, Bass, Strings or none, not to 'Flute'",
        ),
    ],
)
def test_a_program_table_that_is_none(programs: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        MidiConfig(programs=programs)


def test_folders_under_names_of_their_own(tmp_path: Path) -> None:
    build = tmp_path / "build.toml"

    def loaded(text: str) -> object:
        build.write_text(f'name = "x"\n{text}')
        return load(str(build), [], SOURCES)

    text = '[sources.mine]\nkind = "midi"\nroot = "r"\n[sources.midi]\nroot = "s"\n'
    config = load(str(build), [], SOURCES) if build.exists() else loaded(text)
    names = {name: one.name for name, one in config.sources.items()}  # type: ignore[attr-defined]
    assert names == {"mine": "mine", "midi": "midi"}
    for text, says in (
        ('[sources.mine]\nkind = "mid"\n', "sources.mid: did you mean midi"),
        ('[sources.mine]\nkind = "lpd5"\n', "only midi goes under other names"),
        ('[sources."My Songs"]\nkind = "midi"\n', "a name is made of a-z"),
        ('[sources.mine]\nroot = "r"\n', "unknown key sources.mine"),
    ):
        with pytest.raises(SettingsError, match=says):
            loaded(text)
