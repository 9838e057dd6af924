"""describe: what a release holds, from its manifest alone, for a terminal."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from pipelines.layout import DESCRIBED, find_release, read_manifest

# Columns of text that goes elsewhere than to a terminal, the narrowest and widest terminal
# that is followed, and from where on tables stand side by side.
WIDTH, NARROWEST, WIDEST, SIDE_BY_SIDE = 80, 60, 160, 120
GAP = "  "
BETWEEN_TABLES = " " * 6
# A column of text is never made narrower.
NARROWEST_COLUMN = 12


def describe(folder: str) -> dict[str, Any]:
    """The manifest's facts that a person asks for first."""
    manifest = read_manifest(find_release(folder))
    facts = {name: manifest[name] for name in DESCRIBED}
    return {
        **facts,
        "shards": len(manifest["shards"]),
        "bytes": sum(shard["bytes"] for shard in manifest["shards"]),
    }


def terminal_width() -> int:
    """Columns to write to stdout: those of the terminal (COLUMNS, else what it says), WIDTH
    where it is none."""
    if not sys.stdout.isatty():
        return WIDTH
    return min(max(shutil.get_terminal_size((WIDTH, 24)).columns, NARROWEST), WIDEST)


def describe_text(facts: Mapping[str, Any], width: int = WIDTH) -> str:
    """The same as text of at most `width` columns."""
    n_songs, ingest = sum(facts["splits"].values()), facts["ingest"]
    falls = [
        (name, fall)
        for name, fall in facts["waterfall"].items()
        if name != "all" or len(facts["waterfall"]) > 2
    ]
    blocks = [
        _filled([f"{facts['name']}: {n_songs:,} songs, {facts['bytes'] / 1e6:,.1f} MB in {facts['shards']} shards"], width),
        *_abreast(
            [
                _table(
                    ["split", "songs", "share", "asked"],
                    [[s, f"{n:,}", f"{n / max(n_songs, 1):.1%}", f"{facts['groups']['asked'][s]:.1%}"]
                     for s, n in facts["splits"].items()],
                    width,
                ),
                _table(
                    ["ingest", "read", "kept", "rejected", "why"],
                    [
                        [name, *(f"{ingest[what][name]:,}" for what in ("read", "kept", "rejected")),
                         ", ".join(f"{why} {count:,}" for why, count in ingest["reasons"][name].items())]
                        for name in ingest["read"]
                    ],
                    width,
                ),
            ],
            width,
        ),
        *_abreast([_waterfall(name, fall, width) for name, fall in falls], width),
        _filled([_clusters(facts["clusters"]), *_groups(facts["groups"])], width),
        *_labels(facts, width),
    ]  # fmt: skip
    return "\n\n".join(blocks)


def _clusters(sizes: Mapping[str, int]) -> str:
    songs = sum(int(size) * count for size, count in sizes.items())
    if not sizes:
        return "duplicate clusters: none"
    return f"duplicate clusters: {sum(sizes.values()):,} of {songs:,} songs, the largest of {max(map(int, sizes))}"


def _groups(groups: Mapping[str, Any]) -> Iterator[str]:
    """How large the groups are that stand in one split, what was cut, and what evaluation
    lost."""
    sizes = {int(size): count for size, count in groups["sizes"].items() if int(size) > 1}
    songs = sum(size * count for size, count in sizes.items())
    yield (
        f"groups: {sum(sizes.values()):,} of {songs:,} songs, the largest of {groups['largest']:,} "
        f"(at most {groups['cap']:,})"
    )
    if groups["cut"]:
        yield (
            f"{groups['cut']:,} groups of up to {groups['largest_before']:,} songs were cut: {groups['near_pairs_cut']:,} "
            f"near pairs and {groups['keys_cut']:,} keys parted"
        )
    held = ", ".join(f"{n:,} of {split}" for split, n in groups["held_out"].items())
    yield (
        f"{groups['tied']:,} songs are tied to another group by a match that was not taken or a cut; "
        f"set aside for it: {held}"
    )
    if groups["given"]:
        yield (
            f"published splits of {groups['given']:,} songs are taken; songs set aside since these part a group: "
            f"{groups['given_conflicts']:,}"
        )


