"""Labels through Beam: matches, tracks, files of MSD and tables meet, and a bad file
costs its own row."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.beam.msd import why_unread
from pipelines.cli import main
from pipelines.formats.npz_write import write_npz
from pipelines.labels.msd import track_path, write_track
from schemas import mock

pytestmark = pytest.mark.usefixtures("no_drawings")
IN_PROCESS = ["--", "--runner=FnApiRunner"]
N_SONGS = 24
TRACKS = [f"TRAAAAA{index:011X}" for index in range(N_SONGS)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 songs filed under MSD tracks, a table of labels for 20 of them, MSD files of
    which one is none."""
    root = tmp_path_factory.mktemp("labels")
    for song, track in zip(mock.songs(N_SONGS, n_bars=8), TRACKS, strict=True):
        path = root / "lpd" / "A" / "A" / "A" / track / f"{song.source_key}.npz"
        path.parent.mkdir(parents=True)
        path.write_bytes(
            write_npz(song.notes, song.tempi, 96 * len(song.bars), song.source_key)
        )
    rows = [
        f"{track},Artist {i},Title {i},{(i + 1) / 30:.3f},{(30 - i) / 30:.3f}"
        for i, track in enumerate(TRACKS[:20])
    ]
    rows[3] = f"{TRACKS[3]},Artist 3,Title 3,7,0.5"
    (root / "labels.csv").write_text(
        "track_id,artist,title,valence,energy\n" + "\n".join(rows) + "\n"
    )
    for index in (0, 1):
        path = root / "msd" / track_path(TRACKS[index])
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = io.BytesIO()
        values = {
            "track_id": TRACKS[index],
            "artist": "Seen",
            "title": f"In the file {index}",
            "duration": 60.0,
            "tempo": 120.0,
        }
        write_track(
            stream, values, np.arange(10.0), np.random.default_rng(index).random((10, 12))
        )
        path.write_bytes(stream.getvalue())
    broken = root / "msd" / track_path(TRACKS[2])
    broken.write_bytes(b"no HDF5")
    (root / "build.toml").write_text(
        f'name = "t"\nshards = 3\n[sources.lpd5]\nroot = "{root}/lpd"\n'
        f'[affect]\nlabels = ["{root}/labels.csv"]\nmsd = "{root}/msd"\n'
    )
    return root


def catalog_of(out: Path) -> dict[str, dict[str, object]]:
    table = pa.concat_tables(
        pq.read_table(path) for path in sorted((out / "catalog").glob("*.parquet"))
    )
    return {row["msd_track_id"]: row for row in table.to_pylist()}


def test_labels_by_folder_with_what_the_files_say(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["build", str(corpus / "build.toml"), "--out", str(out), *IN_PROCESS]) == 0
    rows = catalog_of(out)
    assert len(rows) == N_SONGS and all(row["kept"] for row in rows.values())
    # MSD's own file goes before what the label table says of a track; the broken one leaves
    # the table's word.
    assert [rows[TRACKS[i]]["msd_title"] for i in range(4)] == [
        "In the file 0",
        "In the file 1",
        "Title 2",
        "Title 3",
    ]
    assert rows[TRACKS[5]]["valence"] == np.float32(0.2) and rows[TRACKS[5]][
        "arousal"
    ] == np.float32(0.833)
    assert (
        rows[TRACKS[3]]["valence"] is None and rows[TRACKS[21]]["unlabelled"] == "no value"
    )
    assert any("chroma" in evidence for evidence in rows[TRACKS[0]]["label_evidence"])
    refused = [
        row
        for kind in ("msd_refused", "refused")
        for row in pq.read_table(out / "metadata" / f"{kind}.parquet").to_pylist()
    ]
    missing = [row for row in refused if row["why"] == "no file"]
    assert [(row["file"], row["id"]) for row in missing] == [
        (track_path(track), track) for track in TRACKS[3:]
    ]
    others = [(row["file"], row["id"]) for row in refused if row not in missing]
    assert others == [(track_path(TRACKS[2]), TRACKS[2]), ("labels.csv", TRACKS[3])]
    manifest = json.loads((out / "release" / "manifest.json").read_text())
    counts = {"no file": 21, "not an HDF5 file": 1, "valence is not in [0, 1]": 1}
    assert (
        manifest["metadata"]["refused"] == counts and manifest["labels"]["labelled"] == 19
    )
    assert main(["verify", str(out)]) == 0


