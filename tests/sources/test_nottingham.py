"""The three layouts of Nottingham, listed and read; jukedeck's MIDI files against the
ABC tunes of their numbers."""

import hashlib
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.config import BuildConfig
from pipelines.formats.abc import AbcTune, read_tune
from pipelines.formats.abc_header import read_header, split_tunes
from pipelines.ingest import list_items
from pipelines.sources.nottingham import NottinghamConfig, items, parse
from schemas.contracts import FileInfo, Item, Limits
from schemas.reject import BadInput, Reason
from schemas.settings import SettingsError, build
from schemas.song import GUITAR, PIANO, Song

LIMITS = Limits()
ONE = 'X:1\nT:One\nM:6/8\nR:Slip Jig\nC:Trad.\nK:G\nd|"G"g3 g2d|"D7"c3 c2:|\n'
TWO = "X: 2\nT:Two\nM:3/4\nL:1/4\nK:D\nDFA|d3|\n"


class Folder:
    """schemas.contracts.Files over a dictionary; a value of None is a thing that is not
    a file."""

    def __init__(self, contents: dict[str, bytes | None]) -> None:
        self.contents = contents
        self.n_read = 0

    def walk(self, root: str) -> list[FileInfo]:
        return [
            FileInfo(path, None if blob is None else len(blob))
            for path, blob in sorted(self.contents.items())
        ]

    def read(self, root: str, path: str) -> bytes:
        self.n_read += 1
        blob = self.contents[path]
        if blob is None:
            raise IsADirectoryError(path)
        return blob

    def songs(self, config: NottinghamConfig) -> dict[str, Song]:
        found = items(self, config)
        return {
            item.key: parse(
                item, tuple(self.read("", path) for path in item.paths), config, LIMITS
            )
            for item in found
        }


def on_disk(root: Path) -> Folder:
    paths = [path for path in root.rglob("*") if path.is_file()]
    return Folder({path.relative_to(root).as_posix(): path.read_bytes() for path in paths})


def reason(item: Item, *blobs: bytes) -> Reason:
    with pytest.raises(BadInput) as caught:
        parse(item, blobs, NottinghamConfig(), LIMITS)
    return caught.value.reason


