"""Side files of [affect] that are none, through `split`: one sentence, and nothing is
written or touched."""

import json
import lzma
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.formats.npz_write import write_npz
from pipelines.labels.config import AffectConfig
from pipelines.labels.side_files import read_side_files
from schemas import mock
from schemas.settings import SettingsError

pytestmark = pytest.mark.usefixtures("no_drawings")
TRACK = "TRAAAAA0000000000F"
IN_PROCESS = ["--", "--runner=FnApiRunner"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight songs, ingested and curated without a label."""
    root = tmp_path_factory.mktemp("corpus")
    (root / "lpd").mkdir()
    for song in mock.songs(8, n_bars=4):
        (root / "lpd" / f"{song.source_key}.npz").write_bytes(
            write_npz(song.notes, song.tempi, 96 * len(song.bars), song.source_key)
        )
    (root / "build.toml").write_text(
        f'name = "t"\nshards = 2\n[sources.lpd5]\nroot = "{root}/lpd"\n'
    )
    (root / "split.toml").write_text('name = "t"\n[affect]\nthreshold = 0.5\n')
    assert (
        main(["build", str(root / "build.toml"), "--out", str(root / "out"), *IN_PROCESS])
        == 0
    )
    return root


def split(corpus: Path, out: Path, *settings: str) -> int:
    flags = [word for setting in settings for word in ("--set", setting)]
    return main(
        [
            "split",
            str(corpus / "split.toml"),
            "--corpus",
            str(corpus / "out"),
            "--out",
            str(out),
            *flags,
            *IN_PROCESS,
        ]
    )


@pytest.mark.parametrize(
    ("setting", "name", "data", "says"),
    [
        ("labels", "x.csv", b"track_id,valence\nTR,0.5\n", "lacks a column energy"),
        ("labels", "x.csv", b"track_id,valence,energy\n", "has no rows"),
        ("labels", "x.csv", b"", "cannot be read as a label table"),
        ("labels", "x.parquet", b"PAR1", "cannot be read as a label table"),
        ("matches", "x.json", b"{not JSON", "is not LMD's match_scores.json"),
        ("matches", "x.txt", b"<html>", "give LPD's matched_ids.txt"),
        ("msd", "x.h5", b"no HDF5", "is not MSD's summary file"),
        ("msd", "x.txt", b"no folder", "no folder of MSD files"),
        ("names", "x.tsv", b"a,b\n", "is no tab-separated list"),
        ("unique_tracks", "x.txt", b"TR,SO\n", "is not MSD's unique_tracks.txt"),
    ],
)
def test_a_file_that_is_none_is_one_sentence_and_nothing_is_written(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    name: str,
    data: bytes,
    says: str,
) -> None:
    (tmp_path / name).write_bytes(data)
    value = (
        f"['{tmp_path / name}']"
        if setting in ("labels", "matches")
        else str(tmp_path / name)
    )
    assert split(corpus, tmp_path / "out", f"affect.{setting}={value}") == 2
    error = capsys.readouterr().err.strip()
    assert says in error and len(error.splitlines()) == 1, error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("affect.names={}/x.csv", "is no tab-separated list"),
        ("affect.matches=['{}/x.csv']", "give LPD's matched_ids.txt"),
        ("affect.labels=['{}/x.csv']", "lacks a column"),
        ("affect.msd={}/none", "no folder of MSD files"),
        ("splits.given=['{}/x.csv']", "lacks a column split"),
        ("splits.given=['{}/none.csv']", "cannot read"),
        (
            "affect.own={{us={{table='{}/x.csv', license='l', citation='c'}}}}",
            "affect.own.us: x.csv has no rows",
        ),
        (
            "affect.own={{us={{table='{}/no.csv', license='l', citation='c'}}}}",
            "cannot read",
        ),
        (
            "affect.own={{us={{table='{}/q.csv', license='l', citation='c'}}}}",
            "affect.own.us gives classes",
        ),
        ("filters.lpd5.min_bars=-1", "min_bars must be 0 or more"),
        ("affect.threshold=2.0", "threshold must lie in"),
    ],
)
def test_a_build_reads_all_it_is_given_before_the_first_song(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    says: str,
) -> None:
    (tmp_path / "x.csv").write_text("md5,title\n")
    (tmp_path / "q.csv").write_text("md5,quadrant\nx,Q1\n")
    flags = ["--set", setting.format(tmp_path)]
    build = ["build", str(corpus / "build.toml"), "--out", str(tmp_path / "out")]
    assert main([*build, *flags, *IN_PROCESS]) == 2
    error = capsys.readouterr().err.strip()
    assert says in error and len(error.splitlines()) == 1, error
    assert not (tmp_path / "out").exists()


def test_a_match_list_may_be_packed_and_name_its_tracks(tmp_path: Path) -> None:
    md5 = "a" * 32
    text = f'md5\ttrack_id\tartist\ttitle\n{md5}\t{TRACK}\tThe X\tA "one"\n'
    (tmp_path / "list.tsv.xz").write_bytes(lzma.compress(text.encode()))
    (tmp_path / "ids.txt").write_text(f"{md5}    {TRACK}\n")
    paths = tuple(str(tmp_path / name) for name in ("ids.txt", "list.tsv.xz"))
    tables, pins = read_side_files(AffectConfig(matches=paths))
    assert tables["matches"].to_pylist() == [{"md5": md5, "track_id": TRACK, "score": None}]
    (track,) = tables["tracks"].to_pylist()
    assert (track["artist"], track["title"]) == ("The X", 'A "one"')
    assert [pin.name for pin in pins] == ["ids.txt", "list.tsv.xz"]
    (tmp_path / "list.tsv.xz").write_bytes(b"no xz")
    with pytest.raises(SettingsError, match="cannot be unpacked"):
        read_side_files(AffectConfig(matches=paths))


def test_a_finished_split_is_not_touched_by_a_bad_file(
    corpus: Path, tmp_path: Path
) -> None:
    keys = sorted(path.stem for path in (corpus / "lpd").iterdir())
    published = dict(zip(keys, ["train", "test"] * 4, strict=True))
    rows = [f"{key}.npz,{one}" for key, one in published.items()]
    (tmp_path / "splits.csv").write_text("\n".join(["file,split", *rows]) + "\n")
    given = f"splits.given=['{tmp_path}/splits.csv']"
    assert split(corpus, tmp_path / "out", given) == 0
    before = {
        path: path.read_bytes()
        for path in sorted((tmp_path / "out").rglob("*"))
        if path.is_file()
    }
    assert split(corpus, tmp_path / "out", f"affect.labels=['{tmp_path}/none.csv']") == 2
    assert {
        path: path.read_bytes()
        for path in sorted((tmp_path / "out").rglob("*"))
        if path.is_file()
    } == before
    # The published splits are those of the release, and their file is pinned.
    manifest = json.loads((tmp_path / "out" / "release" / "manifest.json").read_text())
    assert manifest["splits"] == {"train": 4, "validation": 0, "test": 4}
    assert manifest["groups"]["given"] == 8
    assert [pin["name"] for pin in manifest["metadata"]["pins"]] == ["splits.csv"]
    for path in (tmp_path / "out" / "release" / "data").glob("*.parquet"):
        for row in pq.read_table(path, columns=["source_key", "split"]).to_pylist():
            assert row["split"] == published[row["source_key"]]


@pytest.mark.parametrize(
    ("rows", "refused"),
    [
        ([f"{TRACK},0.5,0.5"], 0),  # of no song of the corpus
        ([f"{TRACK},7,0.5"], 1),
        ([f"{TRACK},high,0.5"], 1),
        ([f"{TRACK},0.5,0.5", f"{TRACK},0.6,0.5"], 2),
    ],
)
def test_labels_of_which_none_is_left_are_told_and_make_no_release(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows: list[str],
    refused: int,
) -> None:
    (tmp_path / "x.csv").write_text("\n".join(["track_id,valence,energy", *rows]) + "\n")
    assert split(corpus, tmp_path / "out", f"affect.labels=['{tmp_path}/x.csv']") == 1
    error = capsys.readouterr().err.strip()
    assert "no training song has a label" in error and len(error.splitlines()) == 1
    assert (f"(refused rows: {refused}, see" in error) == (refused > 0)
    assert not (tmp_path / "out" / "release").exists()


def test_refused_rows_are_counted_by_what_is_wrong_not_by_value(
    corpus: Path, tmp_path: Path
) -> None:
    md5 = next((corpus / "lpd").iterdir()).stem
    rows = [f"{md5},0.5,0.5", *(f"{i:032x},{i},0.5" for i in range(100, 130))]
    (tmp_path / "x.csv").write_text("\n".join(["md5,valence,energy", *rows]) + "\n")
    everything = [
        f"affect.labels=['{tmp_path}/x.csv']",
        "splits.train=1.0",
        "splits.validation=0.0",
        "splits.test=0.0",
    ]
    assert split(corpus, tmp_path / "out", *everything) == 0
    manifest = json.loads((tmp_path / "out" / "release" / "manifest.json").read_text())
    assert manifest["metadata"]["refused"] == {"valence is not in [0, 1]": 30}
