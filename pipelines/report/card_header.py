"""card_header: the YAML at the head of a card, by which the Hugging Face Hub shows a release
and datasets loads it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.report import citations
from pipelines.report.hub_features import hub_features

# Hugging Face's size categories: the first bound that is over the number of rows.
SIZES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
)  # fmt: skip
TAGS = (
    "music",
    "symbolic-music",
    "midi",
    "remi",
    "pianoroll",
    "music-generation",
    "parquet",
)
LABEL_TAGS = ("emotion", "valence", "arousal")
ALL = "all"
# Every value of valence is over this, and none is not.
NO_VALENCE = -1


def header(manifest: Mapping[str, Any]) -> str:
    """The YAML, without its dashes. JSON strings are YAML strings, so that no name can break
    it."""
    rows = sum(manifest["splits"].values())
    size = next((name for bound, name in SIZES if rows < bound), "10M<n<100M")
    tags = (*TAGS, *(LABEL_TAGS if manifest["labels"]["labelled"] else ()))
    lines = [
        f"pretty_name: {json.dumps(manifest['name'], ensure_ascii=False)}",
        *_licences(manifest),
        *("task_categories:", "- other"),
        *("size_categories:", f"- {size}"),
        "tags:",
        *(f"- {tag}" for tag in tags),
        *_configs(manifest),
        *_infos(manifest),
    ]
    return "\n".join(lines)


def _licences(manifest: Mapping[str, Any]) -> Iterator[str]:
    works = citations.licences(manifest)
    yield "license:"
    for licence in dict.fromkeys(work.licence for work in works):
        yield f"- {licence}"
    other = [work.licence_name for work in works if work.licence == "other"]
    if other:
        yield f"license_name: {json.dumps('; '.join(other))}"
        yield "license_link: README.md"


def _configs(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What load_dataset takes as a second word: all rows, and those that pass a filter."""
    yield "configs:"
    for name, condition in configs(manifest).items():
        yield f"- config_name: {json.dumps(name)}"
        if name == ALL:
            yield "  default: true"
        yield "  data_files:"
        for split in manifest["splits"]:
            yield f"  - split: {split}"
            yield f"    path: data/{split}-*.parquet"
        if condition:
            yield "  filters:"
            yield f"  - {json.dumps(condition)}"


def configs(manifest: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """The condition (column, operator, value) of each configuration, empty for all rows."""
    found: dict[str, Sequence[Any]] = {ALL: ()}
    if manifest["labels"]["labelled"]:
        found["labelled"] = ("valence", ">", NO_VALENCE)
    if manifest["labels"]["trusted"]:
        found["trusted"] = ("trusted", "==", True)
    sources = [name for name in manifest["waterfall"] if name != ALL]
    for name in sources if len(sources) > 1 else ():
        found[name] = ("source", "==", name)
    return found


def _infos(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The features of every configuration, written once, and the sizes of all rows: bytes as
    published, packed."""
    packed = Counter[str]()
    for shard in manifest["shards"]:
        packed[shard["split"]] += shard["bytes"]
    yield "dataset_info:"
    for name in configs(manifest):
        yield f"- config_name: {json.dumps(name)}"
        if name != ALL:
            yield "  features: *features"
            continue
        yield "  features: &features"
        for feature in hub_features(manifest["columns"]):
            yield f"  - {json.dumps(feature)}"
        yield "  splits:"
        for split, rows in manifest["splits"].items():
            yield f"  - name: {split}"
            yield f"    num_bytes: {packed[split]}"
            yield f"    num_examples: {rows}"
        yield f"  download_size: {packed.total()}"
