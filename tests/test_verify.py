"""verify: a sound release is ok, and every way of changing one is told."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.formats.npz_write import write_npz
from pipelines.verify import verify
from schemas import mock
from schemas.columns import RELEASE

pytestmark = pytest.mark.usefixtures("no_drawings")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of 30 made-up songs in two shards a split."""
    folder = tmp_path_factory.mktemp("sound")
    for song in mock.songs(30, n_bars=8):
        (folder / f"{song.source_key}.npz").write_bytes(
            write_npz(song.notes, song.tempi, 96 * len(song.bars), song.source_key)
        )
    build = folder / "build.toml"
    build.write_text(
        f'name = "t"\nshards = 2\n[sources.lpd5]\nroot = "{folder}"\n[splits]\ntrain = 0.6\nvalidation = 0.2\ntest = 0.2\n'
    )
    assert (
        main(
            [
                "build",
                str(build),
                "--out",
                str(folder / "out"),
                "--",
                "--runner=FnApiRunner",
            ]
        )
        == 0
    )
    return folder / "out" / "release"


@pytest.fixture
def release(sound: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(sound, tmp_path / "release"))


def shard(release: Path, split: str) -> Path:
    return next(
        path
        for path in sorted((release / "data").glob(f"{split}-*"))
        if pq.read_metadata(path).num_rows
    )


def rewrite(
    release: Path, path: Path, change: Callable[[list[dict[str, Any]]], object]
) -> None:
    """Change a shard's rows and make the manifest's hash fit, as somebody might who edits a
    release by hand."""
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, RELEASE), path)
    manifest = json.loads((release / "manifest.json").read_text())
    for one in manifest["shards"]:
        if one["path"] == f"data/{path.name}":
            data = path.read_bytes()
            one.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    (release / "manifest.json").write_text(json.dumps(manifest))


def test_a_sound_release_is_ok(sound: Path) -> None:
    assert verify(str(sound)) == [] and verify(str(sound.parent)) == []


def test_a_flipped_byte(release: Path) -> None:
    path = shard(release, "train")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert any(
        "are not those the manifest hashes" in problem for problem in verify(str(release))
    )


def test_a_missing_and_a_foreign_shard(release: Path) -> None:
    shard(release, "test").rename(release / "data" / "more.parquet")
    problems = verify(str(release))
    assert any("cannot be read: No such file" in problem for problem in problems)
    assert "data/more.parquet is not in the manifest" in problems


def note_changed(rows: list[dict[str, Any]]) -> None:
    rows[0]["note_pitch"][0] = (rows[0]["note_pitch"][0] + 1) % 108


def row_lost(rows: list[dict[str, Any]]) -> None:
    rows.pop()


def note_moved_out(rows: list[dict[str, Any]]) -> None:
    rows[0]["note_start"][-1] = 10**6


def rhythm_changed(rows: list[dict[str, Any]]) -> None:
    rows[0]["rhythm_onsets"][0] += 1


def split_renamed(rows: list[dict[str, Any]]) -> None:
    rows[0]["split"] = "validation"


def key_cut(rows: list[dict[str, Any]]) -> None:
    rows[0]["key"].pop()


def note_column_cut(rows: list[dict[str, Any]]) -> None:
    rows[0]["note_pitch"].pop()


def columns_of_one_value(rows: list[dict[str, Any]]) -> None:
    rows[0]["bar_denominator"] = rows[0]["bar_denominator"][:1]


def key_unknown(rows: list[dict[str, Any]]) -> None:
    rows[0]["key"][0] = 99


def seconds_changed(rows: list[dict[str, Any]]) -> None:
    rows[0]["seconds"] += 1


def tokens_miscounted(rows: list[dict[str, Any]]) -> None:
    rows[0]["n_tokens"] += 1