class TestAbc:
    def test_items_one_a_tune_sorted_and_unique(self) -> None:
        files = Folder({
            "b/jigs.abc": (ONE + "\n" + TWO).encode(), "b/more/jigs.ABC": ONE.encode(),
            "b/twice.abc": (ONE + "\n" + ONE).encode(), "readme.md": b"X:1",
        })  # fmt: skip
        found = items(files, NottinghamConfig())
        assert [(item.key, item.paths[0], item.part) for item in found] == [
            ("jigs-1", "b/jigs.abc", 0), ("jigs-1.2", "b/more/jigs.ABC", 0), ("jigs-2", "b/jigs.abc", 1),
            ("twice-1", "b/twice.abc", 0), ("twice-1.2", "b/twice.abc", 1),
        ]  # fmt: skip

    def test_a_file_may_bear_the_name_that_a_second_one_is_given(self) -> None:
        files = Folder(
            {
                f"{folder}/{name}.mid": b""
                for folder, name in (("test", "x.2"), ("train", "x"), ("valid", "x"))
            }
        )
        assert [item.key for item in items(files, NottinghamConfig(layout="lisa"))] == [
            "x",
            "x.2",
            "x.3",
        ]

    def test_song(self) -> None:
        song = Folder({"slip.abc": ("M:9/8\n\n" + ONE + "\n" + TWO).encode()}).songs(
            NottinghamConfig()
        )["slip-1"]
        assert (song.title, song.artist, song.genre) == ("One", "Trad.", "slip jig")
        assert song.meter_source == "score" and song.song_id == "nottingham:slip-1"
        assert [tuple(bar) for bar in song.bars.tolist()][:2] == [
            (0, 12, 6, 8),
            (12, 72, 6, 8),
        ]
        assert set(song.notes["track"].tolist()) == {PIANO, GUITAR}

    def test_sha256_is_of_the_tunes_text_alone(self) -> None:
        alone = Folder({"a.abc": ONE.encode()}).songs(NottinghamConfig())["a-1"]
        among = Folder({"a.abc": (ONE + "\n\n" + TWO).encode()}).songs(NottinghamConfig())[
            "a-1"
        ]
        assert (
            alone.source_sha256
            == among.source_sha256
            == hashlib.sha256(ONE.encode()).hexdigest()
        )

    def test_bad_files_are_one_item_each(self) -> None:
        files = Folder(
            {
                "dir.abc": None,
                "empty.abc": b"",
                "text.abc": b"no tune",
                "bytes.abc": bytes(range(256)),
            }
        )
        found = {item.key: item for item in items(files, NottinghamConfig())}
        assert sorted(found) == ["bytes-0", "dir-0", "empty-0", "text-0"]
        assert found["dir-0"].n_bytes is None
        assert reason(found["empty-0"], b"") == Reason.EMPTY_FILE
        assert (
            reason(found["text-0"], b"no tune")
            == reason(found["bytes-0"], bytes(range(256)))
            == Reason.MALFORMED
        )

    def test_a_huge_file_is_not_read_for_listing(self) -> None:
        class Huge(Folder):
            def walk(self, root: str) -> list[FileInfo]:
                return [FileInfo("huge.abc", 1 << 40)]

        files = Huge({"huge.abc": ONE.encode()})
        assert [(item.key, item.n_bytes) for item in items(files, NottinghamConfig())] == [
            ("huge-0", 1 << 40)
        ]
        assert not files.n_read

    def test_what_music21_refuses(self) -> None:
        blob = b"X:1\nM:4/4\nL:1/8\nK:C\n[CEG|\n"
        assert (
            reason(Item("nottingham", "a-1", ("a.abc",), len(blob)), blob)
            == Reason.MALFORMED
        )


class TestLayout:
    tune = ONE.encode()

    def test_auto(self) -> None:
        cases: list[tuple[dict[str, bytes | None], list[str]]] = [
            (
                {
                    "MIDI/jigs1.mid": b"",
                    "ABC_cleaned/jigs.abc": self.tune,
                    "train/a.mid": b"",
                },
                ["jigs1"],
            ),
            ({"nottingham/MIDI/jigs1.mid": b""}, ["jigs1"]),
            (
                {
                    "Nottingham/train/a.mid": b"",
                    "Nottingham/test/b.mid": b"",
                    "other/c.mid": b"",
                    "d.abc": b"",
                },
                ["a", "b"],
            ),
            ({"d.abc": self.tune, "c.mid": b""}, ["d-1"]),
            ({}, []),
        ]
        for contents, keys in cases:
            assert [
                item.key for item in items(Folder(contents), NottinghamConfig())
            ] == keys

    def test_named(self) -> None:
        files = Folder(
            {
                "MIDI/jigs1.mid": b"",
                "ABC_cleaned/jigs.abc": self.tune,
                "train/a.mid": b"",
                "valid/a.mid": b"",
            }
        )
        assert [item.key for item in items(files, NottinghamConfig(layout="abc"))] == [
            "jigs-1"
        ]
        lisa = items(files, NottinghamConfig(layout="lisa"))
        assert [(item.key, item.paths) for item in lisa] == [
            ("a", ("train/a.mid",)),
            ("a.2", ("valid/a.mid",)),
        ]

    def test_settings(self) -> None:
        with pytest.raises(SettingsError, match=r"sources\.nottingham\.layout"):
            build(NottinghamConfig, {"layout": "midi"}, "sources.nottingham")

    def test_jukedeck_things_that_are_no_files(self) -> None:
        files = Folder(
            {
                "MIDI/x1.mid": None,
                "MIDI/y.mid": b"",
                "ABC_cleaned/x.abc": self.tune,
                "ABC_cleaned/y.abc": None,
            }
        )
        found = items(files, NottinghamConfig())
        assert [(item.key, item.paths, item.n_bytes) for item in found] == [
            ("x1", ("MIDI/x1.mid",), None), ("y", ("MIDI/y.mid",), 0),
        ]  # fmt: skip