def _labels(facts: Mapping[str, Any], width: int) -> list[str]:
    """Where labels are from, where the threshold lies, and classes by split; nothing
    where there are none."""
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
    agree, audit = labels["cluster_agreement"], labels.get("audit", {"songs": 0})
    if agree["pairs"]:
        lines.append(
            f"two labels of one duplicate cluster agree: valence {agree['valence'] / agree['pairs']:.2f}, "
            f"arousal {agree['arousal'] / agree['pairs']:.2f}, of {agree['pairs']:,} pairs"
        )
    if audit["songs"]:
        lines.append(
            f"the true name of {audit['songs']:,} labelled songs is known; below, how many of their matches bear its title, "
            "and its artist too, by label_trust with the name left out of it (which of several matches is taken is "
            "still chosen with the name)"
        )
    names = list(next(iter(labels["quadrants"].values())))
    tables = [
        _table(
            ["split", *names],
            [
                [s, *(f"{n:,}" for n in by.values())]
                for s, by in labels["quadrants"].items()
            ],
            width,
        ),
        _table(
            ["label source", "songs"],
            [[name, f"{n:,}"] for name, n in labels["sources"].items()],
            width,
        ),
        _table(
            ["no label because", "songs"],
            [[name, f"{n:,}"] for name, n in labels["unlabelled"].items()],
            width,
        ),
    ]
    if audit["songs"]:
        tables.insert(0, _audit(audit, width))
    if facts["metadata"]["refused"]:
        refused = facts["metadata"]["refused"].items()
        tables.append(
            _table(
                ["refused rows and MSD files", "count"],
                [[why, f"{n:,}"] for why, n in refused],
                width,
            )
        )
    return [_filled(lines, width), *_abreast(tables, width)]


def _audit(audit: Mapping[str, Any], width: int) -> str:
    """Matches that bear the true title, by trust."""
    bands = list(audit["by_trust_without_name"].items())
    ends = [*(f"to {low}" for low, _ in bands[1:]), "and over"]
    rows = [
        [f"{low} {end}", f"{band['songs']:,}", f"{band['title']:,}",
         f"{band['title'] / band['songs']:.0%}" if band["songs"] else "", f"{band['artist']:,}"]
        for (low, band), end in zip(bands, ends, strict=True)
    ]  # fmt: skip
    return _table(
        ["trust without name", "named", "title", "share", "artist too"], rows, width
    )


def _waterfall(name: str, fall: Mapping[str, Any], width: int) -> str:
    rows = [["in", f"{fall['in']:,}", ""]]
    rows += [
        [f"  {rule}", f"{n:,}", f"{fall['failed_alone'][rule]:,}"]
        for rule, n in fall["failed"].items()
    ]
    return _table(
        [name, "failed", "alone"], [*rows, ["kept", f"{fall['kept']:,}", ""]], width
    )


def _filled(lines: Sequence[str], width: int) -> str:
    return "\n".join(textwrap.fill(line, width, subsequent_indent="  ") for line in lines)


def _abreast(tables: Sequence[str], width: int) -> list[str]:
    """Tables as blocks of text: one below the other, on a wide terminal as many side by
    side as it holds."""
    rows: list[list[list[str]]] = []
    for table in (text.split("\n") for text in tables):
        beside = [_width(other) for other in rows[-1]] if rows else []
        needed = sum(beside) + len(BETWEEN_TABLES) * len(beside) + _width(table)
        if rows and width >= SIDE_BY_SIDE and needed <= width:
            rows[-1].append(table)
        else:
            rows.append([table])
    return ["\n".join(_joined(row)) for row in rows]


def _joined(tables: Sequence[Sequence[str]]) -> Iterator[str]:
    for cells in zip_longest(*tables, fillvalue=""):
        yield BETWEEN_TABLES.join(
            cell.ljust(_width(table)) for cell, table in zip(cells, tables, strict=True)
        ).rstrip()


def _width(lines: Sequence[str]) -> int:
    return max(map(len, lines))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Columns as wide as their widest cell, the first and last to the left, numbers to the
    right; long texts are folded."""
    table = [head, *rows]
    last = len(head) - 1
    text_last = bool(rows) and not all(
        row[-1].replace(",", "").rstrip("%").replace(".", "").isdigit()
        for row in rows
        if row[-1]
    )
    left = {0, last} if text_last else {0}
    widths = [max(len(line[column]) for line in table) for column in range(len(head))]
    for column in sorted(left, reverse=True):
        excess = sum(widths) + len(GAP) * last - width
        widths[column] = max(
            widths[column] - max(excess, 0), min(widths[column], NARROWEST_COLUMN)
        )
    lines = []
    for line in table:
        folded = [
            textwrap.wrap(cell, at) or [""] for cell, at in zip(line, widths, strict=True)
        ]
        for cells in zip_longest(*folded, fillvalue=""):
            sides = [
                cell.ljust if column in left else cell.rjust
                for column, cell in enumerate(cells)
            ]
            lines.append(
                GAP.join(side(at) for side, at in zip(sides, widths, strict=True)).rstrip()
            )
    return "\n".join(lines)
