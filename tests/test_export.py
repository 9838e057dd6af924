"""export: the chosen songs as MIDI, and a sentence where there are none."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.export import file_names
from pipelines.layout import DESCRIBED
from schemas import mock
from schemas.columns import RELEASE
from schemas.grid import quantise
from schemas.midi import midi_bytes
from schemas.remi import encode


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight songs in two splits, row groups of three, a quadrant for every second song."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "data").mkdir()
    shards = []
    for split, songs in (("train", SONGS[:5]), ("test", SONGS[5:])):
        path = f"data/{split}-00000-of-00001.parquet"
        rows = [row_of(song, index) for index, song in enumerate(songs)]
        table = pa.Table.from_pylist(rows, pa.schema(list(RELEASE)))
        pq.write_table(table, folder / path, row_group_size=3)
        shards.append({"path": path, "split": split})
    manifest = {
        **{name: {} for name in DESCRIBED},
        "config": {},
        "dated": "",
        "name": "export",
        "splits": {"train": 5, "test": 3},
        "shards": shards,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


SONGS = mock.songs(8, n_bars=4)


def row_of(song, index: int) -> dict:
    """A row of RELEASE: the song, and nothing else but what its columns must hold."""
    empty = {"list": [], "string": "", "bool": False, "float": 0.0, "double": 0.0}
    row = {}
    for field in RELEASE:
        kind = "list" if pa.types.is_list(field.type) else str(field.type)
        row[field.name] = None if field.nullable else empty.get(kind, 0)
    for prefix, array in (("note", song.notes), ("bar", song.bars), ("tempo", song.tempi)):
        row |= {f"{prefix}_{name}": array[name].tolist() for name in array.dtype.names}
    quadrant = "happy" if index % 2 else None
    return row | {
        "song_id": song.song_id,
        "source": song.source,
        "source_key": song.source_key,
        "meter_source": "score",
        "remi": encode(song, quantise(song)).tokens.tolist(),
        "quadrant": quadrant,
    }


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_all_songs_as_their_notes(release: Path, tmp_path: Path) -> None:
    assert main(["export", str(release), "--to", str(tmp_path)]) == 0
    wanted = {f"mock_{song.source_key}.mid": midi_bytes(song) for song in SONGS}
    assert written(tmp_path) == wanted


def test_songs_split_quadrant_and_limit(release: Path, tmp_path: Path) -> None:
    def names(*words: str) -> list[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        assert main(["export", str(release), "--to", str(folder), *words]) == 0
        return sorted(written(folder))

    keys = [f"mock_{song.source_key}.mid" for song in SONGS]
    assert names("--songs", SONGS[6].song_id, SONGS[1].song_id) == [keys[1], keys[6]]
    assert names("--split", "test") == keys[5:]
    assert names("--quadrant", "happy") == [keys[1], keys[3], keys[6]]
    assert names("--split", "train", "--limit", "2") == keys[:2]


def test_what_is_not_there_is_one_sentence(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, says in (
        (["--songs", "mock:none", SONGS[0].song_id], "1 of 2 songs"),
        (["--split", "dev"], "no split dev"),
        (["--split", "test", "--quadrant", "calm"], "no song of"),
    ):
        out = tmp_path / "out"
        assert main(["export", str(release), "--to", str(out), *words]) == 2
        assert says in capsys.readouterr().err and not out.exists()


def test_names_of_files_are_plain_and_their_own() -> None:
    assert file_names(["a:b/c", "a:b:c", "x:ü é", "a:b c"]) == [
        "a_b_c",
        "a_b_c-2",
        "x_",
        "a_b_c-3",
    ]
    assert len(set(file_names([f"s:{n}" for n in range(50)] + ["s:ü", "s:é"]))) == 52