class TestLayoutsAsFound:
    tune = ONE.encode()

    @pytest.mark.parametrize(
        ("paths", "keys"),
        [
            (["MIDI/jigs1.MID", "ABC_cleaned/jigs.abc"], ["jigs1"]),
            (["midi/jigs1.midi"], ["jigs1"]),
            (["Train/a.mid", "validation/b.mid", "TEST/c.MID"], ["a", "b", "c"]),
            (["a.mid", "sub/b.MID"], ["a", "b"]),
            (["jigs.txt"], ["jigs-1"]),
            (["JIGS.ABC", "x/reels.TXT"], ["JIGS-1", "reels-1"]),
            (["ABC_cleaned/jigs.abc", "ABC_original/jigs.abc"], ["jigs-1"]),
            (
                ["n/ABC_cleaned/jigs.abc", "n/ABC/Jigs.txt", "n/ABC/more.txt"],
                ["jigs-1", "more-1"],
            ),
        ],
    )
    def test_auto(self, paths: list[str], keys: list[str]) -> None:
        files = Folder(dict.fromkeys(paths, self.tune))
        assert sorted(item.key for item in items(files, NottinghamConfig())) == sorted(keys)

    def test_the_cleaned_one_is_read(self) -> None:
        files = Folder(
            dict.fromkeys(["ABC_cleaned/jigs.abc", "ABC_original/jigs.abc"], self.tune)
        )
        assert [item.paths for item in items(files, NottinghamConfig())] == [
            ("ABC_cleaned/jigs.abc",)
        ]

    def test_the_tune_of_a_midi_file_whatever_its_capitals(self) -> None:
        files = Folder({"MIDI/Jigs1.MID": b"", "abc_cleaned/jigs.ABC": self.tune})
        assert [item.paths for item in items(files, NottinghamConfig())] == [
            ("MIDI/Jigs1.MID", "abc_cleaned/jigs.ABC")
        ]

    def test_text_without_tunes_is_no_song(self) -> None:
        files = Folder({"README.txt": b"no tune here", "jigs.abc": self.tune})
        assert [item.key for item in items(files, NottinghamConfig())] == ["jigs-1"]

    def test_what_was_looked_for_is_said(self, tmp_path: Path) -> None:
        nottingham = NottinghamConfig(root=str(tmp_path))
        config = BuildConfig(name="t", sources={"nottingham": nottingham}, filters={})
        with pytest.raises(
            SettingsError, match=r"MIDI/\*\.mid, train\|valid\|test/\*\.mid"
        ):
            list_items(config)


def test_file_names_may_be_any_bytes(tmp_path: Path) -> None:
    """One that is no UTF-8 is read like any other; its key spells the bytes out."""
    root = tmp_path / "abc"
    root.mkdir()
    for name in (b"caf\xe9.abc", b"caf\xe8.abc", "blå.abc".encode(), b"\xff.abc"):
        (root / os.fsdecode(name)).write_bytes(ONE.encode())
    (root / os.fsdecode(b"bad\xfe.abc")).write_bytes(b"no tune")
    (tmp_path / "build.toml").write_text(
        f'name = "t"\nshards = 2\nmax_reject_share = 0.5\n[sources.nottingham]\nroot = "{root}"\n'
    )
    out = tmp_path / "out"
    arguments = ["ingest", str(tmp_path / "build.toml"), "--out", str(out)]
    assert main([*arguments, "--", "--runner=FnApiRunner"]) == 0
    songs = [
        row for path in (out / "songs").iterdir() for row in pq.read_table(path).to_pylist()
    ]
    assert sorted(row["song_id"] for row in songs) == [
        "nottingham:%FF-1", "nottingham:blå-1", "nottingham:caf%E8-1", "nottingham:caf%E9-1",
    ]  # fmt: skip
    rejects = [
        row
        for path in (out / "rejects").iterdir()
        for row in pq.read_table(path).to_pylist()
    ]
    assert [row["song_id"] for row in rejects] == ["nottingham:bad%FE-0"]


