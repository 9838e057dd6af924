"""describe: what a release holds, from its manifest alone, for a terminal."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.publish import MANIFEST
from pipelines.stages import files
from schemas.settings import SettingsError

WIDTH = 80


def find_release(folder: str) -> str:
    """A release's folder, given it or the build's folder around it; raises SettingsError where there is neither."""
    for candidate in (folder, files.join(folder, "release")):
        if files.exists(files.join(candidate, MANIFEST)):
            return candidate
    raise SettingsError(f"no release at {folder}: it has no {MANIFEST}; run moodroll-data build first")


def read_manifest(release: str) -> dict[str, Any]:
    """The manifest of a release; raises SettingsError where it is not one."""
    try:
        return json.loads(files.read_bytes(files.join(release, MANIFEST)))
    except ValueError as error:
        raise SettingsError(f"{release}/{MANIFEST} is not JSON ({error}): publish the release again") from error


def describe(folder: str) -> dict[str, Any]:
    """The manifest's facts that a person asks for first."""
    manifest = read_manifest(find_release(folder))
    names = (
        "name",
        "schema_version",
        "splits",
        "ingest",
        "waterfall",
        "clusters",
        "thresholds",
        "labels",
        "metadata",
        "versions",
    )
    facts = {name: manifest[name] for name in names if name in manifest}
    return {**facts, "shards": len(manifest["shards"]), "bytes": sum(shard["bytes"] for shard in manifest["shards"])}


def describe_text(facts: Mapping[str, Any]) -> str:
    """The same as text of at most 80 columns."""
    n_songs = sum(facts["splits"].values())
    blocks = [
        f"{facts['name']}: {n_songs:,} songs, {facts['bytes'] / 1e6:,.1f} MB in {facts['shards']} shards",
        _table(["split", "songs", "share"], [[s, f"{n:,}", f"{n / max(n_songs, 1):.1%}"] for s, n in facts["splits"].items()]),
        _table(
            ["ingest", "read", "kept", "rejected", "why"],
            [
                [name, f"{facts['ingest']['read'][name]:,}", f"{facts['ingest']['kept'][name]:,}",
                 f"{facts['ingest']['rejected'][name]:,}",
                 ", ".join(f"{why} {count}" for why, count in facts["ingest"]["reasons"][name].items())]
                for name in facts["ingest"]["read"]
            ],
        ),
        *(_waterfall(name, fall) for name, fall in facts["waterfall"].items() if name != "all" or len(facts["waterfall"]) > 2),
        _clusters(facts["clusters"]),
        *_labels(facts),
    ]  # fmt: skip
    return "\n\n".join(blocks)


def _clusters(sizes: Mapping[str, int]) -> str:
    songs = sum(int(size) * count for size, count in sizes.items())
    if not sizes:
        return "duplicate clusters: none"
    return f"duplicate clusters: {sum(sizes.values()):,} of {songs:,} songs, the largest of {max(map(int, sizes))}"


def _labels(facts: Mapping[str, Any]) -> list[str]:
    """Where labels are from, where the threshold lies, and classes by split; nothing where there are none."""
    labels, thresholds = facts["labels"], facts["thresholds"]
    if not labels["labelled"] or not thresholds:
        return ["labels: none"]
    over = labels["disagreeing"]
    lines = [
        f"labels: {labels['labelled']:,} songs, {labels['trusted']:,} trusted, {labels['lent']:,} lent by duplicates, "
        f"{labels['judge']:,} songs for judges",
        f"thresholds ({thresholds['rule']}, margin {thresholds['margin']:g}): valence {thresholds['valence']:.3f}, "
        f"arousal {thresholds['arousal']:.3f}, from {thresholds['n_train']:,} training songs",
        f"matches of one song disagree: {over['0.0']:,} at all, {over['0.1']:,} by over .1, {over['0.2']:,} by over .2",
    ]
    agree = labels["cluster_agreement"]
    if agree["pairs"]:
        lines.append(
            f"two labels of one duplicate cluster agree: valence {agree['valence'] / agree['pairs']:.2f}, "
            f"arousal {agree['arousal'] / agree['pairs']:.2f}, of {agree['pairs']:,} pairs"
        )
    names = list(next(iter(labels["quadrants"].values())))
    tables = [
        _table(["split", *names], [[s, *(f"{n:,}" for n in by.values())] for s, by in labels["quadrants"].items()]),
        _table(["label source", "songs"], [[name, f"{n:,}"] for name, n in labels["sources"].items()]),
        _table(["no label because", "songs"], [[name, f"{n:,}"] for name, n in labels["unlabelled"].items()]),
    ]
    if facts["metadata"]["refused"]:
        tables.append(_table(["refused rows", "rows"], [[why, f"{n:,}"] for why, n in facts["metadata"]["refused"].items()]))
    return ["\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in lines), *tables]


def _waterfall(name: str, fall: Mapping[str, Any]) -> str:
    rows = [["in", f"{fall['in']:,}", ""]]
    rows += [[f"  {rule}", f"{n:,}", f"{fall['failed_alone'][rule]:,}"] for rule, n in fall["failed"].items()]
    return _table([name, "failed", "alone"], [*rows, ["kept", f"{fall['kept']:,}", ""]])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, the first and last to the left, numbers to the right."""
    widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]
    text_last = bool(rows) and not all(
        row[-1].replace(",", "").rstrip("%").replace(".", "").isdigit() for row in rows if row[-1]
    )
    lines = []
    for line in [head, *rows]:
        cells = [
            cell.ljust(width) if column == 0 or (text_last and column == len(head) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
