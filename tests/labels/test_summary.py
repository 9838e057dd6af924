"""Counts of labels against loops over the rows, with the rows that mislead: songs left out,
songs without a label, ranges that float32 rounds over a limit, lenders."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.labels.splits import SPLITS
from pipelines.labels.summary import NUMBERS, SPREADS, label_counts
from pipelines.labels.thresholds import Thresholds
from schemas.columns import CATALOG
from schemas.labels import QUADRANT_CLASSES

MIDDLE = Thresholds(0.5, 0.5, 0.1, "fixed", 0)


def songs(seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of a catalog, and the numbers behind them in another order."""
    random = np.random.default_rng(seed)
    catalog, numbers = [], []
    for index in range(60):
        row = dict.fromkeys(CATALOG.names)
        labelled, lent = random.random() < 0.6, random.random() < 0.3
        row |= {
            "song_id": f"s{index:02}",
            "source": "mock",
            "kept": bool(random.random() < 0.7),
            "split": SPLITS[random.integers(3)],
            "cluster_id": f"c{random.integers(20)}",
            "judge": bool(random.random() < 0.3),
            "trusted": bool(labelled and random.random() < 0.5),
            "unlabelled": None if labelled else str(random.choice(["no match", "trust"])),
            "valence": 0.5 if labelled else None,
            "label_spread": float(random.choice([0.0, 0.1, 0.2, 0.3]))
            if labelled
            else None,
        }
        if labelled and random.random() < 0.9:
            row["quadrant"] = str(random.choice(sorted(QUADRANT_CLASSES)))
            row["arousal_class"], row["valence_class"] = QUADRANT_CLASSES[row["quadrant"]]
        catalog.append(row)
        behind = dict.fromkeys(NUMBERS.names) | {"song_id": row["song_id"]}
        if labelled:
            behind |= {"table": str(random.choice(["a:agree", "b:mean"]))}
            behind |= {"lender": "s99" if lent else None}
            behind |= {
                name: None if lent else float(random.choice([0.1, 0.45, 0.9]))
                for name in ("own_valence", "own_arousal")
            }
        numbers.append(behind)
    return catalog, [numbers[index] for index in random.permutation(len(numbers))]


@pytest.mark.parametrize("seed", range(8))
def test_counts_are_those_of_a_loop(seed: int) -> None:
    rows, numbers = songs(seed)
    table = pa.Table.from_pylist(rows, CATALOG)
    counts = label_counts(table, pa.Table.from_pylist(numbers, NUMBERS), MIDDLE)
    behind = {row["song_id"]: row for row in numbers}
    kept = [row for row in table.to_pylist() if row["kept"]]
    labelled = [row for row in kept if row["valence"] is not None]
    assert counts["labelled"] == len(labelled) > 0
    assert counts["trusted"] == sum(row["trusted"] for row in labelled)
    assert counts["judge"] == sum(row["judge"] for row in kept)
    assert counts["lent"] == sum(
        behind[row["song_id"]]["lender"] == "s99" for row in labelled
    )
    assert counts["sources"] == Counter(behind[row["song_id"]]["table"] for row in labelled)
    unlabelled = [row["unlabelled"] for row in kept if row["valence"] is None]
    assert counts["unlabelled"] == Counter(unlabelled)
    for over in SPREADS:
        wanted = sum(row["label_spread"] > over for row in labelled)
        assert counts["disagreeing"][str(over)] == wanted
    found = Counter((row["split"], row["quadrant"] or "none") for row in labelled)
    for split in SPLITS:
        names = (*QUADRANT_CLASSES, "none")
        assert counts["quadrants"][split] == {name: found[split, name] for name in names}


@pytest.mark.parametrize("seed", range(8))
def test_two_own_labels_of_a_cluster_are_compared_and_a_lent_one_is_not(seed: int) -> None:
    rows, numbers = songs(seed)
    table = pa.Table.from_pylist(rows, CATALOG)
    agreement = label_counts(table, pa.Table.from_pylist(numbers, NUMBERS), MIDDLE)[
        "cluster_agreement"
    ]
    own = {row["song_id"]: row for row in numbers if row["own_valence"] is not None}
    mine = [row for row in rows if row["song_id"] in own]
    pairs = [
        (own[one["song_id"]], own[other["song_id"]])
        for index, one in enumerate(mine)
        for other in mine[index + 1 :]
        if one["cluster_id"] == other["cluster_id"]
    ]
    assert agreement["pairs"] == len(pairs) > 0
    # .1 and .9 have a class, .45 lies within the margin and has none.
    for axis in ("valence", "arousal"):
        same = sum(one[f"own_{axis}"] == other[f"own_{axis}"] for one, other in pairs)
        assert agreement[axis] == same
