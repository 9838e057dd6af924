"""The embedded sample: the same bytes every time, whole or not at all, and labels that
say whose they are."""

import csv
import hashlib
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.formats.abc import read_tune
from pipelines.formats.abc_header import split_tunes
from pipelines.formats.npz import read_npz
from pipelines.formats.npz_write import write_npz
from pipelines.labels.chroma import chroma_fit, note_chroma, segment_chroma
from pipelines.labels.matches import read_matches
from pipelines.labels.msd import read_segments, read_tracks, write_track
from pipelines.labels.names import read_names
from pipelines.labels.tables import read_labels
from pipelines.sources.sample import music21_corpus
from pipelines.sources.sample import source as sample
from pipelines.sources.sample.scores import read_score
from pipelines.sources.sample.synthetic_labels import (
    LABEL_SOURCE,
    msd_path,
    rule_labels,
    sample_id,
)
from schemas import mock
from schemas.contracts import FileInfo, Item, Limits
from schemas.reject import BadInput, Reason
from schemas.settings import SettingsError
from schemas.song import DRUMS, Song, make_notes, make_tempi

N_TUNES, N_SCORES = 30, 6


class LocalFiles:
    """The Files protocol over a local folder."""

    def walk(self, root: str) -> list[FileInfo]:
        files = sorted(path for path in Path(root).rglob("*") if path.is_file())
        return [
            FileInfo(path.relative_to(root).as_posix(), path.stat().st_size)
            for path in files
        ]

    def read(self, root: str, path: str) -> bytes:
        return (Path(root) / path).read_bytes()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> sample.SampleConfig:
    made = sample.SampleConfig(
        str(tmp_path_factory.mktemp("sample") / "raw"), N_TUNES, N_SCORES
    )
    sample.prepare(made, write_track)
    return made


@pytest.fixture(scope="module")
def items(config: sample.SampleConfig) -> list[Item]:
    return sample.items(LocalFiles(), config)


@pytest.fixture(scope="module")
def songs(config: sample.SampleConfig, items: list[Item]) -> dict[str, Song]:
    return {item.key: read(item, config) for item in items}


def read(item: Item, config: sample.SampleConfig) -> Song:
    blobs = tuple(LocalFiles().read(config.root, path) for path in item.paths)
    return sample.parse(item, blobs, config, Limits())


def hashes(root: str) -> dict[str, str]:
    return {
        info.path: hashlib.sha256(LocalFiles().read(root, info.path)).hexdigest()
        for info in LocalFiles().walk(root)
    }


def refuse(*arguments: Any) -> None:
    raise OSError(28, "No space left on device")


def table(config: sample.SampleConfig) -> list[dict[str, str]]:
    with (Path(config.root) / sample.LABELS).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_same_bytes_in_another_folder(config: sample.SampleConfig, tmp_path: Path) -> None:
    other = sample.SampleConfig(str(tmp_path / "else" / "where"), N_TUNES, N_SCORES)
    sample.prepare(other, write_track)
    assert hashes(other.root) == hashes(config.root)


def test_what_stands_is_not_made_again(config: sample.SampleConfig) -> None:
    times = {
        info.path: (Path(config.root) / info.path).stat().st_mtime_ns
        for info in LocalFiles().walk(config.root)
    }
    sample.prepare(config, refuse)
    assert times == {
        info.path: (Path(config.root) / info.path).stat().st_mtime_ns
        for info in LocalFiles().walk(config.root)
    }


