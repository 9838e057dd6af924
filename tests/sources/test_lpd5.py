import io
import json
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.formats.meter_estimate import estimate_meter
from pipelines.formats.npz import foreign_tracks
from pipelines.formats.npz_time import beat_quarters
from pipelines.formats.npz_write import write_npz
from pipelines.io.files import BeamFiles
from pipelines.sources.lpd5 import Lpd5Config, items, parse
from schemas import mock
from schemas.contracts import Item, Limits
from schemas.reject import BadInput, Reason
from schemas.song import Song, make_notes, make_tempi

A, B = "a" * 32, "b" * 32
TRACK, OTHER = "TRABCDE1234567890F", "TRZZZZZ1234567890F"


def put(
    path: Path, song: Song, n_ticks: int = 384, downbeats: list[int] | None = None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    marks = None if downbeats is None else np.array(downbeats)
    path.write_bytes(write_npz(song.notes, song.tempi, n_ticks, path.stem, marks))


def read(root: Path, midi_info: str = "", estimate_meter: bool = False) -> dict[str, Song]:
    config = Lpd5Config(str(root), midi_info, estimate_meter)
    found = items(BeamFiles(), config)
    return {
        item.key: parse(
            item,
            tuple(BeamFiles().read(str(root), path) for path in item.paths),
            config,
            Limits(),
        )
        for item in found
    }


TUNE = mock.song("Piano: C4 D4 E4 F4 | G4 _ _ _ | C5 - - - | C4 _ _ _")


def test_full_layout_takes_md5_names_alone(tmp_path: Path) -> None:
    put(tmp_path / "a" / f"{A}.npz", TUNE)
    put(tmp_path / "b" / f"{B}.npz", TUNE)
    put(tmp_path / "b" / "notes.npz", TUNE)
    (tmp_path / "c" / f"{'c' * 32}.npz").mkdir(parents=True)
    found = items(BeamFiles(), Lpd5Config(str(tmp_path)))
    assert [(item.song_id, item.n_bytes is None) for item in found] == [
        (f"lpd5:{A}", False),
        (f"lpd5:{B}", False),
        (f"lpd5:{'c' * 32}", True),
    ]


def test_matched_layout_gives_one_song_and_all_its_tracks(tmp_path: Path) -> None:
    put(tmp_path / "A" / "B" / "C" / TRACK / f"{A}.npz", TUNE)
    put(tmp_path / "Z" / "Z" / "Z" / OTHER / f"{A}.npz", TUNE)
    songs = read(tmp_path)
    assert list(songs) == [A]
    assert songs[A].folder_track_ids == (TRACK, OTHER)


def test_one_downbeat_says_nothing_of_bars(tmp_path: Path) -> None:
    put(tmp_path / "a" / f"{A}.npz", TUNE)
    song = read(tmp_path)[A]
    assert song.meter_source == "assumed_4_4"
    assert song.bars["start"].tolist() == [0, 96, 192, 288]


def test_a_full_downbeat_array_gives_the_bars(tmp_path: Path) -> None:
    put(tmp_path / "a" / f"{A}.npz", TUNE, downbeats=[24, 96, 168])
    song = read(tmp_path)[A]
    # The last mark is at 168 and the music goes on: from 240 on nothing is marked.
    assert song.meter_source == "downbeats_then_assumed"
    assert song.bars["start"].tolist() == [0, 24, 96, 168, 240, 312]
    assert song.bars["numerator"].tolist() == [1, 3, 3, 3, 3, 3]
    put(tmp_path / "a" / f"{A}.npz", TUNE, downbeats=[24, 96, 168, 240, 312])
    whole = read(tmp_path)[A]
    assert whole.meter_source == "downbeats"
    assert whole.bars.tolist() == song.bars.tolist()


def test_midi_info_gives_the_meter(tmp_path: Path) -> None:
    put(tmp_path / "a" / f"{A}.npz", TUNE)
    put(tmp_path / "b" / f"{B}.npz", TUNE)
    side = tmp_path / "midi_info.json"
    entry = {
        "constant_time_signature": "3/4",
        "first_beat_time": 0.0,
        "num_time_signature_change": 1,
        "constant_tempo": 120.0,
    }
    side.write_text(json.dumps({A: entry, B: {**entry, "constant_time_signature": None}}))
    songs = read(tmp_path, str(side))
    assert songs[A].meter_source == "midi_info"
    assert songs[A].bars["start"].tolist()[:4] == [0, 72, 144, 216]
    assert songs[B].meter_source == "assumed_4_4"


@pytest.mark.parametrize("first_beat", [0.0, 0.5, 1.5, 100.0, -1.0, 1e6, None])
def test_step_0_is_the_first_beat_whenever_that_was(
    tmp_path: Path, first_beat: float | None
) -> None:
    put(tmp_path / "a" / f"{A}.npz", TUNE)
    entry = {"constant_time_signature": "3/4", "first_beat_time": first_beat}
    (tmp_path / "info.json").write_text(json.dumps({A: entry}))
    song = read(tmp_path, str(tmp_path / "info.json"))[A]
    assert song.bars["start"].tolist()[:4] == [0, 72, 144, 216]


@pytest.mark.parametrize(
    ("signature", "starts"), [("3/4", [0, 48, 120, 192]), (None, [0, 48, 144, 240])]
)
def test_a_first_downbeat_after_a_pick_up_is_kept(
    tmp_path: Path, signature: str | None, starts: list[int]
) -> None:
    put(tmp_path / "a" / f"{A}.npz", TUNE, downbeats=[48])
    (tmp_path / "info.json").write_text(
        json.dumps({A: {"constant_time_signature": signature}})
    )
    song = read(tmp_path, str(tmp_path / "info.json"))[A]
    assert song.bars["start"].tolist()[:4] == starts


@pytest.mark.parametrize(
    "odd",
    [
        {"constant_time_signature": "4/64"},
        {"constant_time_signature": "99/4"},
    ],
)
def test_one_odd_meter_costs_its_song_the_meter(
    tmp_path: Path, odd: dict[str, object]
) -> None:
    put(tmp_path / "a" / f"{A}.npz", TUNE)
    put(tmp_path / "b" / f"{B}.npz", TUNE)
    entry = {"constant_time_signature": "3/4", "first_beat_time": 0.0}
    (tmp_path / "info.json").write_text(json.dumps({A: {**entry, **odd}, B: entry}))
    songs = read(tmp_path, str(tmp_path / "info.json"))
    assert (songs[A].meter_source, songs[B].meter_source) == ("assumed_4_4", "midi_info")


@pytest.mark.parametrize(
    "text",
    [
        "<html>",
        "[1]",
        '{"x": {"first_beat_time": 0}}',
        '{"x": {"constant_time_signature": "4/0"}}',
    ],
)
def test_a_side_file_that_is_not_lpd_s_is_refused(tmp_path: Path, text: str) -> None:
    put(tmp_path / "a" / f"{A}.npz", TUNE)
    (tmp_path / "info.json").write_text(text)
    with pytest.raises(ValueError, match=r"not LPD's midi_info\.json"):
        read(tmp_path, str(tmp_path / "info.json"))


def test_real_songs_are_all_read(lpd_root: Path) -> None:
    config = Lpd5Config(str(lpd_root))
    found = items(BeamFiles(), config)
    assert len(found) == 3848
    for item in found[::37]:
        song = parse(
            item, (BeamFiles().read(config.root, item.paths[0]),), config, Limits()
        )
        assert song.meter_source == "assumed_4_4"
        assert (song.bars["length"] == 96).all()
        assert len(song.notes)


STRONG, WEAK = 72, 60


def beaten(
    bars: list[tuple[int, int]], quarters: Fraction
) -> tuple[np.ndarray, int, list[int]]:
    """Notes as LPD's converter lays them, a note a denominator, pitch 72 where a bar starts; the
    steps of the roll, and the steps of its bar lines.

    bars: meters, one a bar; quarters: in one beat, which is 24 steps.
    """
    at, rows, lines = Fraction(0), [], []
    for numerator, denominator in bars:
        lines.append(int(at * 24 / quarters))
        for index in range(numerator):
            step = int((at + Fraction(4 * index, denominator)) * 24 / quarters)
            rows.append((step, STRONG if index == 0 else WEAK))
        at += Fraction(4 * numerator, denominator)
    starts, pitches = zip(*rows, strict=True)
    ones = np.ones(len(rows), int)
    notes = make_notes(starts, 3 * ones, pitches, 80 * ones, ones)
    return notes, int(at * 24 / quarters), lines


def converted(
    path: Path,
    bars: list[tuple[int, int]],
    quarters: Fraction = Fraction(1),
    beats_a_minute: list[float] | None = None,
    marks: int | None = 1,
) -> None:
    """An archive as the converter writes it: tiled tempo, the first marks bar lines, None for no
    downbeat member."""
    notes, n_steps, lines = beaten(bars, quarters)
    n_beats = n_steps // 24
    beats = beats_a_minute or [120.0] * n_beats
    downbeats = np.array(lines[:marks] if marks else [0])
    blob = write_npz(notes, make_tempi([0], [120.0]), n_steps, path.stem, downbeats)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        zipfile.ZipFile(io.BytesIO(blob)) as sound,
        zipfile.ZipFile(path, "w") as made,
    ):
        for name in sound.namelist():
            if name == "tempo.npy":
                member = io.BytesIO()
                np.lib.format.write_array(member, np.tile(np.array(beats), 24))
                made.writestr(name, member.getvalue())
            elif name != "downbeat.npy" or marks:
                made.writestr(name, sound.read(name))


