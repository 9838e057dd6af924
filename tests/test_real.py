"""The real corpora through the commands a user runs: labels by hand, thresholds, leaks,
duplicates, seeds."""

import csv
import hashlib
import re
import statistics
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.verify import verify
from schemas.grid import quantise
from schemas.remi import decode
from schemas.row import from_row
from schemas.row import rows_of as rows_of_table
from schemas.song import Song

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def labels(real_data: Path) -> list[str]:
    """The settings that name the real matches and labels."""
    return [
        "--set", f"affect.matches=['{real_data}/lpd_matched_ids.txt']",
        "--set", f"affect.labels=['{real_data}/msd_spotify_features.csv']",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def build(
    labels: list[str],
    real_data: Path,
    lpd_root: Path,
    nottingham_root: Path,
    msd_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """3,848 songs of LPD-5 and 1,034 tunes of Nottingham, with every side file there is."""
    out = tmp_path_factory.mktemp("real") / "out"
    roots = [
        "--set",
        f"sources.lpd5.root={lpd_root}",
        "--set",
        f"sources.nottingham.root={nottingham_root}",
    ]
    sides = [
        "--set",
        f"affect.names={real_data}/lmd_clean_names.tsv",
        "--set",
        f"affect.msd={msd_root}",
    ]
    assert (
        main(
            [
                "build",
                str(ROOT / "manifests/builds/lpd5-nottingham.toml"),
                "--out",
                str(out),
                *roots,
                *labels,
                *sides,
            ]
        )
        == 0
    )
    return out


@pytest.fixture(scope="module")
def half(build: Path, labels: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same songs split anew by the recipe `half`, labels from matches and values
    alone."""
    out = tmp_path_factory.mktemp("half") / "out"
    assert (
        main(
            [
                "split",
                str(ROOT / "manifests/splits/half.toml"),
                "--corpus",
                str(build),
                "--out",
                str(out),
                *labels,
            ]
        )
        == 0
    )
    return out


COLUMNS = [
    "song_id", "source_key", "split", "group_id", "cluster_id", "content_hash", "msd_track_id", "msd_artist", "msd_title",
    "artist", "title", "valence", "arousal", "valence_class", "arousal_class", "quadrant", "judge", "label_source",
    "duplicates",
]  # fmt: skip


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Every published row, its split by the name of its file."""
    rows = []
    for path in sorted((out / "release" / "data").glob("*.parquet")):
        for row in pq.read_table(path, columns=COLUMNS).to_pylist():
            assert row["split"] == path.name.split("-")[0]
            rows.append(row)
    return rows


def test_every_song_is_read_and_the_release_is_sound(build: Path, half: Path) -> None:
    assert (
        sum(
            1
            for path in (build / "songs").iterdir()
            for _ in pq.read_table(path, columns=["song_id"])["song_id"]
        )
        == 4882
    )
    assert verify(str(build)) == [] and verify(str(half)) == []


def test_every_song_comes_back_from_its_tokens(build: Path) -> None:
    n_songs = 0
    for path in sorted((build / "songs").iterdir()):
        for row in rows_of_table(pq.read_table(path)):
            check_tokens(from_row(row), row)
            n_songs += 1
    assert n_songs == 4882


def check_tokens(song: Song, row: dict[str, Any]) -> None:
    """The tokens of a row say its notes on their sixteenths, but for those that it counts as
    left out."""
    grid = quantise(song)
    decoded = decode(row["remi"], song.bars)
    assert decoded.ignored == 0
    notes = song.notes
    kept = (notes["pitch"] >= 21) & (notes["pitch"] <= 108) & (grid.position < 16)
    left_out = row["dropped_pitches"] + row["dropped_positions"]
    assert kept.sum() == len(decoded.notes) == len(notes) - left_out
    start = song.bars["start"][grid.bar] + 6 * grid.position
    order = np.lexsort((notes["pitch"][kept], notes["track"][kept], start[kept]))
    said = notes[kept][order]
    assert np.array_equal(start[kept][order], decoded.notes["start"])
    assert np.array_equal(said["pitch"], decoded.notes["pitch"])
    assert np.array_equal(said["track"], decoded.notes["track"])
    duration = np.minimum(grid.sixteenths[kept][order], 16) * 6
    assert np.array_equal(duration, decoded.notes["duration"])
    assert np.array_equal((said["velocity"] - 1) // 2 * 2 + 1, decoded.notes["velocity"])


def test_thresholds_are_the_medians_of_the_published_training_rows(
    build: Path, half: Path
) -> None:
    for out, expected in ((build, None), (half, 0.5)):
        rows = [row for row in rows_of(out) if row["valence"] is not None]
        for axis in ("valence", "arousal"):
            threshold = expected or statistics.median(
                row[axis] for row in rows if row["split"] == "train"
            )
            for row in rows:
                assert row[f"{axis}_class"] == int(round(row[axis] - threshold, 6) > 0)
        names = {(1, 1): "happy", (1, 0): "tense", (0, 0): "sad", (0, 1): "calm"}
        assert all(
            row["quadrant"] == names[row["arousal_class"], row["valence_class"]]
            for row in rows
        )


def plain(name: str | None) -> str:
    return re.sub(r"\W+", "", (name or "").lower())


def test_nothing_stands_in_two_splits(build: Path, half: Path, real_data: Path) -> None:
    matched = defaultdict(list)
    for line in (real_data / "lpd_matched_ids.txt").read_text().splitlines():
        matched[line.split()[0]].append(line.split()[1])
    for out in (build, half):
        where: dict[tuple[str, str], set[str]] = defaultdict(set)
        for row in rows_of(out):
            for name in ("group_id", "cluster_id", "content_hash", "msd_track_id"):
                where[name, row[name] or ""].add(row["split"])
            for artist, title in (("artist", "title"), ("msd_artist", "msd_title")):
                if row[artist] and row[title]:
                    where["name", f"{plain(row[artist])} {plain(row[title])}"].add(
                        row["split"]
                    )
            # Every match of a song and of the copies it stands for, taken or not.
            for song in (row["song_id"], *row["duplicates"]):
                for track in matched[song.removeprefix("lpd5:")]:
                    where["any match", track].add(row["split"])
        leaks = [key for key, splits in where.items() if len(splits) > 1 and key[1]]
        assert leaks == [] and len(where) > 9000


def title_by_hand(title: str) -> str:
    letters = "".join(
        mark
        for mark in unicodedata.normalize("NFKD", title).lower()
        if not unicodedata.combining(mark)
    )
    return re.sub(r"\W+", " ", re.sub(r"[(\[].*", "", letters)).strip()


def test_labels_of_100_published_rows_are_those_of_the_csv(
    half: Path, real_data: Path
) -> None:
    with (real_data / "msd_spotify_features.csv").open(
        encoding="utf-8", newline=""
    ) as stream:
        tracks = {row["track_id"]: row for row in csv.DictReader(stream)}
    matches = defaultdict(list)
    for line in (real_data / "lpd_matched_ids.txt").read_text().splitlines():
        matches[line.split()[0]].append(tracks[line.split()[1]])
    rows = [
        row
        for row in rows_of(half)
        if row["valence"] is not None and row["label_source"].endswith(":agree")
    ]
    for index in np.random.default_rng(4).permutation(len(rows))[:100]:
        row = rows[index]
        valued = [
            one
            for one in matches[row["source_key"]]
            if one["valence"] and float(one["valence"]) > 0
        ]
        chosen = [one for one in valued if one["track_id"] == row["msd_track_id"]]
        assert len(chosen) == 1, "the label is that of a match"
        assert (row["valence"], row["arousal"]) == (
            np.float32(chosen[0]["valence"]),
            np.float32(chosen[0]["energy"]),
        )
        titles = [title_by_hand(one["title"]) for one in valued]
        if (
            len(set(titles)) > 1
        ):  # of differing titles, one of the most frequent, and all values near each other
            assert max(map(titles.count, titles)) == titles.count(
                title_by_hand(chosen[0]["title"])
            )
            for axis in ("valence", "energy"):
                assert (
                    max(float(one[axis]) for one in valued)
                    - min(float(one[axis]) for one in valued)
                    <= 0.2 + 1e-9
                )


def test_labelled_pairs_of_duplicates(build: Path, real_data: Path) -> None:
    catalog = pa.concat_tables(
        pq.read_table(path, columns=["song_id", "group_id"])
        for path in sorted((build / "catalog").iterdir())
    )
    # Names may join a group too: what the notes say is told by pairs that share a group in
    # a split without names.
    group = dict(
        zip(catalog["song_id"].to_pylist(), catalog["group_id"].to_pylist(), strict=True)
    )
    with (real_data / "duplicate_pairs.csv").open() as stream:
        pairs = list(csv.DictReader(stream))
    found = [
        group[f"lpd5:{p['md5_a']}"] == group[f"lpd5:{p['md5_b']}"]
        for p in pairs
        if p["in_reference"] == "1"
    ]
    assert len(found) >= 60 and sum(found) / len(found) >= 0.97


def hashes(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_the_same_split_again_gives_the_same_bytes(
    build: Path, half: Path, labels: list[str], tmp_path: Path
) -> None:
    again = [
        "split",
        str(ROOT / "manifests/splits/half.toml"),
        "--corpus",
        str(build),
        "--out",
        str(tmp_path / "again"),
        *labels,
    ]
    assert main([*again, "--", "--direct_num_workers=1"]) == 0
    assert hashes(tmp_path / "again") == hashes(half)


@pytest.mark.usefixtures("no_drawings")
def test_a_new_seed_moves_whole_groups(
    build: Path, half: Path, labels: list[str], tmp_path: Path
) -> None:
    other = [
        "split",
        str(ROOT / "manifests/splits/half.toml"),
        "--corpus",
        str(build),
        "--out",
        str(tmp_path / "other"),
        *labels,
    ]
    assert main([*other, "--set", "seed=7"]) == 0
    one, two = (
        {row["song_id"]: row for row in rows_of(out)} for out in (half, tmp_path / "other")
    )
    assert one.keys() == two.keys()
    moved = {song for song in one if one[song]["split"] != two[song]["split"]}
    assert 0.1 < len(moved) / len(one) < 0.6
    assert all(one[song]["group_id"] == two[song]["group_id"] for song in one)
    splits: dict[str, set[str]] = defaultdict(set)
    for row in two.values():
        splits[row["group_id"]].add(row["split"])
    assert all(len(found) == 1 for found in splits.values())


@pytest.mark.parametrize(
    ("setting", "text", "says"),
    [
        ("matches", "{not json", "is not LMD's match_scores.json"),
        ("labels", "track_id,valence\nTRAAAAA0000000000F,0.5\n", "lacks a column energy"),
        ("labels", "track_id,valence,energy\n", "has no rows"),
        ("names", "a,b\n1,2\n", "is no tab-separated list"),
    ],
)
def test_a_bad_side_file_is_one_sentence_and_nothing_is_half_written(
    build: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    text: str,
    says: str,
) -> None:
    (tmp_path / "bad.json").write_text(text) if text[0] == "{" else (
        tmp_path / "bad.csv"
    ).write_text(text)
    path = next(tmp_path.iterdir())
    value = f"{path}" if setting == "names" else f"['{path}']"
    arguments = [
        "split",
        str(ROOT / "manifests/splits/half.toml"),
        "--corpus",
        str(build),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*arguments, "--set", f"affect.{setting}={value}"]) == 2
    error = capsys.readouterr().err.strip()
    assert says in error and len(error.splitlines()) == 1, error
    assert not (tmp_path / "out").exists()


def test_labels_of_songs_that_do_not_exist_are_told(
    build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ids.txt").write_text(f"{'0' * 32}    TRAAAAA0000000000F\n")
    (tmp_path / "table.csv").write_text(
        "track_id,valence,energy\nTRAAAAA0000000000F,0.5,0.5\n"
    )
    arguments = [
        "split",
        str(ROOT / "manifests/splits/half.toml"),
        "--corpus",
        str(build),
        "--out",
        str(tmp_path / "out"),
    ]
    sides = [
        "--set",
        f"affect.matches=['{tmp_path}/ids.txt']",
        "--set",
        f"affect.labels=['{tmp_path}/table.csv']",
    ]
    assert main([*arguments, *sides]) == 1
    assert "no training song has a label" in capsys.readouterr().err
