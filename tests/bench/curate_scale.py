"""Time and memory of curate, publish and split on a corpus grown to the size of LPD-5-full.

    python tests/bench/curate_scale.py --corpus out/real --data ../shared/data --work FOLDER
    [--songs 174154]

The songs of an ingest are written again and again under new ids into a folder of the same
form (some GB): in each round riffs (shingles of three songs and more) stay what they are,
all other shingles are hashed anew, and one song in five is a version of an earlier one, so
that duplicate search has as much to do as on new music in the old style. Their md5 are new
too; matches are grown along, so that labels are joined for all.
"""

import argparse
import hashlib
import json
import resource
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from dedupe_scale import changed

from pipelines.cli import main as moodroll_data
from pipelines.io.tables import ROWS_PER_GROUP, write_table
from pipelines.layout import shard_path
from schemas.columns import SIGNATURES
from schemas.manifest import lock_from_json, to_json


def main() -> None:
    """Grow the corpus where it does not stand yet, then time the commands."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--corpus", required=True, help="folder of a build of the real corpora"
    )
    parser.add_argument(
        "--data",
        default="../shared/data",
        help="folder with lpd_matched_ids.txt and the label table",
    )
    parser.add_argument("--work", required=True, help="folder for the grown corpus")
    parser.add_argument("--songs", type=int, default=174_154)
    arguments = parser.parse_args()
    grown = Path(arguments.work) / "grown"
    if not (grown / "ingest.lock.json").exists():
        grow(Path(arguments.corpus), grown, Path(arguments.data), arguments.songs)
    out = Path(arguments.work) / "split"
    split = [
        "split",
        "manifests/splits/paper.toml",
        "--corpus",
        str(grown),
        "--out",
        str(out),
    ]
    sides = [
        f"affect.matches=['{grown}/matches.txt']",
        f"affect.labels=['{arguments.data}/msd_spotify_features.csv']",
    ]
    begin, peak = time.perf_counter(), Peak()
    with peak:
        assert (
            moodroll_data([*split, *(word for side in sides for word in ("--set", side))])
            == 0
        )
    print(
        f"split (curate + publish) of {arguments.songs:,} songs: {time.perf_counter() - begin:.0f} s, ",
        end="",
    )
    print(f"peak {peak.gib:.2f} GiB in all processes together, ", end="")
    print(
        f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20:.2f} GiB in the largest"
    )


class Peak:
    """Largest memory of this process and all below it together, looked at twice a second
    (proportional shares)."""

    def __enter__(self) -> None:
        self.gib, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            self.gib = max(self.gib, sum(map(_pss_kib, _family())) / 2**20)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _family() -> list[str]:
    parents: dict[str, str] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[stat.parent.name] = stat.read_text().rsplit(")", 1)[1].split()[1]
        except OSError:
            continue
    mine = {str(threading.get_native_id() and Path("/proc/self").resolve().name)}
    while more := {child for child, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return sorted(mine)


def _pss_kib(process: str) -> int:
    try:
        lines = Path("/proc", process, "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def grow(corpus: Path, grown: Path, data: Path, n_songs: int) -> None:
    """Write n_songs songs and signatures in the shards of the corpus's ingest."""
    lock = lock_from_json((corpus / "ingest.lock.json").read_text())
    n_shards = lock.spec["shards"]
    for folder in ("songs", "signatures"):
        (grown / folder).mkdir(parents=True, exist_ok=True)
    real = [
        pq.read_table(shard_path(str(corpus), "signatures", i, n_shards))
        for i in range(n_shards)
    ]
    values, counts = np.unique(
        np.concatenate([t["shingles"].combine_chunks().values.to_numpy() for t in real]),
        return_counts=True,
    )
    riffs = values[counts >= 3]
    rounds = -(-n_songs // sum(table.num_rows for table in real))
    left, matched = n_songs, read_matches(data)
    new_matches: list[str] = []
    for index in range(n_shards):
        take = min(
            real[index].num_rows * rounds,
            left
            if index == n_shards - 1
            else left * real[index].num_rows // sum(t.num_rows for t in real[index:]),
        )
        left -= take
        grow_shard(corpus, grown, index, n_shards, take, riffs, matched, new_matches)
    (grown / "matches.txt").write_text("".join(new_matches))
    counts_of = {"lpd5": n_songs}
    (grown / "ingest.lock.json").write_text(
        to_json(
            {
                **json.loads(to_json(lock)),
                "read": counts_of,
                "kept": counts_of,
                "rejected": {"lpd5": 0},
                "reasons": {"lpd5": {}},
            }
        )
    )


def read_matches(data: Path) -> dict[str, list[str]]:
    matched: dict[str, list[str]] = {}
    for line in (data / "lpd_matched_ids.txt").read_text().splitlines():
        matched.setdefault(line.split()[0], []).append(line.split()[1])
    return matched


def grow_shard(
    corpus: Path,
    grown: Path,
    index: int,
    n_shards: int,
    n_songs: int,
    riffs: np.ndarray,
    matched: dict[str, list[str]],
    new: list[str],
) -> None:
    songs = pq.read_table(shard_path(str(corpus), "songs", index, n_shards))
    shingles = pq.read_table(shard_path(str(corpus), "signatures", index, n_shards))[
        "shingles"
    ].to_pylist()
    rng = np.random.default_rng([0, index])
    rows = np.arange(n_songs) % songs.num_rows
    old = songs["source_key"].to_pylist()
    keys = [
        hashlib.md5(f"{old[row]} {place}".encode()).hexdigest()
        for place, row in enumerate(rows)
    ]
    order = np.argsort(keys)
    signatures: list[np.ndarray] = []
    for place, row in enumerate(rows.tolist()):
        source = np.array(shingles[row], np.uint64)
        if place >= songs.num_rows and rng.random() < 0.2:
            signatures.append(
                changed(signatures[rng.integers(len(signatures))], rng.uniform(0.2, 1), rng)
            )
        else:
            fresh = (source ^ np.uint64(place // songs.num_rows + 1)) * np.uint64(
                0x9E3779B97F4A7C15
            )
            signatures.append(
                np.unique(
                    np.where(np.isin(source, riffs, assume_unique=True), source, fresh)
                )
            )
        new.extend(f"{keys[place]}    {track}\n" for track in matched.get(old[row], ()))
    ids = pa.array([f"lpd5:{keys[place]}" for place in order])
    table = pa.table([ids, pa.array([signatures[place] for place in order])], SIGNATURES)
    write_table(shard_path(str(grown), "signatures", index, n_shards), table)
    with pq.ParquetWriter(
        shard_path(str(grown), "songs", index, n_shards),
        songs.schema,
        compression="zstd",
        use_dictionary=False,
    ) as writer:
        for begin in range(0, n_songs, ROWS_PER_GROUP):
            here = order[begin : begin + ROWS_PER_GROUP]
            part = songs.take(rows[here])
            for name, values in (
                ("song_id", ids[begin : begin + len(here)]),
                ("source", pa.array(["lpd5"] * len(here))),
                ("source_key", pa.array([keys[place] for place in here])),
                ("content_hash", pa.array([keys[place] for place in here])),
            ):
                part = part.set_column(
                    part.column_names.index(name), part.schema.field(name), values
                )
            writer.write_table(part.combine_chunks(), row_group_size=ROWS_PER_GROUP)
    assert pc.all(pc.is_valid(table["song_id"])).as_py()


if __name__ == "__main__":
    main()