def song_of(tmp_path: Path, signature: str | None = None, **archive: Any) -> Song:
    converted(tmp_path / "a" / f"{A}.npz", **archive)
    entry = {"constant_time_signature": signature, "first_beat_time": 1.5}
    (tmp_path / "midi_info.json").write_text(json.dumps({A: entry}))
    return read(tmp_path, str(tmp_path / "midi_info.json"))[A]


def strong(song: Song) -> list[int]:
    return song.notes["start"][song.notes["pitch"] == STRONG].tolist()


def test_a_tiled_tempo_changes_where_the_beat_does(tmp_path: Path) -> None:
    tempi = [120.0] * 32 + [60.0] * 32
    song = song_of(tmp_path, "4/4", bars=[(4, 4)] * 16, beats_a_minute=tempi)
    assert song.tempi.tolist() == [(0, 120.0), (768, 60.0)]
    assert song.bars["start"].tolist() == strong(song)


def test_a_song_without_a_downbeat_member_is_a_song(tmp_path: Path) -> None:
    song = song_of(tmp_path, bars=[(4, 4)] * 8, marks=None)
    assert song.meter_source == "assumed_4_4"
    assert song.bars["start"].tolist() == strong(song)


@pytest.mark.parametrize(
    "meter",
    [
        (6, 8),
        (9, 8),
        (12, 8),
        (2, 2),
        (3, 2),
        (3, 8),
        (7, 8),
        (5, 8),
        (6, 4),
        (3, 4),
        (5, 4),
        (6, 16),
    ],
)
def test_beats_of_a_known_meter_become_quarters(
    tmp_path: Path, meter: tuple[int, int]
) -> None:
    numerator, denominator = meter
    quarters = beat_quarters(numerator, denominator)
    beats_a_minute = 120.0 / float(quarters)
    bars = [meter] * 12
    n_beats = int(12 * Fraction(4 * numerator, denominator) / quarters)
    song = song_of(
        tmp_path,
        f"{numerator}/{denominator}",
        bars=bars,
        quarters=quarters,
        beats_a_minute=[beats_a_minute] * n_beats,
    )
    assert song.meter_source == "midi_info"
    assert song.bars["start"].tolist() == strong(song)
    assert set(zip(song.bars["numerator"], song.bars["denominator"], strict=True)) == {
        meter
    }
    assert song.tempi.tolist() == [(0, 120.0)]