def test_an_msd_file_that_cannot_be_read_costs_its_own_row_and_stands_once(
    corpus: Path, tmp_path: Path
) -> None:
    for index in (0, 4):
        (tmp_path / "msd" / track_path(TRACKS[index])).mkdir(parents=True)
    # Two songs of one track, which shards of their own ask for.
    md5s = sorted(path.stem for path in (corpus / "lpd").rglob("*.npz"))
    (tmp_path / "matches.txt").write_text(
        "".join(f"{md5}    {TRACKS[0]}\n" for md5 in md5s)
    )
    flags = [f"affect.msd={tmp_path}/msd", f"affect.matches=['{tmp_path}/matches.txt']"]
    arguments = ["build", str(corpus / "build.toml"), "--out", str(tmp_path / "out")]
    assert (
        main(
            [*arguments, *(word for flag in flags for word in ("--set", flag)), *IN_PROCESS]
        )
        == 0
    )
    rows = {
        row["id"]: row["why"]
        for row in pq.read_table(
            tmp_path / "out" / "metadata" / "msd_refused.parquet"
        ).to_pylist()
    }
    assert {rows[TRACKS[index]] for index in (0, 4)} == {"cannot be read: Is a directory"}
    manifest = json.loads((tmp_path / "out" / "release" / "manifest.json").read_text())
    assert (
        manifest["metadata"]["refused"]["cannot be read"] == 2
        and manifest["metadata"]["refused"]["no file"] == N_SONGS - 2
    )
    assert main(["describe", str(tmp_path / "out")]) == 0


def test_why_a_file_was_not_read_never_holds_its_path() -> None:
    assert (
        why_unread("a/b.h5", FileNotFoundError(2, "No such file or directory", "a/b.h5"))
        == "no file"
    )
    assert (
        why_unread("a/b.h5", PermissionError(13, "Permission denied", "a/b.h5"))
        == "cannot be read: Permission denied"
    )
    assert why_unread("a/b.h5", OSError("a/b.h5 is away")) == "cannot be read: OSError"


def test_without_folder_matches_nobody_is_labelled(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--set", "affect.folder_matches=false"]
    assert (
        main(
            [
                "build",
                str(corpus / "build.toml"),
                "--out",
                str(tmp_path / "out"),
                *flags,
                *IN_PROCESS,
            ]
        )
        == 1
    )
    assert "no training song has a label" in capsys.readouterr().err


def test_a_release_edited_to_leak_or_to_mislabel_fails(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["build", str(corpus / "build.toml"), "--out", str(out), *IN_PROCESS]) == 0
    path = next(
        path
        for path in sorted((out / "release" / "data").glob("train-*"))
        if pq.read_metadata(path).num_rows
    )
    table = pq.read_table(path)
    flipped = [
        None if value is None else 1 - value for value in table["valence_class"].to_pylist()
    ]
    edited = table.set_column(
        table.column_names.index("valence_class"),
        table.schema.field("valence_class"),
        pa.array(flipped, pa.int8()),
    )
    pq.write_table(edited, path)
    manifest = json.loads((out / "release" / "manifest.json").read_text())
    for shard in manifest["shards"]:
        if shard["path"].endswith(path.name):
            shard.update(
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                bytes=path.stat().st_size,
            )
    (out / "release" / "manifest.json").write_text(json.dumps(manifest))
    capsys.readouterr()
    assert main(["verify", str(out)]) == 1
    assert "valence_class of" in capsys.readouterr().out


def test_a_split_takes_the_metadata_of_its_corpus(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    assert main(["build", str(corpus / "build.toml"), "--out", str(out), *IN_PROCESS]) == 0
    (tmp_path / "split.toml").write_text('name = "t"\n')
    assert (
        main(
            [
                "split",
                str(tmp_path / "split.toml"),
                "--corpus",
                str(out),
                "--out",
                str(again),
                *IN_PROCESS,
            ]
        )
        == 0
    )
    for path in sorted((out / "release" / "data").iterdir()):
        assert path.read_bytes() == (again / "release" / "data" / path.name).read_bytes()
    one, two = (
        json.loads((folder / "curate.lock.json").read_text()) for folder in (out, again)
    )
    assert one["labels"] == two["labels"] and one["metadata"] == {
        **two["metadata"],
        "refused": one["metadata"]["refused"],
    }
    flags = ["--set", "affect.zero_is_missing=false"]
    capsys.readouterr()
    assert (
        main(
            [
                "split",
                str(tmp_path / "split.toml"),
                "--corpus",
                str(out),
                "--out",
                str(tmp_path / "other"),
                *flags,
            ]
        )
        == 2
    )
    assert "name affect.labels again" in capsys.readouterr().err


def test_a_split_is_not_written_over_something_else(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["build", str(corpus / "build.toml"), "--out", str(out), *IN_PROCESS]) == 0
    (tmp_path / "split.toml").write_text(
        'name = "t"\n[filters.lpd5]\nmin_bars = 8\n[filters.sample]\nmin_bars = 8\n'
    )
    split = ["split", str(tmp_path / "split.toml"), "--corpus", str(out), "--out"]
    assert main([*split, str(out)]) == 2 and "holds an ingest" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert (
        main([*split, str(tmp_path / "mine")]) == 2
        and "holds no split" in capsys.readouterr().err
    )
    assert main([*split, str(tmp_path / "new"), "--set", "filters.lpd.min_bars=1"]) == 2
    assert "unknown key filters.lpd: did you mean lpd5?" in capsys.readouterr().err
    assert (
        main(
            [
                "split",
                str(tmp_path / "split.toml"),
                "--corpus",
                str(tmp_path / "none"),
                "--out",
                str(tmp_path / "new"),
            ]
        )
        == 2
    )
    assert "no ingest at" in capsys.readouterr().err and not (tmp_path / "new").exists()