def test_whole_or_not_at_all(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    with pytest.raises(SettingsError, match="No space left"):
        sample.prepare(sample.SampleConfig(str(root), 2, 1), refuse)
    assert not root.exists()
    sample.prepare(sample.SampleConfig(str(root), 2, 1), write_track)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_another_choice_replaces_the_sample(tmp_path: Path) -> None:
    root = str(tmp_path / "raw")
    sample.prepare(sample.SampleConfig(root, 3, 0), refuse)
    before = hashes(root)
    sample.prepare(sample.SampleConfig(root, 3, 0, seed=1), refuse)
    assert len(hashes(root)) == len(before)
    assert hashes(root) != before


def test_other_code_writes_the_sample_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = sample.SampleConfig(str(tmp_path / "raw"), 3, 0)
    sample.prepare(choice, refuse)
    tune = next(Path(choice.root).rglob("*.abc"))
    tune.write_text("as an older reader left it")
    sample.prepare(choice, refuse)
    assert tune.read_text() == "as an older reader left it"
    monkeypatch.setattr(sample, "CODE", (*sample.CODE, "pipelines/cli.py"))
    sample.prepare(choice, refuse)
    assert tune.read_text().startswith("X:")


@pytest.mark.parametrize("name", ["mine.txt", "sample.json"])
@pytest.mark.parametrize("text", ["x", '{"form": "a poem"}', "[]"])
def test_nothing_of_others_is_touched(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=r"sources\.sample\.root"):
        sample.prepare(sample.SampleConfig(str(tmp_path), 1, 0), write_track)
    assert [path.read_text() for path in tmp_path.iterdir()] == [text]


def test_an_npz_without_bar_lines_is_refused() -> None:
    song = mock.song("Piano: C4 D4 E4 F4")
    blob = write_npz(song.notes, song.tempi, 96, "x")
    side = json.dumps(
        {"title": "", "artist": "", "genre": "rag", "default_bpm": None, "tracks": []}
    )
    with pytest.raises(BadInput, match="1 bar lines"):
        sample.parse(
            Item("sample", "k", ("a.npz",), len(blob), side=side),
            (blob,),
            sample.SampleConfig(),
            Limits(),
        )


def test_a_number_of_pieces_below_none_is_refused() -> None:
    with pytest.raises(ValueError, match="below 0"):
        sample.SampleConfig(tunes=-1)


@pytest.mark.parametrize("root", ["gs://bucket/raw", "s3://bucket/raw"])
def test_only_local_folders(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="not a local folder"):
        sample.prepare(sample.SampleConfig(root, 1, 0), write_track)
    assert not list(tmp_path.iterdir())


def test_a_score_that_music21_refuses_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_score(path: Path, default_bpm: float) -> None:
        raise BadInput(Reason.MALFORMED, "another music21")

    monkeypatch.setattr(sample, "read_score", refuse_score)
    config = sample.SampleConfig(str(tmp_path / "raw"), 2, 1)
    sample.prepare(config, refuse)
    items = sample.items(LocalFiles(), config)
    assert len(items) == 3
    bad = next(item for item in items if item.paths[0].endswith(".npz"))
    with pytest.raises(BadInput):
        read(bad, config)


def test_fewer_scores_are_some_of_the_more() -> None:
    some, more = music21_corpus.pieces(0, 20), music21_corpus.pieces(0, 60)
    assert (len(some), len(more)) == (20, 60)
    assert set(some) < set(more) < set(music21_corpus.pieces(0, None))
    assert len({piece.genre for piece in some}) == 7
    assert {tune.key for tune in music21_corpus.tunes(0, 20)} < {
        tune.key for tune in music21_corpus.tunes(0, 60)
    }


def test_bundle_is_large_and_its_keys_are_unique() -> None:
    tunes = music21_corpus.tunes(0, None)
    assert len({tune.key for tune in tunes}) == len(tunes) >= 4000
    assert {"reel", "jig", "hornpipe", "strathspey", "march", "slip jig"} <= {
        tune.genre for tune in tunes
    }
    pieces = music21_corpus.pieces(0, None)
    assert 100 <= len(pieces) <= 300
    assert len(pieces) - len({(piece.composer, piece.title) for piece in pieces}) == 5, (
        "five pieces stand there in two encodings"
    )
    assert all(40 <= tune.default_bpm <= 220 for tune in tunes if tune.default_bpm)
    assert len({tune.default_bpm for tune in tunes}) > 50


def test_every_item_is_a_song(items: list[Item], songs: dict[str, Song]) -> None:
    assert len(items) == N_TUNES + N_SCORES
    assert items == sorted(items)
    for item in items:
        song = songs[item.key]
        assert (song.source, song.source_key) == ("sample", item.key)
        assert song.meter_source == (
            "downbeats" if re.fullmatch("[0-9a-f]{32}", item.key) else "score"
        )
        assert song.title and song.artist and song.genre
    assert len({float(song.tempi["bpm"][0]) for song in songs.values()}) > 15


def test_npz_say_the_notes_of_the_scores(
    songs: dict[str, Song], config: sample.SampleConfig
) -> None:
    by_name = {
        (song.artist, song.title): song
        for song in songs.values()
        if song.meter_source == "downbeats"
    }
    pieces = music21_corpus.pieces(0, N_SCORES)
    assert len(by_name) == len(pieces)
    for piece in pieces[:3]:
        score, song = (
            read_score(music21_corpus.corpus_folder() / piece.path, piece.default_bpm),
            by_name[piece.composer, piece.title],
        )
        assert np.array_equal(score.notes, song.notes)
        assert np.array_equal(score.tempi, song.tempi)
        assert set(score.bars["start"].tolist()) <= set(song.bars["start"].tolist())
        path = (
            Path(config.root)
            / "lpd_5"
            / "lpd_5_full"
            / song.source_key[0]
            / f"{song.source_key}.npz"
        )
        assert np.array_equal(
            read_npz(path.read_bytes(), Limits()).downbeats, score.bars["start"]
        )


def test_tunes_are_those_of_the_collections(songs: dict[str, Song]) -> None:
    folder = music21_corpus.corpus_folder()
    checked = 0
    for tune in music21_corpus.tunes(0, N_TUNES):
        prefix, _, name = tune.key.partition("-")
        original = {short: long for long, short in music21_corpus.TUNE_FOLDERS.items()}[
            prefix
        ]
        stem, _, number = name.rpartition("-") if prefix != "ryans" else (name, "", "1")
        path = folder / original / f"{stem}.abc"
        if not path.exists():
            continue
        notes = read_tune(
            split_tunes(path.read_bytes())[int(number) - 1],
            Limits(),
            carry_accidentals=True,
        ).notes
        assert np.array_equal(notes, songs[tune.key].notes)
        checked += 1
    assert checked > N_TUNES // 2


def test_labels_are_the_rules_and_say_so(
    config: sample.SampleConfig, songs: dict[str, Song]
) -> None:
    """The rule once more, note by note, from what the songs' own notes say."""
    rows = {row["track_id"]: row for row in table(config)}
    assert {row["source"] for row in rows.values()} == {LABEL_SOURCE}
    assert "not Spotify" in LABEL_SOURCE and LABEL_SOURCE.startswith("sample rule")
    modes = {
        sample_id("TR", tune.key): tune.mode for tune in music21_corpus.tunes(0, N_TUNES)
    }
    checked = 0
    for song in songs.values():
        for track_id in song.folder_track_ids:
            end = max(int(start) + int(duration) for start, duration, *_ in song.notes)
            assert len(song.tempi) == 1
            bpm = float(song.tempi["bpm"][0])
            onsets = len({int(start) for start in song.notes["start"]}) / (
                end / 24 / bpm * 60
            )
            melody = [int(pitch) for _, _, pitch, _, track in song.notes if track == 1]
            valence = (0.6 if modes[track_id] == "major" else 0.3) + 0.02 * (
                sum(melody) / len(melody) - 70
            )
            assert float(rows[track_id]["valence"]) == pytest.approx(valence, abs=0.00051)
            energy = (bpm / (bpm + 110) + onsets / (onsets + 4)) / 2
            assert float(rows[track_id]["energy"]) == pytest.approx(energy, abs=0.00051)
            checked += 1
    assert checked > 10


def test_tables_have_the_forms_their_readers_ask(
    config: sample.SampleConfig, songs: dict[str, Song]
) -> None:
    root = Path(config.root)
    labels = read_labels((root / sample.LABELS).read_bytes(), sample.LABELS)
    assert (labels.refused.num_rows, labels.n_missing) == (0, 0)
    md5s = {song.source_key for song in songs.values() if song.meter_source == "downbeats"}
    matches = read_matches((root / sample.MATCHES).read_bytes(), sample.MATCHES)
    assert set(matches["md5"].to_pylist()) == md5s
    folders = {track for song in songs.values() for track in song.folder_track_ids}
    assert (
        set(labels.labels["id"].to_pylist())
        == set(matches["track_id"].to_pylist()) | folders
    )
    assert (
        set(read_names((root / sample.NAMES).read_bytes(), sample.NAMES)["md5"].to_pylist())
        == md5s
    )


def test_some_tunes_have_no_label(songs: dict[str, Song]) -> None:
    tunes = [song for song in songs.values() if song.meter_source == "score"]
    assert all(
        bool(song.folder_track_ids) != song.source_key.startswith("oneills")
        for song in tunes
    )
    assert any(song.folder_track_ids for song in tunes) and any(
        not song.folder_track_ids for song in tunes
    )


def test_msd_files_describe_their_songs(
    config: sample.SampleConfig, songs: dict[str, Song]
) -> None:
    root = Path(config.root)
    matches = read_matches((root / sample.MATCHES).read_bytes(), sample.MATCHES).to_pylist()
    for match in matches:
        blob, song = (
            (root / sample.MSD / msd_path(match["track_id"])).read_bytes(),
            songs[match["md5"]],
        )
        track = read_tracks(blob).to_pylist()[0]
        assert (track["track_id"], track["title"], track["artist"]) == (
            match["track_id"],
            song.title,
            song.artist,
        )
        assert track["tempo"] == pytest.approx(float(song.tempi["bpm"][0]))
        starts, pitches, seconds = read_segments(blob)
        assert starts[-1] < seconds
        first = song.notes[
            (song.notes["start"] == song.notes["start"].min())
            & (song.notes["track"] != DRUMS)
        ]
        sounding = np.flatnonzero(pitches[np.flatnonzero(pitches.any(axis=1))[0]])
        assert set(sounding.tolist()) == {int(pitch) % 12 for pitch in first["pitch"]}
        assert chroma_fit(note_chroma(song), segment_chroma(starts, pitches, seconds)) > 0.2


def test_ids_have_msds_form_and_are_nobodys(real_data: Path) -> None:
    ids = {sample_id("TR", tune.key) for tune in music21_corpus.tunes(0, None)}
    assert all(
        re.fullmatch("TR[A-Z]{5}[0-9A-F]{11}", one) and one.startswith("TRSAMPL")
        for one in ids
    )
    assert len(ids) == len(music21_corpus.tunes(0, None))
    with (real_data / "msd_spotify_features.csv").open(
        newline="", encoding="utf-8"
    ) as stream:
        assert not any(
            row["track_id"].startswith("TRSAMPL") for row in csv.DictReader(stream)
        )


@pytest.mark.parametrize(
    ("key", "mode"),
    [
        ("G", "major"), ("Am", "minor"), ("E Minor", "minor"), ("A Mixolydian", "major"), ("Amix", "major"),
        ("Ador", "minor"), ("Dmaj", "major"), ("F#", "major"), ("Bb lyd", "major"), ("Hp", "major"), ("Gdor-8va", "minor"),
        ("", None), ("none", None), ("EM", "minor"),
    ],
)  # fmt: skip
def test_mode_of_a_key(key: str, mode: str | None) -> None:
    assert music21_corpus.mode_of(key) == mode


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("bach/bwv10.7.mxl", "BWV 10.7"), ("mozart/k155/movement2.mxl", "K 155, Movement 2"),
        ("beethoven/opus18no1/movement3.krn", "Opus 18 No 1, Movement 3"), ("joplin/maple_leaf_rag.mxl", "Maple Leaf Rag"),
        ("monteverdi/madrigal.3.1_old.mxl", "Madrigal 3.1 Old"),
    ],
)  # fmt: skip
def test_titles_from_paths(path: str, title: str) -> None:
    assert music21_corpus.title_of(path) == title