@pytest.mark.parametrize(
    ("bars", "marks"),
    [
        ([(4, 4)] * 8 + [(3, 4)] * 16, 8),
        ([(3, 4)] * 4 + [(4, 4)] * 4 + [(2, 4)] * 9, 8),
        ([(1, 4)] + [(4, 4)] * 8 + [(3, 4)] * 8, 9),
    ],
)
def test_bars_are_known_as_far_as_they_are_marked(
    tmp_path: Path, bars: list[tuple[int, int]], marks: int
) -> None:
    song = song_of(tmp_path, bars=bars, marks=marks)
    assert song.meter_source == "downbeats_then_assumed"
    assert song.bars["start"].tolist()[: marks + 1] == strong(song)[: marks + 1]


def test_a_lone_short_bar_is_a_pick_up_and_not_the_meter(tmp_path: Path) -> None:
    song = song_of(tmp_path, bars=[(1, 4)] + [(4, 4)] * 8, marks=2)
    assert song.meter_source == "downbeats_then_assumed"
    assert song.bars["start"].tolist() == strong(song)


@pytest.mark.parametrize("n_tracks", [3, 17])
def test_an_archive_of_other_tracks_is_refused_before_anything_is_read(
    tmp_path: Path, n_tracks: int
) -> None:
    path = tmp_path / "a" / f"{A}.npz"
    put(path, TUNE)
    blob = path.read_bytes()
    tracks = {str(i): {"name": f"Organ {i}", "program": i} for i in range(n_tracks)}
    with (
        zipfile.ZipFile(io.BytesIO(blob)) as sound,
        zipfile.ZipFile(path, "w") as made,
    ):
        for name in sound.namelist():
            info = json.dumps({"beat_resolution": 24, **tracks})
            made.writestr(name, info if name == "info.json" else sound.read(name))
    says = f"is not LPD-5's: it holds {n_tracks} tracks .Organ 0, "
    with pytest.raises(ValueError, match=says):
        items(BeamFiles(), Lpd5Config(str(tmp_path)))
    # Among five-track files it costs itself alone, and so does a damaged one before them.
    put(tmp_path / "0" / f"{'0' * 32}.npz", TUNE)
    (tmp_path / "0" / f"{'0' * 31}1.npz").write_bytes(b"PK")
    found = {item.key: item for item in items(BeamFiles(), Lpd5Config(str(tmp_path)))}
    with pytest.raises(BadInput) as bad:
        parse(found[A], (path.read_bytes(),), Lpd5Config(str(tmp_path)), Limits())
    assert bad.value.reason == Reason.BAD_INFO


