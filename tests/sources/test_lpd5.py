import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.formats.npz import write_npz
from pipelines.io.files import BeamFiles
from pipelines.sources.lpd5 import Lpd5Config, items, parse
from schemas import mock
from schemas.contracts import Item, Limits
from schemas.song import Song

A, B = "a" * 32, "b" * 32
TRACK, OTHER = "TRABCDE1234567890F", "TRZZZZZ1234567890F"


def put(
    path: Path, song: Song, n_ticks: int = 384, downbeats: list[int] | None = None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    marks = None if downbeats is None else np.array(downbeats)
    path.write_bytes(write_npz(song.notes, song.tempi, n_ticks, path.stem, marks))


def read(root: Path, midi_info: str = "") -> dict[str, Song]:
    config = Lpd5Config(str(root), midi_info)
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
    assert song.meter_source == "downbeats"
    assert song.bars["start"].tolist() == [0, 24, 96, 168, 240, 312]
    assert song.bars["numerator"].tolist() == [1, 3, 3, 3, 3, 3]


def test_midi_info_gives_meter_and_first_beat(tmp_path: Path) -> None:
    put(tmp_path / "a" / f"{A}.npz", TUNE)
    put(tmp_path / "b" / f"{B}.npz", TUNE)
    side = tmp_path / "midi_info.json"
    entry = {
        "constant_time_signature": "3/4",
        "first_beat_time": 0.5,
        "num_time_signature_change": 1,
        "constant_tempo": 120.0,
    }
    side.write_text(json.dumps({A: entry, B: {**entry, "constant_time_signature": None}}))
    songs = read(tmp_path, str(side))
    # Half a second at 120 is a quarter: a pick-up of 24 ticks before bars of 72.
    assert songs[A].meter_source == "midi_info"
    assert songs[A].bars["start"].tolist()[:4] == [0, 24, 96, 168]
    assert songs[B].meter_source == "assumed_4_4"


@pytest.mark.parametrize(
    ("signature", "first_beat", "starts"),
    [
        ("3/4", 2.5, [0, 48, 120, 192]),
        ("4/4", 4.0, [0, 96, 192, 288]),
        ("3/4", 100.0, [0, 72, 144, 216]),
    ],
)
def test_a_silence_before_the_first_beat_is_in_bars(
    tmp_path: Path, signature: str, first_beat: float, starts: list[int]
) -> None:
    put(tmp_path / "a" / f"{A}.npz", TUNE)
    (tmp_path / "info.json").write_text(
        json.dumps(
            {A: {"constant_time_signature": signature, "first_beat_time": first_beat}}
        )
    )
    assert (
        read(tmp_path, str(tmp_path / "info.json"))[A].bars["start"].tolist()[:4] == starts
    )


@pytest.mark.parametrize(
    "odd",
    [
        {"constant_time_signature": "4/64"},
        {"first_beat_time": 1e6},
        {"first_beat_time": -1.0},
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


def test_an_item_says_which_song_it_is() -> None:
    assert Item("lpd5", A, ("a",), 1).song_id == f"lpd5:{A}"