def class_given(rows: list[dict[str, Any]]) -> None:
    rows[0]["arousal_class"] = 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (note_changed, "is not what its notes give"),
        (row_lost, "rows, the manifest says"),
        (note_moved_out, "its notes break the record"),
        (rhythm_changed, "rhythm_onsets is not what its notes give"),
        (split_renamed, "it says split validation in a shard of train"),
        (key_cut, "key has"),
        (note_column_cut, "note columns differ in length"),
        (columns_of_one_value, "bar columns differ in length"),
        (key_unknown, "key has a number over 24"),
        (seconds_changed, "seconds is not what its notes give"),
        (tokens_miscounted, "n_tokens is not what its notes give"),
        (class_given, "songs have classes and the manifest has no thresholds"),
    ],
)
def test_an_edited_row_is_found_though_the_hash_fits(
    release: Path, change: Callable[[Any], None], says: str
) -> None:
    rewrite(release, shard(release, "train"), change)
    assert any(says in problem for problem in verify(str(release)))


def test_a_song_in_two_splits_is_a_leak(release: Path) -> None:
    leaked = pq.read_table(shard(release, "train")).to_pylist()[0]
    rewrite(
        release,
        shard(release, "test"),
        lambda rows: rows.append({**leaked, "split": "test", "song_id": "lpd5:other"}),
    )
    problems = verify(str(release))
    assert any(
        problem.startswith("content_hash") and "stands in test and train: a leak" in problem
        for problem in problems
    )
    assert any(problem.startswith("group_id") for problem in problems)


def edit_manifest(release: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((release / "manifest.json").read_text())
    change(manifest)
    (release / "manifest.json").write_text(json.dumps(manifest))


def test_a_shard_that_globs_take_for_another_split(release: Path) -> None:
    path = shard(release, "test")
    path.rename(path.with_name("train-00009-of-00002.parquet"))
    old, new = f"data/{path.name}", "data/train-00009-of-00002.parquet"
    edit_manifest(
        release,
        lambda manifest: [
            one.update(path=new) for one in manifest["shards"] if one["path"] == old
        ],
    )
    assert f"{new} is named as of another split than test" in verify(str(release))


def test_what_is_no_parquet_though_the_hash_fits(release: Path) -> None:
    path, data = shard(release, "test"), b"PAR1"
    path.write_bytes(data)
    facts = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    edit_manifest(
        release,
        lambda m: [
            one.update(facts) for one in m["shards"] if one["path"] == f"data/{path.name}"
        ],
    )
    assert any(
        f"data/{path.name} is not Parquet" in problem for problem in verify(str(release))
    )


def test_a_count_of_bytes_or_of_a_split_that_is_not_so(release: Path) -> None:
    edit_manifest(release, lambda manifest: manifest["splits"].pop("test"))
    assert any(
        problem.startswith("test has ") and "the manifest says 0" in problem
        for problem in verify(str(release))
    )
    edit_manifest(release, lambda manifest: manifest["shards"][0].update(bytes=1))
    assert any(
        "are not those the manifest hashes" in problem for problem in verify(str(release))
    )


@pytest.mark.parametrize("text", ["[]", "{}", "{", '{"shards": []}'])
def test_a_manifest_that_is_none_is_one_sentence(
    release: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (release / "manifest.json").write_text(text)
    for command in ("verify", "describe"):
        assert main([command, str(release)]) == 2
        assert "publish the release again" in capsys.readouterr().err


def test_another_version_is_said_and_no_more(release: Path) -> None:
    manifest = json.loads((release / "manifest.json").read_text())
    (release / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 0}))
    assert verify(str(release)) == [
        "the release has schema_version 0, this moodroll reads 2"
    ]


def test_exit_codes(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(release)]) == 0
    shard(release, "test").unlink()
    assert main(["verify", str(release)]) == 1
    assert main(["verify", str(tmp_path / "none")]) == 2
    assert "no release at" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["README.md", "croissant.json"])
def test_a_card_written_by_hand(release: Path, name: str) -> None:
    (release / name).write_text((release / name).read_text().replace("train", "brain", 1))
    assert verify(str(release)) == [f"{name} is not what the manifest gives"]
    (release / name).unlink()
    assert verify(str(release)) == [f"{name} is missing"]
