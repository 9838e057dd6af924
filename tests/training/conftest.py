"""A small made-up release on disk, written from the schemas alone, and run settings that
train in seconds."""

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas import mock
from schemas.columns import RELEASE, SCHEMA_VERSION
from schemas.grid import quantise
from schemas.remi import encode, vocabulary_sha256
from schemas.rhythm import count_rhythm
from schemas.row import to_row, to_table
from schemas.song import Song
from training.config import RunConfig, from_tables

# Without the extras [training] and [evaluate] there is nothing to test here.
NEEDED = (
    "torch",
    "safetensors",
    "fsspec",
    "pretty_midi",
    "symusic",
    "matplotlib",
    "sklearn",
    "scipy",
)
collect_ignore_glob = (
    [] if all(importlib.util.find_spec(name) for name in NEEDED) else ["test_*.py"]
)

SPLITS = {"train": 12, "validation": 4, "test": 4}


def release_row(
    song: Song, index: int, labelled: bool = True, judge: bool = False
) -> dict[str, Any]:
    """A row of RELEASE; label_rank rises with index, and loud songs (more notes than
    most) are A1."""
    grid = quantise(song)
    rhythm = {
        f"rhythm_{name}": np.minimum(count, 255).astype(np.uint8).ravel()
        for name, count in vars(count_rhythm(grid)).items()
    }
    remi = encode(song, grid)
    bars = len(song.bars)
    features = {
        **rhythm, "key": (np.arange(bars) % 25).astype(np.uint8), "seconds": 60.0, "n_notes": len(song.notes), "n_bars": bars,
    }  # fmt: skip
    arousal, valence = (
        (int(len(song.notes) > 24 * bars), index % 2) if labelled else (None, None)
    )
    verdicts = {
        "label_rank": index / 100,
        "judge": judge,
        "valence_class": valence,
        "arousal_class": arousal,
    }
    row = {**to_row(song, remi, features), **verdicts}
    # What training does not read is empty, so that new columns of the schema need no change
    # here.
    return {field.name: row.get(field.name, _empty(field)) for field in RELEASE}


def _empty(field: pa.Field) -> Any:
    if field.nullable:
        return None
    empty = {"list": [], "string": "", "bool": False}
    return next(
        (value for name, value in empty.items() if str(field.type).startswith(name)), 0
    )


def write_release(
    folder: Path, rows: dict[str, list[dict[str, Any]]], **manifest: Any
) -> str:
    """A release of `rows` by split, one shard a split."""
    (folder / "data").mkdir(parents=True)
    shards = []
    for split, of_split in rows.items():
        name = f"data/{split}-00000-of-00001.parquet"
        pq.write_table(
            to_table([row | {"split": split} for row in of_split], RELEASE), folder / name
        )
        content = (folder / name).read_bytes()
        shards.append(
            {
                "path": name,
                "split": split,
                "rows": len(of_split),
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    facts = {
        "schema_version": SCHEMA_VERSION,
        "vocabulary_sha256": vocabulary_sha256(),
        "config": {"remi": {"tempo": "on_change"}},
        "shards": shards,
    }
    (folder / "manifest.json").write_text(json.dumps({**facts, **manifest}))
    return str(folder)


def mock_rows(
    labelled: Callable[[int], bool] = lambda index: True, n_bars: int = 12
) -> dict[str, list[dict[str, Any]]]:
    """Made-up songs by split."""
    songs = iter(mock.songs(sum(SPLITS.values()), n_bars=n_bars))
    return {
        split: [release_row(next(songs), index, labelled(index)) for index in range(count)]
        for split, count in SPLITS.items()
    }


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Such small models are slower on more."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> str:
    """12 training, 4 validation and 4 test songs of 12 bars, all labelled."""
    return write_release(tmp_path_factory.mktemp("mock") / "release", mock_rows())


@pytest.fixture
def tables() -> dict[str, Any]:
    """Settings of a run that takes a second."""
    return {
        "name": "test",
        "kind": "semg_gmvae",
        "model": {"layers": 1, "heads": 2, "width": 16, "feed_forward": 32, "latent": 4, "kl_warmup": 1, "kl_cycle": 0},
        "data": {"bars": 3, "tokens_per_bar": 48},
        "train": {"steps": 4, "batch": 4, "learning_rate": 1e-3, "warmup_steps": 2, "log_every": 1, "validate_every": 2,
                  "save_every": 2, "validation_batches": 1, "threads": 1, "tensorboard": False},
    }  # fmt: skip


@pytest.fixture
def config(tables: dict[str, Any]) -> RunConfig:
    """The same, read."""
    return from_tables(tables)
