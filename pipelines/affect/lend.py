"""Labels lent within a duplicate cluster: copies of one piece share what is known of any of them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LENT = ("msd_track_id", "match_score", "match_margin", "valence", "arousal", "label_spread", "label_trust", "trusted", "evidence")


def lend(labelled: pa.Table, cluster: Sequence[str] | np.ndarray) -> pa.Table:
    """labelled (label.LABELLED) with the songs that have no label given the most trusted one of their cluster.

    cluster: the cluster of each row; on equal trust the smallest song_id lends. A lent label's source reads
    `table:rule lent by <song_id>`; a song with a label of its own keeps it.
    """
    if not len(labelled):
        return labelled
    song_id, trust = np.array(labelled["song_id"].to_pylist(), object), labelled["label_trust"].to_numpy()
    has = pc.is_valid(labelled["valence"]).to_numpy()
    code = pa.array(cluster, pa.string()).dictionary_encode().indices.to_numpy(zero_copy_only=False)
    rank = np.argsort(np.argsort(song_id, kind="stable"), kind="stable")
    order = np.lexsort((rank, -trust, ~has, code))
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    lender = order[starts][np.searchsorted(code[order][starts], code)]
    borrows = ~has & has[lender]
    source = np.where(borrows, lender, np.arange(len(has)))
    columns = {name: labelled[name].take(source) if name in LENT else labelled[name] for name in labelled.column_names}
    said = pc.binary_join_element_wise(labelled["label_source"].take(lender), "lent by", pa.array(song_id[lender]), " ")
    columns["label_source"] = pc.if_else(pa.array(borrows), said, labelled["label_source"])
    columns["unlabelled"] = pc.if_else(pa.array(borrows), pa.scalar(None, pa.string()), labelled["unlabelled"])
    return pa.table(columns, labelled.schema)