@pytest.fixture(scope="module")
def nottingham(nottingham_root: Path) -> Folder:
    return on_disk(nottingham_root)


@pytest.fixture(scope="module")
def songs(nottingham: Folder) -> dict[str, Song]:
    return nottingham.songs(NottinghamConfig())


@pytest.fixture(scope="module")
def texts(nottingham: Folder) -> dict[str, str]:
    """The ABC tunes under the names of their MIDI files."""
    return {
        f"{Path(path).stem}{read_header(text).number}": text
        for path, blob in nottingham.contents.items()
        if path.endswith(".abc")
        for text in split_tunes(blob or b"")
    }


@pytest.fixture(scope="module")
def tunes(texts: dict[str, str]) -> dict[str, AbcTune]:
    """A third of them, read; in the MIDI files no accidental holds beyond its note."""
    return {
        key: read_tune(texts[key], LIMITS, carry_accidentals=False)
        for key in sorted(texts)[::3]
    }


class TestJukedeck:
    def test_all_tunes(self, songs: dict[str, Song]) -> None:
        assert len(songs) == 1034 and list(songs) == sorted(songs)
        assert all(song.title and song.meter_source == "score" for song in songs.values())
        assert (
            sum(set(song.notes["track"].tolist()) == {PIANO} for song in songs.values())
            == 13
        )
        assert Counter(song.genre for song in songs.values()) == {
            "reel": 461, "jig": 340, "hornpipe": 65, "waltz": 52, "ashover": 46, "morris": 31, "playford": 15,
            "christmas": 13, "slip jig": 11,
        }  # fmt: skip
        # No MIDI file has a tempo, one ABC header does.
        assert {
            key: float(song.tempi["bpm"][0])
            for key, song in songs.items()
            if song.tempi["bpm"][0] != 120
        } == {"morris2": 180.0}

    def test_meters_and_titles_are_the_headers(
        self, songs: dict[str, Song], texts: dict[str, str]
    ) -> None:
        assert texts.keys() == songs.keys()
        first = Counter(
            (int(s.bars["numerator"][0]), int(s.bars["denominator"][0]))
            for s in songs.values()
        )
        assert first == {
            (4, 4): 537,
            (6, 8): 370,
            (3, 4): 60,
            (2, 4): 41,
            (9, 8): 14,
            (2, 2): 7,
            (3, 2): 3,
            (6, 4): 2,
        }
        for key, text in texts.items():
            header, bar = read_header(text), songs[key].bars[0]
            assert (bar["numerator"], bar["denominator"]) == header.meter
            assert header.key and header.title == songs[key].title

    def test_changes_of_meter(self, songs: dict[str, Song]) -> None:
        """Ashover 1: a pick-up in a whole bar, six bars of 3/4, one of 2/4, one of 3/4,
        and so on."""
        bars = songs["ashover1"].bars
        assert bars["length"][:12].tolist() == [72] * 7 + [48] + [72] * 4
        assert (bars["numerator"][:12] == bars["length"][:12] // 24).all()
        assert songs["ashover1"].notes["start"].min() == 48

    def test_melody_is_that_of_the_abc_tune_of_its_number(
        self, songs: dict[str, Song], tunes: dict[str, AbcTune]
    ) -> None:
        """The first pitches agree, repeated ones counted once as the MIDI loses ties;
        but where parts are reordered."""
        differ = [
            key
            for key in tunes
            if first_pitches(songs[key].notes) != first_pitches(tunes[key].notes)
        ]
        assert set(differ) <= {"morris10"}

    def test_pick_ups_end_a_whole_first_bar(
        self, songs: dict[str, Song], tunes: dict[str, AbcTune]
    ) -> None:
        """Where the onsets agree, the MIDI is later by what the pick-up lacks, and has
        the bar lines of the ABC."""
        agreeing = []
        for key in tunes:
            song = songs[key]
            ours = song.notes["start"][song.notes["track"] == PIANO].astype(int)
            theirs = (
                tunes[key].notes["start"][tunes[key].notes["track"] == PIANO].astype(int)
            )
            shift = int(ours[0] - theirs[0])
            if len(ours) == len(theirs) and (ours - shift == theirs).all():
                bars = tunes[key].bars
                assert shift == song.bars["length"][0] - bars["length"][0], key
                inner = bars["start"][1:][bars["start"][1:] < theirs[-1]]
                agreeing.append(bool(np.isin(inner + shift, song.bars["start"]).all()))
        assert len(agreeing) > 180 and sum(agreeing) >= 0.99 * len(agreeing)

    def test_sha256_is_of_midi_and_tune(
        self, nottingham: Folder, songs: dict[str, Song]
    ) -> None:
        midi = nottingham.contents["MIDI/hpps3.mid"] or b""
        text = next(
            t
            for t in split_tunes(nottingham.contents["ABC_cleaned/hpps.abc"] or b"")
            if t.startswith("X: 3\n")
        )
        assert (
            songs["hpps3"].source_sha256 == hashlib.sha256(midi + text.encode()).hexdigest()
        )
        assert songs["hpps3"].title == "Barn Dance 2"

    def test_abc_layout_reads_them_all(self, nottingham: Folder) -> None:
        found = list(items(nottingham, NottinghamConfig(layout="abc")))
        assert len(found) == len({item.key for item in found}) == 1034
        for item in found[::20]:
            song = parse(
                item,
                (nottingham.contents[item.paths[0]] or b"",),
                NottinghamConfig(),
                LIMITS,
            )
            assert song.title and len(song.notes) > 20

    def test_cut_and_false_midi(self, nottingham: Folder) -> None:
        midi = nottingham.contents["MIDI/jigs1.mid"] or b""
        item = Item("nottingham", "jigs1", ("MIDI/jigs1.mid",), len(midi))
        assert reason(item, midi[: len(midi) // 2]) == Reason.TRUNCATED
        assert reason(item, b"") == Reason.EMPTY_FILE
        assert reason(item, b"not a MIDI file") == Reason.MALFORMED

    def test_without_its_abc_a_tune_has_no_title(self, nottingham: Folder) -> None:
        files = Folder({"MIDI/jigs1.mid": nottingham.contents["MIDI/jigs1.mid"]})
        song = files.songs(NottinghamConfig())["jigs1"]
        assert song.title is None and song.genre == "jig"

    def test_lisa_layout(self, nottingham: Folder) -> None:
        blob = nottingham.contents["MIDI/slip1.mid"]
        files = Folder({"train/slip_simple_chords_1.mid": blob, "test/bad.mid": None})
        assert next(item.n_bytes for item in items(files, NottinghamConfig())) is None
        del files.contents["test/bad.mid"]
        song = files.songs(NottinghamConfig())["slip_simple_chords_1"]
        assert song.genre == "slip jig" and tuple(song.bars[0])[2:] == (9, 8)
        assert set(song.notes["track"].tolist()) == {PIANO, GUITAR}


def first_pitches(notes: np.ndarray) -> list[int]:
    """The first 8 pitches of the melody, the highest where several start at once, a
    repeated one counted once."""
    melody = notes[notes["track"] == PIANO]
    top = {
        int(start): int(pitch)
        for start, pitch in zip(melody["start"], melody["pitch"], strict=True)
    }
    pitches = [top[start] for start in sorted(top)]
    return [pitch for i, pitch in enumerate(pitches) if i == 0 or pitch != pitches[i - 1]][
        :8
    ]
