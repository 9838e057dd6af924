"""Propagation: one label for all songs of a duplicate cluster, since they are one piece.

Where several songs of a cluster have labels, the most trusted one goes to all; of equally
trusted ones the median. That duplicates are matched to other titles has lowered the trust of
each already (corroboration.py), and how far their labels lie apart is seen in label_spread.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.labels.settle import SHOWN
from schemas.runs import run_begins, run_lengths, run_starts

# What goes with a label: the values, and why they are believed.
PROPAGATED = (
    "valence", "arousal", "label_source", "label_spread", "label_trust", "trusted", "evidence",
    "name_found", "log_odds_without_name", "msd_track_id", "match_score", "match_margin",
    "msd_title", "msd_artist", "unlabelled", *SHOWN,
)  # fmt: skip
AXES = ("valence", "arousal")
LENDER, MEDIAN_OF = "lender", "median_of"
OWN = {axis: f"own_{axis}" for axis in AXES}


def propagate(labelled: pa.Table, cluster: np.ndarray) -> pa.Table:
    """labelled (a row a song) with the label of its cluster for every song, and columns
    `lender` (the song_id that the label is from, null for an own one), `median_of` (how
    many labels its values are the median of, 0 for one label's own), `own_valence` and
    `own_arousal` (before that).

    cluster: one number a song. Of equally trusted labels the first song's evidence stands.
    """
    values = np.stack([labelled[axis].to_numpy() for axis in AXES])
    pool = _most_trusted(labelled, np.isfinite(values[0]), cluster)
    first = _first_of_cluster(pool, cluster)
    lender = first[cluster]
    rows = np.arange(len(labelled))
    source = np.where(lender < 0, rows, lender)
    given = labelled.take(pa.array(source))
    columns = {
        name: (given if name in PROPAGATED else labelled)[name]
        for name in labelled.column_names
    }
    columns |= _medians(values, pool, cluster)
    spread = _spread(values, given["label_spread"].to_numpy(), cluster)
    columns["label_spread"] = pa.array(spread, from_pandas=True)
    table = pa.table([columns[name] for name in labelled.column_names], labelled.schema)
    others = pa.array(lender, mask=(lender < 0) | (lender == rows))
    table = table.append_column(LENDER, labelled["song_id"].take(others))
    table = table.append_column(MEDIAN_OF, pa.array(_n_pooled(pool, cluster)))
    for axis, own in OWN.items():
        table = table.append_column(own, labelled[axis])
    return table


def _most_trusted(
    labelled: pa.Table, has_label: np.ndarray, cluster: np.ndarray
) -> np.ndarray:
    """The rows whose label no other of their cluster is trusted more than, rising."""
    trust = pc.fill_null(labelled["label_trust"], 0.0).to_numpy()
    most = np.full(len(labelled), -1.0)
    np.maximum.at(most, cluster[has_label], trust[has_label])
    return np.flatnonzero(has_label & (trust == most[cluster]))


def _first_of_cluster(pool: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """For each cluster the first row of the pool, -1 where it has none."""
    order = np.lexsort((pool, cluster[pool]))
    first = pool[order][run_begins(cluster[pool][order])]
    found = np.full(len(cluster), -1)
    found[cluster[first]] = first
    return found


def _n_pooled(pool: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """How many labels each song's values are the median of, int32, 0 for one."""
    counts = np.bincount(cluster[pool], minlength=len(cluster))[cluster]
    return np.where(counts > 1, counts, 0).astype(np.int32)


def _medians(
    values: np.ndarray, pool: np.ndarray, cluster: np.ndarray
) -> dict[str, pa.Array]:
    """Valence and arousal of every song: the median of its cluster's pool, null where it
    has none."""
    columns = {}
    for axis, own in zip(AXES, values, strict=True):
        order = pool[np.lexsort((own[pool], cluster[pool]))]
        starts = run_starts(cluster[order])
        counts = run_lengths(starts, len(order))
        low = own[order[starts + (counts - 1) // 2]]
        high = own[order[starts + counts // 2]]
        found = np.full(len(cluster), np.nan)
        found[cluster[order[starts]]] = np.where(low == high, low, (low + high) / 2)
        columns[axis] = pa.array(found[cluster], from_pandas=True)
    return columns


def _spread(values: np.ndarray, own: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """The larger of the lender's own spread and the range of the labels of the cluster."""
    has = np.isfinite(values[0])
    ranges = np.zeros(len(cluster))
    for axis in values:
        low, high = np.full(len(cluster), np.inf), np.full(len(cluster), -np.inf)
        np.minimum.at(low, cluster[has], axis[has])
        np.maximum.at(high, cluster[has], axis[has])
        with np.errstate(invalid="ignore"):
            apart = np.nan_to_num(high - low, neginf=0.0)
        ranges = np.maximum(ranges, np.round(apart, 9))
    # A song whose cluster has one label keeps a spread that is not known.
    alone = ranges[cluster] == 0
    return np.where(alone, own, np.fmax(own, ranges[cluster]))


def label_sources(labelled: pa.Table) -> pa.ChunkedArray:
    """The table and rule that each label is from, in words, with the lender of one that is
    not the song's own, or the number of labels that it is the median of."""
    source = labelled["label_source"]
    lent = pc.binary_join_element_wise(source, labelled[LENDER], " lent by ")
    counts = labelled[MEDIAN_OF].cast(pa.string())
    pooled = pc.binary_join_element_wise(source, counts, " median of ")
    is_median = pc.greater(labelled[MEDIAN_OF], 0)
    return pc.if_else(is_median, pooled, pc.coalesce(lent, source))
