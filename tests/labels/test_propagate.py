"""One label a cluster: whose it is, what it is the median of, and what is said of it."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.labels.propagate import (
    LENDER,
    MEDIAN_OF,
    PROPAGATED,
    label_sources,
    propagate,
)
from pipelines.labels.settle import LABELLED


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


def said(rows: pa.Table, cluster: list[int]) -> list[dict]:
    """The labels after propagation, their sources in words, as the catalog has them."""
    told = propagate(rows, np.array(cluster))
    at = told.column_names.index("label_source")
    return told.set_column(at, "label_source", label_sources(told)).to_pylist()


def test_the_most_trusted_of_the_cluster_goes_to_all():
    best = {"valence": 0.9, "label_trust": 0.7, "trusted": True, "match_agreeing": 2}
    rows = labelled({}, {"valence": 0.1, "label_trust": 0.6}, best, {"valence": 0.5})
    told = said(rows, [0, 0, 0, 3])
    for index, source in ((0, " lent by s02"), (1, " lent by s02"), (2, "")):
        row = told[index]
        assert (row["valence"], row["label_trust"], row["trusted"]) == (0.9, 0.7, True)
        assert row["label_source"] == f"t:agree{source}" and row["match_agreeing"] == 2
        assert row["msd_track_id"] == "TR-s02" and row["unlabelled"] is None
        assert row["label_spread"] == pytest.approx(0.8)
    assert told[3]["valence"] == 0.5 and told[3]["label_spread"] is None
    assert [row["own_valence"] for row in told] == [None, 0.1, 0.9, 0.5]


def test_of_equally_trusted_labels_the_median_counts():
    rows = labelled(
        {"valence": 0.1, "label_trust": 0.6},
        {"valence": 0.9, "label_trust": 0.6},
        {"valence": 0.2, "label_trust": 0.6},
        {"valence": 0.7, "label_trust": 0.5},
        {},
    )
    told = said(rows, [0, 0, 0, 0, 0])
    assert {row["valence"] for row in told} == {0.2}
    assert {row["label_source"] for row in told} == {"t:agree median of 3"}
    assert [row[LENDER] for row in told] == [None, "s00", "s00", "s00", "s00"]
    two = said(rows.take([0, 1]), [0, 0])
    assert [row["valence"] for row in two] == [0.5, 0.5]


@pytest.mark.parametrize("seed", range(10))
def test_a_label_a_cluster_equals_the_loop(seed):
    rng = np.random.default_rng(seed)
    rows = [
        {"valence": float(rng.random()), "label_trust": float(rng.integers(1, 4)) / 4}
        if rng.random() < 0.5
        else {}
        for _ in range(30)
    ]
    # A cluster's number is the row of its first song.
    drawn = rng.integers(0, 9, 30).tolist()
    cluster = [drawn.index(one) for one in drawn]
    before = labelled(*rows).to_pylist()
    for index, row in enumerate(said(labelled(*rows), cluster)):
        mine = [
            other
            for other, one in zip(before, cluster, strict=True)
            if one == cluster[index] and other["valence"] is not None
        ]
        if not mine:
            assert {name: row[name] for name in PROPAGATED} == {
                name: before[index][name] for name in PROPAGATED
            }
            continue
        most = max(other["label_trust"] for other in mine)
        pool = [other for other in mine if other["label_trust"] == most]
        assert row["valence"] == pytest.approx(np.median([one["valence"] for one in pool]))
        assert row["msd_track_id"] == pool[0]["msd_track_id"]
        assert row[MEDIAN_OF] == (len(pool) if len(pool) > 1 else 0)
        apart = max(one["valence"] for one in mine) - min(one["valence"] for one in mine)
        assert (row["label_spread"] or 0) == pytest.approx(apart)


def test_nothing_to_lend():
    assert len(propagate(LABELLED.empty_table(), np.zeros(0, int))) == 0
    rows = labelled({}, {})
    assert propagate(rows, np.array([0, 0])).select(LABELLED.names).equals(rows)
