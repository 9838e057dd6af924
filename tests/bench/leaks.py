"""Leaks of a release, counted from its rows and from the match lists alone, with nothing of
this program.

    python tests/bench/leaks.py --release out/real/release [--matches FILE …] [--old RELEASE]

A value stands in two splits where songs of both have it: of the columns below, of artist and
title (lower case, letters and digits alone), and of every MSD track that a line `md5 track`
of the match lists gives a song or one of the duplicates it stands for. Also: sizes, shares,
and classes by split.
"""

import argparse
import lzma
import re
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = ("group_id", "cluster_id", "content_hash", "msd_track_id")
READ = [
    "song_id", "split", "artist", "title", "msd_artist", "msd_title", "duplicates", "quadrant", "trusted", "label_trust",
    "valence", *COLUMNS,
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--release", required=True)
    parser.add_argument("--matches", nargs="*", default=[])
    parser.add_argument("--old", help="a release to compare the sizes of splits with")
    args = parser.parse_args()
    matched = read_matches(args.matches)
    for release in (args.old, args.release):
        if release:
            print(release)
            report(rows_of(Path(release)), matched)


def rows_of(release: Path) -> list[dict]:
    """Every row; its split is that of the file's name."""
    tables = []
    for path in sorted((release / "data").glob("*.parquet")):
        table = pq.read_table(path, columns=READ)
        split = pa.array([path.name.split("-")[0]] * len(table), pa.string())
        tables.append(table.set_column(table.column_names.index("split"), "split", split))
    return pa.concat_tables(tables).to_pylist()


def read_matches(paths: list[str]) -> dict[str, set[str]]:
    """The tracks of each md5."""
    matched: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        opened = lzma.open(path, "rt") if path.endswith(".xz") else open(path)  # noqa: SIM115
        with opened as stream:
            for words in (line.split() for line in stream):
                if len(words) > 1 and words[1].startswith("TR"):
                    matched[words[0]].add(words[1])
    return matched


def plain(name: str | None) -> str:
    return re.sub(r"[\W_]+", "", (name or "").lower())


def values(row: dict, matched: dict[str, set[str]]) -> set[tuple[str, str]]:
    """All by which a song may be the same as another."""
    found = {(name, row[name]) for name in COLUMNS if row[name]}
    for part in ("", "msd_"):
        artist, title = plain(row[f"{part}artist"]), plain(row[f"{part}title"])
        if artist and title:
            found.add(("name", f"{artist} {title}"))
    for song in (row["song_id"], *row["duplicates"]):
        found |= {("any match", track) for track in matched.get(song.split(":")[1], ())}
    return found


def report(rows: list[dict], matched: dict[str, set[str]]) -> None:
    where: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        for value in values(row, matched):
            where[value].add(row["split"])
    leaks: dict[str, int] = defaultdict(int)
    for (kind, _), splits in where.items():
        leaks[kind] += len(splits) > 1
    print("   values in two splits:", dict(leaks))
    names = sorted({row["quadrant"] for row in rows if row["quadrant"]})
    for split in ("train", "validation", "test"):
        mine = [row for row in rows if row["split"] == split]
        labelled = [row for row in mine if row["valence"] is not None]
        trusted = sum(row["trusted"] for row in labelled)
        trust = sum(row["label_trust"] for row in labelled) / max(len(labelled), 1)
        classes = " ".join(
            f"{name} {sum(row['quadrant'] == name for row in labelled) / max(len(labelled), 1):.3f}"
            for name in names
        )
        print(
            f"   {split:10s} {len(mine):6,} songs, {len(mine) / len(rows):.4f}; {len(labelled):,} labelled, "
            f"{trusted:,} trusted, mean trust {trust:.3f}; {classes}"
        )


if __name__ == "__main__":
    main()
