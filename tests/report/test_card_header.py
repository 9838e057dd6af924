"""The card's YAML: every configuration loads by datasets, and holds the rows that it names."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.report.card_header import configs, header
from pipelines.report.hub_features import CLASS_NAMES, hub_features
from schemas.columns import RELEASE


def rows_of(release: Path, split: str) -> list[dict[str, Any]]:
    names = ["song_id", "source", "valence", "quadrant", "trusted", "valence_class"]
    tables = [
        pq.read_table(path, columns=names)
        for path in sorted((release / "data").glob(f"{split}-*.parquet"))
    ]
    return pa.concat_tables(tables).to_pylist()


def test_the_yaml_says_configurations_and_sizes(
    labelled: Path, manifest: dict[str, Any]
) -> None:
    said = yaml.safe_load(header(manifest))
    assert [one["config_name"] for one in said["configs"]] == list(configs(manifest))
    assert said["configs"][0] == {
        "config_name": "all",
        "default": True,
        "data_files": [
            {"split": split, "path": f"data/{split}-*.parquet"}
            for split in manifest["splits"]
        ],
    }
    info = said["dataset_info"][0]
    assert {one["name"]: one["num_examples"] for one in info["splits"]} == manifest[
        "splits"
    ]
    files = (labelled / "release" / "data").iterdir()
    assert info["download_size"] == sum(path.stat().st_size for path in files)


def test_every_configuration_loads_its_rows(
    labelled: Path,
    manifest: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    release = labelled / "release"
    wanted = {
        "all": lambda row: True,
        "labelled": lambda row: row["valence"] is not None,
        "trusted": lambda row: row["trusted"],
        "lpd5": lambda row: row["source"] == "lpd5",
        "nottingham": lambda row: row["source"] == "nottingham",
    }
    assert "labelled" in configs(manifest)
    for name in configs(manifest):
        loaded = datasets.load_dataset(str(release), name, cache_dir=str(tmp_path))
        for split in manifest["splits"]:
            rows = [row for row in rows_of(release, split) if wanted[name](row)]
            ours = {row["song_id"]: row["quadrant"] for row in rows}
            names = loaded[split].features["quadrant"].names
            theirs = {
                song: None if number is None else names[number]
                for song, number in zip(
                    loaded[split]["song_id"], loaded[split]["quadrant"], strict=True
                )
            }
            assert theirs == ours


def test_an_unlabelled_release_offers_all_its_rows_alone(unlabelled: Path) -> None:
    manifest = json.loads((unlabelled / "release" / "manifest.json").read_text())
    assert not {"labelled", "trusted"} & set(configs(manifest))


def test_features_are_those_that_datasets_reads(manifest: dict[str, Any]) -> None:
    datasets = pytest.importorskip("datasets")
    read = datasets.Features._from_yaml_list(hub_features(manifest["columns"]))
    assert list(read) == RELEASE.names
    for name, field in zip(RELEASE.names, RELEASE, strict=True):
        feature = getattr(read[name], "feature", read[name])
        if name in CLASS_NAMES:
            assert tuple(feature.names) == CLASS_NAMES[name]
        else:
            kind = field.type.value_type if pa.types.is_list(field.type) else field.type
            assert feature.pa_type == kind
