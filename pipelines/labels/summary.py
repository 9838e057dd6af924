"""Summary: how many songs have which labels, from the catalog and the numbers behind its
words.

The catalog says in words where a label is from and why it is trusted; what is counted here
are the numbers that those words were written from (NUMBERS).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.labels.propagate import LENDER
from pipelines.labels.splits import SPLITS
from pipelines.labels.trust import NAMES_FOUND
from schemas.labels import QUADRANT_CLASSES

# table: the table and rule of a label; lender: the song it is from, null for an own one.
NUMBERS = pa.schema(
    [
        ("song_id", pa.string()), ("table", pa.string()), (LENDER, pa.string()),
        ("name_found", pa.int8()), ("log_odds_without_name", pa.float64()),
    ]
)  # fmt: skip
# Lower ends of the bands of label_trust that matches are counted by.
TRUST_BANDS = (0.0, 0.5, 0.8)
# From which ranges of valence or energy on the matches of a song are counted as
# disagreeing.
SPREADS = (0.0, 0.1, 0.2)


def numbers_of(labelled: pa.Table) -> pa.Table:
    """NUMBERS of a table of labelled songs with their lenders."""
    columns = dict(zip(labelled.column_names, labelled.columns, strict=True))
    columns["table"] = columns["label_source"]
    return pa.table([columns[name] for name in NUMBERS.names], NUMBERS)


def label_counts(catalog: pa.Table, numbers: pa.Table) -> dict[str, Any]:
    """Kept songs by source of label and by reason for none, by quadrant and split, and
    where matches disagree.

    numbers: NUMBERS, a row for every song of the catalog, in any order.
    """
    at = pc.index_in(catalog["song_id"], numbers["song_id"].combine_chunks())
    numbers = numbers.take(at)
    kept = catalog["kept"]
    labelled = pc.and_(kept, pc.is_valid(catalog["valence"]))
    songs, behind = catalog.filter(labelled), numbers.filter(labelled)
    others = catalog.filter(pc.and_(kept, pc.is_null(catalog["valence"])))
    spreads = pc.fill_null(songs["label_spread"], 0.0).cast(pa.float64()).to_numpy()
    return {
        "labelled": songs.num_rows,
        "trusted": songs["trusted"].to_pylist().count(True),
        "lent": songs.num_rows - behind[LENDER].null_count,
        "sources": counted(behind["table"]),
        "unlabelled": counted(others["unlabelled"]),
        "disagreeing": {str(over): int((spreads > over).sum()) for over in SPREADS},
        "judge": catalog.filter(kept)["judge"].to_pylist().count(True),
        "cluster_agreement": cluster_agreement(catalog, numbers),
        "audit": name_audit(behind),
        "quadrants": quadrant_counts(songs),
    }


def counted(values: pa.ChunkedArray) -> dict[str, int]:
    """How often each value stands, by value."""
    return dict(sorted(Counter(values.to_pylist()).items()))


def quadrant_counts(labelled: pa.Table) -> dict[str, dict[str, int]]:
    """Labelled songs of each split by quadrant, `none` for those within the margin."""
    quadrants = pc.fill_null(labelled["quadrant"], "none").to_pylist()
    counts = Counter(zip(labelled["split"].to_pylist(), quadrants, strict=True))
    names = (*QUADRANT_CLASSES, "none")
    return {split: {name: counts[split, name] for name in names} for split in SPLITS}


def name_audit(numbers: pa.Table) -> dict[str, Any]:
    """Of labels whose song has a known true name, how many matches bear its title, and how
    many its artist too.

    By bands of label_trust as it would be without the name, from the band's name; the
    choice between several matches of a song is made with the name. numbers: NUMBERS of
    labelled songs.
    """
    named = numbers.filter(pc.is_valid(numbers["name_found"]))
    found = named["name_found"].to_numpy()
    # Weights have two decimals; what lies behind them in a sum is noise, which a band's
    # edge heeds.
    log_odds = np.round(named["log_odds_without_name"].to_numpy(), 2)
    trust = 1 / (1 + np.exp(-log_odds))
    bands = {}
    for low, high in pairwise((*TRUST_BANDS, 2.0)):
        names = found[(trust >= low) & (trust < high)]
        bands[str(low)] = {
            "songs": len(names),
            "title": int((names != NAMES_FOUND.index("other")).sum()),
            "artist": int((names == NAMES_FOUND.index("title+artist")).sum()),
        }
    return {"songs": len(found), "by_trust_without_name": bands}


def cluster_agreement(catalog: pa.Table, numbers: pa.Table) -> dict[str, Any]:
    """How often two songs of one duplicate cluster, each with a label of its own, have
    the same classes. numbers: NUMBERS, row by row with the catalog."""
    own = pc.and_(pc.is_valid(numbers["table"]), pc.is_null(numbers[LENDER]))
    rows = (
        catalog.filter(own)
        .select(["cluster_id", "valence_class", "arousal_class"])
        .to_pylist()
    )
    clusters: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        clusters.setdefault(row["cluster_id"], []).append(row)
    pairs = [pair for members in clusters.values() for pair in combinations(members, 2)]
    return {
        "pairs": len(pairs),
        "valence": same(pairs, "valence_class"),
        "arousal": same(pairs, "arousal_class"),
    }


def same(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], name: str) -> int:
    """Of how many pairs both have one value."""
    return sum(one[name] == other[name] for one, other in pairs)