def test_the_rule_rises_with_tempo_and_mode() -> None:
    notes = make_notes([0, 24, 48], [24, 24, 24], [70, 70, 70], [90] * 3, [1] * 3)
    slow, fast = (
        rule_labels(notes, make_tempi([0], [bpm]), "major") for bpm in (60.0, 180.0)
    )
    assert fast[1] > slow[1] and fast[0] == slow[0] == 0.6
    assert rule_labels(notes, make_tempi([0], [60.0]), "minor") == (0.3, slow[1])
    assert slow[1] == round((60 / 170 + 1 / 5) / 2, 3) and math.isfinite(fast[1])


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda blob: b"",
    "cut": lambda blob: blob[: len(blob) // 2],
    "twice": lambda blob: blob + b"\n" + blob,
}


@pytest.mark.parametrize(
    ("kind", "meter_source"),
    [("empty", "score"), ("empty", "downbeats"), ("cut", "downbeats"), ("twice", "score")],
)
def test_damaged_files_are_bad_input(
    kind: str,
    meter_source: str,
    config: sample.SampleConfig,
    items: list[Item],
    songs: dict[str, Song],
) -> None:
    item = next(item for item in items if songs[item.key].meter_source == meter_source)
    with pytest.raises(BadInput):
        sample.parse(
            item,
            (DAMAGE[kind](LocalFiles().read(config.root, item.paths[0])),),
            config,
            Limits(),
        )


def test_no_sample_no_items(tmp_path: Path) -> None:
    assert sample.items(LocalFiles(), sample.SampleConfig(str(tmp_path))) == []
