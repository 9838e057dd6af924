"""Summary: how many songs have which labels, from the catalog and the numbers behind its
words.

The catalog says in words where a label is from and why it is trusted; what is counted here
are the numbers that those words were written from (NUMBERS).
"""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.labels.propagate import LENDER, OWN
from pipelines.labels.splits import SPLITS
from pipelines.labels.thresholds import Thresholds, classify
from pipelines.labels.trust import NAMES_FOUND
from schemas.labels import QUADRANT_CLASSES

# table: the table and rule of a label; lender: the song it is from, null for an own one;
# own_valence, own_arousal: the song's own label, before duplicates were asked.
NUMBERS = pa.schema(
    [
        ("song_id", pa.string()), ("table", pa.string()), (LENDER, pa.string()),
        ("name_found", pa.int8()), ("log_odds_without_name", pa.float64()),
        *((name, pa.float64()) for name in OWN.values()),
    ]
)  # fmt: skip
# Lower ends of the bands of label_trust that matches are counted by.
TRUST_BANDS = (0.0, 0.5, 0.8)
TENTHS = tuple(tenth / 10 for tenth in range(10))
# From which ranges of valence or energy on the matches of a song are counted as
# disagreeing.
SPREADS = (0.0, 0.1, 0.2)


def numbers_of(labelled: pa.Table) -> pa.Table:
    """NUMBERS of a table of labelled songs with their lenders."""
    columns = dict(zip(labelled.column_names, labelled.columns, strict=True))
    columns["table"] = columns["label_source"]
    return pa.table([columns[name] for name in NUMBERS.names], NUMBERS)


def label_counts(
    catalog: pa.Table, numbers: pa.Table, thresholds: Thresholds | None
) -> dict[str, Any]:
    """Kept songs by source of label and by reason for none, by quadrant and split, and
    where matches disagree.

    numbers: NUMBERS, a row for every song of the catalog, in any order; thresholds: of the
    classes, None without any.
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
        "cluster_agreement": cluster_agreement(catalog["cluster_id"], numbers, thresholds),
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

    By bands and by tenths of label_trust as it would be without the name, from the band's
    name; the choice between several matches of a song is made with the name. numbers:
    NUMBERS of labelled songs.
    """
    named = numbers.filter(pc.is_valid(numbers["name_found"]))
    found = named["name_found"].to_numpy()
    # Weights have three decimals; what lies behind them in a sum is noise, which a band's
    # edge heeds.
    log_odds = np.round(named["log_odds_without_name"].to_numpy(), 3)
    trust = 1 / (1 + np.exp(-log_odds))
    return {
        "songs": len(found),
        "by_trust_without_name": _by_trust(trust, found, TRUST_BANDS),
        "reliability": _by_trust(trust, found, TENTHS),
    }


def _by_trust(
    trust: np.ndarray, found: np.ndarray, lows: Sequence[float]
) -> dict[str, dict[str, Any]]:
    """Songs, their mean trust, right titles and right artists too, by the lower ends of
    bands of trust."""
    bands = {}
    for low, high in pairwise((*lows, 2.0)):
        inside = (trust >= low) & (trust < high)
        names = found[inside]
        bands[str(low)] = {
            "songs": len(names),
            "trust": round(float(trust[inside].mean()), 4) if len(names) else None,
            "title": int((names != NAMES_FOUND.index("other")).sum()),
            "artist": int((names == NAMES_FOUND.index("title+artist")).sum()),
        }
    return bands


def cluster_agreement(
    cluster_id: pa.ChunkedArray, numbers: pa.Table, thresholds: Thresholds | None
) -> dict[str, int]:
    """How often two songs of one duplicate cluster, each with a label of its own, have
    the same classes. numbers: NUMBERS, row by row with cluster_id."""
    own = pc.is_valid(numbers[OWN["valence"]])
    if thresholds is None:
        return {"pairs": 0, "valence": 0, "arousal": 0}
    classes = {
        axis: classify(
            numbers[name].filter(own).to_numpy(),
            getattr(thresholds, axis),
            thresholds.margin,
        ).to_pylist()
        for axis, name in OWN.items()
    }
    clusters: dict[str, list[int]] = {}
    for row, name in enumerate(cluster_id.filter(own).to_pylist()):
        clusters.setdefault(name, []).append(row)
    pairs = [pair for members in clusters.values() for pair in combinations(members, 2)]
    same = {
        axis: sum(values[one] == values[other] for one, other in pairs)
        for axis, values in classes.items()
    }
    return {"pairs": len(pairs), **same}
