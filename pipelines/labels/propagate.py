"""Propagation: a kept song without a label takes that of a removed duplicate, which is
named as its lender."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.runs import run_begins

# What goes with a label: the values, and why they are believed.
PROPAGATED = (
    "valence", "arousal", "label_source", "label_spread", "label_trust", "trusted", "evidence",
    "name_found", "log_odds_without_name", "msd_track_id", "match_score", "match_margin",
    "msd_title", "msd_artist", "unlabelled",
)  # fmt: skip
LENDER = "lender"


def propagate(labelled: pa.Table, cluster: np.ndarray, kept: np.ndarray) -> pa.Table:
    """labelled (a row a song) with each unlabelled kept song given the most trusted label
    of its cluster, and a last column `lender`: the song_id that the label is from, null for
    an own one.

    cluster: one number a song; kept: bool, the songs that clusters keep. Of equally trusted
    labels the first song's.
    """
    has_label = pc.is_valid(labelled["valence"]).to_numpy()
    lender_of_cluster = most_trusted(labelled, has_label, cluster)
    lender = np.where(kept & ~has_label, lender_of_cluster[cluster], -1)
    at = pa.array(lender, mask=lender < 0)
    given = labelled.take(pc.coalesce(at, pa.array(np.arange(len(labelled)))))
    columns = [
        (given if name in PROPAGATED else labelled)[name] for name in labelled.column_names
    ]
    table = pa.table(columns, labelled.schema)
    return table.append_column(LENDER, labelled["song_id"].take(at))


def most_trusted(
    labelled: pa.Table, has_label: np.ndarray, cluster: np.ndarray
) -> np.ndarray:
    """For each cluster the row of its most trusted label, -1 where it has none."""
    trust = pc.fill_null(labelled["label_trust"], 0.0).to_numpy()
    rows = np.flatnonzero(has_label)
    rows = rows[np.lexsort((rows, -trust[rows], cluster[rows]))]
    first = rows[run_begins(cluster[rows])]
    found = np.full(len(labelled), -1)
    found[cluster[first]] = first
    return found


def label_sources(labelled: pa.Table) -> pa.ChunkedArray:
    """The table and rule that each label is from, and the lender of one that is not the
    song's own, in words."""
    says = pc.binary_join_element_wise(
        labelled["label_source"], labelled[LENDER], " lent by "
    )
    return pc.coalesce(says, labelled["label_source"])
