"""Labels lent within a cluster: who lends, who borrows, and what is said of it."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.labels.join import LABELLED
from pipelines.labels.propagate import LENDER, PROPAGATED, label_sources
from pipelines.labels.propagate import propagate as with_lenders


def labelled(*rows: dict) -> pa.Table:
    base = dict.fromkeys(LABELLED.names) | {"trusted": False, "unlabelled": "no match"}
    full = [base | {"song_id": f"s{index:02}"} | row for index, row in enumerate(rows)]
    for row in full:
        if row["valence"] is not None:
            row.update(
                arousal=row["valence"],
                label_source="t:agree",
                unlabelled=None,
                msd_track_id=f"TR-{row['song_id']}",
            )
    return pa.Table.from_pylist(full, LABELLED)


def propagate(rows: pa.Table, cluster: np.ndarray, kept: np.ndarray) -> pa.Table:
    """The labels after propagation, their sources in words, as the catalog has them."""
    told = with_lenders(rows, cluster, kept)
    at = told.column_names.index("label_source")
    return told.set_column(at, "label_source", label_sources(told)).drop_columns([LENDER])


def test_the_most_trusted_of_the_cluster_lends():
    best = {"valence": 0.9, "label_trust": 0.7, "trusted": True}
    rows = labelled({}, {"valence": 0.1, "label_trust": 0.6}, best, {"valence": 0.5})
    told = propagate(
        rows, np.array([0, 0, 0, 3]), np.array([True, False, False, True])
    ).to_pylist()
    assert told[0] == rows.to_pylist()[2] | {
        "song_id": "s00",
        "label_source": "t:agree lent by s02",
    }
    assert told[1:] == rows.to_pylist()[1:]


def test_only_borrowers_borrow_and_only_within_their_cluster():
    rows = labelled(
        {"valence": 0.2, "label_trust": 0.5},
        {"valence": 0.1, "label_trust": 0.5},
        {},
        {},
        {"unlabelled": "trust"},
    )
    told = propagate(
        rows, np.array([0, 0, 0, 0, 4]), np.array([False, False, True, False, True])
    )
    assert told["valence"].to_pylist() == [0.2, 0.1, 0.2, None, None]
    assert told["unlabelled"].to_pylist() == [None, None, None, "no match", "trust"]
    assert told.schema == LABELLED


@pytest.mark.parametrize("seed", range(10))
def test_lending_equals_the_loop(seed):
    rng = np.random.default_rng(seed)
    rows = [
        {"valence": float(rng.random()), "label_trust": float(rng.integers(1, 4)) / 4}
        if rng.random() < 0.5
        else {}
        for _ in range(30)
    ]
    cluster, borrows = rng.integers(0, 9, 30), rng.random(30) < 0.7
    before = labelled(*rows).to_pylist()
    for index, row in enumerate(propagate(labelled(*rows), cluster, borrows).to_pylist()):
        mine = [
            other
            for other, one in zip(before, cluster, strict=True)
            if one == cluster[index] and other["valence"] is not None
        ]
        own = before[index]["valence"] is not None or not mine or not borrows[index]
        lender = (
            before[index]
            if own
            else min(mine, key=lambda other: (-other["label_trust"], other["song_id"]))
        )
        says = (
            lender["label_source"]
            if own
            else f"{lender['label_source']} lent by {lender['song_id']}"
        )
        assert {name: row.get(name) for name in PROPAGATED} == {
            name: lender.get(name) for name in PROPAGATED
        } | {"label_source": says}


def test_the_lender_stands_in_a_column_of_its_own():
    rows = labelled({}, {"valence": 0.1, "label_trust": 0.6}, {"valence": 0.5})
    told = with_lenders(rows, np.array([0, 0, 2]), np.array([True, False, True]))
    assert told[LENDER].to_pylist() == ["s01", None, None]
    assert told["label_source"].to_pylist() == ["t:agree"] * 3


def test_nothing_to_lend():
    nobody = np.zeros(0, bool)
    assert propagate(LABELLED.empty_table(), np.zeros(0, int), nobody).equals(
        LABELLED.empty_table()
    )
    rows = labelled({}, {})
    assert propagate(rows, np.array([0, 0]), np.array([True, True])).equals(rows)
