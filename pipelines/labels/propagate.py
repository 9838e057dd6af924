"""Lending: a kept song without a label takes that of a removed duplicate, and its label_source
says from whom."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# What goes with a label: the values, and why they are believed.
LENT = (
    "valence", "arousal", "label_source", "label_spread", "label_trust", "trusted", "evidence", "msd_track_id", "match_score",
    "match_margin", "msd_title", "msd_artist", "unlabelled",
)  # fmt: skip


def propagate(labelled: pa.Table, cluster: np.ndarray, borrows: np.ndarray) -> pa.Table:
    """labelled (a row a song) with each unlabelled borrower given the most trusted label of its
    cluster.

    cluster: one number a song; borrows: bool, the songs that clusters keep. Of equally trusted
    labels the first song's.
    """
    has = pc.is_valid(labelled["valence"]).to_numpy()
    trust = pc.fill_null(labelled["label_trust"], 0.0).to_numpy()
    lenders = np.flatnonzero(has)
    lenders = lenders[np.lexsort((lenders, -trust[lenders], cluster[lenders]))]
    first = np.append(True, np.diff(cluster[lenders]) != 0)[: len(lenders)]
    lender_of = np.full(len(labelled), -1)
    lender_of[cluster[lenders[first]]] = lenders[first]
    lender = np.where(borrows & ~has, lender_of[cluster], -1)
    at = pa.array(lender, mask=lender < 0)
    lent = labelled.take(pc.coalesce(at, pa.array(np.arange(len(labelled)))))
    says = pc.binary_join_element_wise(
        lent["label_source"], labelled["song_id"].take(at), " lent by "
    )
    lent = lent.set_column(
        lent.column_names.index("label_source"),
        "label_source",
        pc.coalesce(says, lent["label_source"]),
    )
    return pa.table(
        [lent[name] if name in LENT else labelled[name] for name in labelled.column_names],
        labelled.schema,
    )
