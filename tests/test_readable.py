"""A release is read by people who have never seen this code: datasets, pandas, Polars and
DuckDB, in a process without it."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main
from pipelines.formats.npz_write import write_npz
from schemas import mock

pytestmark = pytest.mark.usefixtures("no_drawings")
READERS = {
    "datasets": """
        from datasets import load_dataset
        whole = load_dataset(release)
        streamed = load_dataset(release, streaming=True)
        for split, rows in whole.items():
            ids = [row["song_id"] for row in streamed[split]]
            assert ids == rows["song_id"][:], "streaming gives other songs"
            assert rows.features["remi"].feature.dtype == "uint16" and not rows.num_rows or rows[0]["remi"][0] == 2
            assert rows.features["quadrant"].names == ["happy", "tense", "sad", "calm"]
            assert rows.features["note_track"].feature.names[1] == "Piano"
            meters = rows.features["meter_source"]
            assert {meters.int2str(number) for number in rows["meter_source"][:]} <= {"assumed_4_4"}
            result[split] = ids
    """,
    "pandas": """
        import pandas
        for split in splits:
            table = pandas.concat([pandas.read_parquet(path) for path in shards(split)])
            assert set(table["split"]) <= {split}
            result[split] = table["song_id"].tolist()
    """,
    "polars": """
        import polars
        for split in splits:
            table = polars.read_parquet(f"{release}/data/{split}-*.parquet")
            assert table.schema["remi"] == polars.List(polars.UInt16)
            assert table.filter(polars.col("remi").list.len() != polars.col("n_tokens")).height == 0
            result[split] = table["song_id"].to_list()
    """,
    "duckdb": """
        import duckdb
        for split in splits:
            rows = duckdb.sql(f"select song_id, len(remi) = n_tokens from '{release}/data/{split}-*.parquet' order by all")
            found = rows.fetchall()
            assert all(same for _, same in found)
            result[split] = [song_id for song_id, _ in found]
    """,
}
PROGRAM = """
import glob, json, sys
release, splits, result = sys.argv[1], json.loads(sys.argv[2]), {}
def shards(split):
    return sorted(glob.glob(f"{release}/data/{split}-*.parquet"))
%s
ours = sorted(name for name in sys.modules if name.split(".")[0] in ("pipelines", "schemas", "training"))
assert not ours, ours
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 songs in three shards a split, so that some shards are empty."""
    folder = tmp_path_factory.mktemp("readable")
    for song in mock.songs(12, n_bars=3):
        (folder / f"{song.source_key}.npz").write_bytes(
            write_npz(song.notes, song.tempi, 96 * len(song.bars), song.source_key)
        )
    (folder / "build.toml").write_text(
        f'name = "t"\nshards = 3\nfile_megabytes = 1e-6\n[sources.lpd5]\nroot = "{folder}"\n'
        "[splits]\ntrain = 0.5\nvalidation = 0.25\ntest = 0.25\n"
    )
    assert (
        main(
            [
                "build",
                str(folder / "build.toml"),
                "--out",
                str(folder / "out"),
                "--",
                "--runner=FnApiRunner",
            ]
        )
        == 0
    )
    return folder / "out" / "release"


def manifest_of(release: Path) -> dict[str, Any]:
    return json.loads((release / "manifest.json").read_text())


@pytest.mark.parametrize("reader", READERS)
def test_rows_and_splits_are_the_manifest_s(
    release: Path, tmp_path: Path, reader: str
) -> None:
    pytest.importorskip(reader)
    wanted = manifest_of(release)["splits"]
    offline = {
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }
    program = PROGRAM % textwrap.dedent(READERS[reader])
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        **offline,
    }
    command = [sys.executable, "-c", program, str(release), json.dumps(list(wanted))]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert {split: len(ids) for split, ids in read.items()} == wanted
    assert len({song_id for ids in read.values() for song_id in ids}) == sum(
        wanted.values()
    )
