"""Settle: whether each song keeps the label of its match, now that all that speaks for and
against the match is known.

A song whose matches differ too far is rescued where its match is trusted all the same; a
label that is trusted too little goes; a label of the song itself needs no trust.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.labels.config import AffectConfig
from pipelines.labels.resolve import TITLES_DIFFER
from pipelines.labels.trust import EVIDENCE, TRUST, label_trust

TEXT, NUMBER = pa.string(), pa.float64()
# The five counts that the release shows, by their names there.
SHOWN = {
    "match_agreeing": "n_agreeing",
    "match_rivals": "n_rivals",
    "artist_titles": "artist_titles",
    "near_other_titles": "near_other_titles",
    "same_title_containment": "same_title_containment",
}
LABELLED = pa.schema(
    [
        ("song_id", TEXT), ("msd_track_id", TEXT), ("msd_title", TEXT), ("msd_artist", TEXT),
        ("match_score", NUMBER), ("match_margin", NUMBER), ("valence", NUMBER), ("arousal", NUMBER),
        ("label_source", TEXT), ("label_spread", NUMBER),
        *(pa.field(name, EVIDENCE.field(column).type) for name, column in SHOWN.items()),
        *TRUST, ("unlabelled", TEXT),
    ]
)  # fmt: skip
NO_TRUST, RESCUED = "trust", "rescued"


def settle(matched: pa.Table, counts: pa.Table, config: AffectConfig) -> pa.Table:
    """LABELLED, row by row, from join.MATCHED and corroboration.COUNTS."""
    columns = _columns(matched) | _columns(counts)
    evidence = pa.table([columns[name] for name in EVIDENCE.names], EVIDENCE)
    trust = _trust(evidence, pc.is_valid(matched["msd_track_id"]), config)
    shown = {name: columns[count] for name, count in SHOWN.items()}
    labelled = _refused({**columns, **shown, **_columns(trust)}, config)
    return _own(labelled, matched["own"])


def _trust(
    evidence: pa.Table, has_match: pa.ChunkedArray, config: AffectConfig
) -> pa.Table:
    """TRUST in the order of songs, null where a song has no match."""
    rows = np.cumsum(has_match.to_numpy()) - 1
    at = pc.if_else(has_match, pa.array(rows), None)
    return label_trust(evidence.filter(has_match), config.trusted_from).take(at)


def _refused(columns: dict[str, Any], config: AffectConfig) -> pa.Table:
    """LABELLED without the labels that are refused, with those that are rescued."""
    why, trust = columns["unlabelled"], columns["label_trust"]
    rescued = pc.and_(
        pc.fill_null(pc.equal(why, TITLES_DIFFER), False),
        pc.fill_null(pc.greater_equal(trust, config.rescue_from), False),
    )
    why = pc.if_else(rescued, pa.scalar(None, TEXT), why)
    distrusted = pc.fill_null(pc.less(trust, config.min_label_trust), False)
    doubted = pc.and_(distrusted, pc.invert(columns["own"]))
    why = pc.if_else(pc.and_(pc.is_null(why), doubted), NO_TRUST, why)
    found = pc.is_null(why)
    source = columns["label_source"]
    named = pc.binary_join_element_wise(source, RESCUED, " ")
    columns = {
        **columns,
        "unlabelled": why,
        "label_source": pc.if_else(rescued, named, source),
        "trusted": pc.and_(found, pc.fill_null(columns["trusted"], False)),
    }
    for name in ("valence", "arousal", "label_source"):
        columns[name] = pc.if_else(found, columns[name], None)
    return pa.table([columns[name] for name in LABELLED.names], LABELLED)


def _own(labelled: pa.Table, own: pa.ChunkedArray) -> pa.Table:
    """labelled with full trust in labels of the songs themselves."""
    given = {
        "label_trust": pa.scalar(1.0),
        "trusted": pa.scalar(True),
        "evidence": pa.scalar(["label=of the song itself"], pa.list_(TEXT)),
        "name_found": pa.scalar(None, pa.int8()),
        "log_odds_without_name": pa.scalar(None, NUMBER),
    }
    columns = _columns(labelled)
    columns |= {
        name: pc.if_else(own, value, columns[name]) for name, value in given.items()
    }
    return pa.table([columns[name] for name in LABELLED.names], LABELLED)


def _columns(table: pa.Table) -> dict[str, Any]:
    return dict(zip(table.column_names, table.columns, strict=True))