def test_asking_whose_corpus_it_is_takes_no_more_memory_than_reading(
    tmp_path: Path,
) -> None:
    put(tmp_path / f"{B}.npz", TUNE)
    blob = (tmp_path / f"{B}.npz").read_bytes()
    with pytest.raises(BadInput) as bad:
        foreign_tracks(blob, Limits(max_unpacked_bytes=1000))
    assert bad.value.reason == Reason.TOO_LARGE
    # A file over max_file_bytes is not even opened.
    with (tmp_path / f"{A}.npz").open("wb") as huge:
        huge.truncate(Limits().max_file_bytes + 1)
    read: list[str] = []

    class Recording(BeamFiles):
        def read(self, root: str, path: str) -> bytes:
            read.append(path)
            return super().read(root, path)

    assert len(items(Recording(), Lpd5Config(str(tmp_path)))) == 2
    assert read == [f"{B}.npz"]


def test_an_item_says_which_song_it_is() -> None:
    assert Item("lpd5", A, ("a",), 1).song_id == f"lpd5:{A}"


def test_a_meter_that_nothing_states_is_estimated_where_asked(tmp_path: Path) -> None:
    bars = " | ".join(
        f"{low} {low}+C5 {low}+C5"
        for low in ["C3", "F3", "G3", "C3", "A3", "F3", "G3", "C3"] * 4
    )
    waltz = mock.song(f"Piano: {bars}", meter=(3, 4))
    put(tmp_path / "a" / f"{A}.npz", waltz, n_ticks=32 * 72, downbeats=[0])
    put(
        tmp_path / "b" / f"{B}.npz",
        waltz,
        n_ticks=32 * 72,
        downbeats=list(range(0, 32 * 72, 72)),
    )
    info = tmp_path / "midi_info.json"
    info.write_text(json.dumps({f"{'c' * 32}.mid": {"constant_time_signature": "4/4"}}))
    assert read(tmp_path)[A].meter_source == "assumed_4_4"
    songs = read(tmp_path, estimate_meter=True)
    assert (songs[A].meter_source, songs[B].meter_source) == ("estimated", "downbeats")
    assert songs[A].bars.tolist() == songs[B].bars.tolist()
    meter = estimate_meter(songs[A].notes)
    assert meter and songs[A].origin.meter_confidence == meter.confidence > 0.7
    assert songs[B].origin.meter_confidence is None
    info.write_text(json.dumps({f"{A}.mid": {"constant_time_signature": "4/4"}}))
    told = read(tmp_path, str(info), estimate_meter=True)[A]
    assert told.meter_source == "midi_info" and told.bars["length"].tolist()[0] == 96
