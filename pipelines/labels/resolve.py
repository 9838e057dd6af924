"""Which label a song gets where its md5 matches several MSD tracks, and how far they
disagree.

Three rules:

* agree (the default): the largest group of matches with the same normalised title, and of
  its labels the medoid, the one nearest to the rest. Matches that a list of true names
  confirms go before any majority. Where titles differ and valence or energy ranges over
  `max_title_spread`, nobody knows which song it is: no label, unless it is trusted (settle.py).
* best_score: the label of the best-scored match; the mean where no match has a score.
* mean: the mean of all labels.

Everything is decided from the rows of one md5 alone, so a table may be cut between md5s
anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.labels.config import AGREE, BEST_SCORE, MEAN, AffectConfig

TEXT, NUMBER, COUNT, FLAG = pa.string(), pa.float64(), pa.int32(), pa.bool_()
# One row a match. title: normalised; named: whether a list of true names confirms it
# (label._named), null where it does not know the md5; margin: of
# matches.margin_to_runner_up; valence and arousal: both or neither; source: their table's
# name.
CANDIDATES = pa.schema(
    [
        ("md5", TEXT), ("track_id", TEXT), ("score", NUMBER), ("margin", NUMBER), ("title", TEXT), ("named", FLAG),
        ("valence", NUMBER), ("arousal", NUMBER), ("source", TEXT),
    ]
)  # fmt: skip
# One row an md5. label_spread: the larger range of valence and arousal over its labels;
# n_agreeing: other matches with the chosen title; n_rivals: matches with another;
# unlabelled: why the song is not to be given these values, null where it is.
CHOICES = pa.schema(
    [
        ("md5", TEXT), ("msd_track_id", TEXT), ("match_score", NUMBER), ("match_margin", NUMBER), ("valence", NUMBER),
        ("arousal", NUMBER), ("label_source", TEXT), ("label_spread", NUMBER), ("n_agreeing", COUNT),
        ("n_rivals", COUNT), ("unlabelled", TEXT),
    ]
)  # fmt: skip
# Sums of three-decimal values are off by 1e-16; ties and limits must not hang on that.
DECIMALS = 9
TITLES_DIFFER = "titles differ"
UNLABELLED = (None, "no value", TITLES_DIFFER, "spread", "margin")


@dataclass(frozen=True, eq=False)
class _Rows:
    """CANDIDATES as columns, sorted by md5 and track; md5 and title are codes, md5's
    without a gap from 0."""

    table: pa.Table
    md5: np.ndarray
    title: np.ndarray
    named: np.ndarray
    score: np.ndarray
    margin: np.ndarray
    values: np.ndarray
    labelled: np.ndarray
    n_md5: int


def resolve(candidates: pa.Table, config: AffectConfig) -> pa.Table:
    """CHOICES, one row an md5, sorted, from CANDIDATES in any order."""
    if not len(candidates):
        return CHOICES.empty_table()
    rows = _columns(candidates)
    leads, n_same = _leading_title(rows)
    by_mean = _takes_mean(rows, config.rule)
    if config.rule == AGREE:
        chosen = _first(
            rows.md5,
            [
                ~leads,
                ~rows.labelled,
                _distance_to_the_rest(rows, leads),
                _descending(rows.score),
            ],
        )
    else:
        by_score = np.where(by_mean[rows.md5], 0.0, _descending(rows.score))
        chosen = _first(rows.md5, [~rows.labelled, by_score, _distance_to_mean(rows)])
    values = np.where(by_mean, _means(rows), rows.values[:, chosen])
    spread, why = _refusals(rows, chosen, config)
    found = np.isfinite(values).all(axis=0)
    n_matches = np.bincount(rows.md5, minlength=rows.n_md5)
    return pa.table(
        [
            rows.table["md5"].take(chosen), rows.table["track_id"].take(chosen), _nullable(rows.score[chosen]),
            _nullable(rows.margin[chosen]), *map(_nullable, values),
            pa.array(_sources(rows, chosen, by_mean, config.rule), TEXT, mask=~found), _nullable(spread),
            pa.array(n_same[chosen] - 1, COUNT), pa.array(n_matches - n_same[chosen], COUNT),
            pa.array(UNLABELLED, TEXT).take(pa.array(why)),
        ],
        CHOICES,
    )  # fmt: skip


def _columns(candidates: pa.Table) -> _Rows:
    table = candidates.sort_by(
        [("md5", "ascending"), ("track_id", "ascending")]
    ).combine_chunks()
    md5, title = (
        table[name].combine_chunks().dictionary_encode().indices
        for name in ("md5", "title")
    )
    # A track without a title is a title of its own.
    titles = title.fill_null(-1).to_numpy(zero_copy_only=False)
    titles = np.where(titles < 0, len(table) + np.arange(len(table)), titles)
    values = np.stack([table[name].to_numpy() for name in ("valence", "arousal")])
    return _Rows(
        table, md5.to_numpy(), titles, table["named"].fill_null(False).to_numpy(), table["score"].to_numpy(),
        table["margin"].to_numpy(), values, np.isfinite(values).all(axis=0), int(md5.to_numpy().max()) + 1,
    )  # fmt: skip


def _leading_title(rows: _Rows) -> tuple[np.ndarray, np.ndarray]:
    """For each row, whether its label may be its md5's, and how many rows of the md5 have
    its title.

    It may where its title is the one the md5 goes by; of a title that is named, where the
    row is.
    """
    order = np.lexsort((rows.title, rows.md5))
    md5, title = rows.md5[order], rows.title[order]
    starts = np.flatnonzero(
        (np.diff(md5, prepend=-1) != 0) | (np.diff(title, prepend=-1) != 0)
    )
    size = np.diff(np.append(starts, len(order)))
    group = np.empty(len(order), np.int64)
    group[order] = np.repeat(np.arange(len(starts)), size)
    named, labelled = (
        np.bincount(group, flag, len(starts)) for flag in (rows.named, rows.labelled)
    )
    score = np.full(len(starts), np.inf)
    np.minimum.at(score, group, _descending(rows.score))
    leading = np.zeros(len(starts), bool)
    leading[_first(md5[starts], [named == 0, -size, score, -labelled, order[starts]])] = (
        True
    )
    return leading[group] & (rows.named | (named[group] == 0)), size[group]


def _first(group: np.ndarray, keys: Sequence[np.ndarray]) -> np.ndarray:
    """The index of each group's smallest row by keys, the first key foremost; in the
    order of the groups."""
    order = np.lexsort((*reversed(keys), group))
    return order[np.flatnonzero(np.diff(group[order], prepend=-1))]


def _distance_to_the_rest(rows: _Rows, leads: np.ndarray) -> np.ndarray:
    """For each labelled leading row, its summed distance |valence| + |arousal| to the
    others of its md5; else 0."""
    member = np.flatnonzero(leads & rows.labelled)
    size = np.bincount(rows.md5[member], minlength=rows.n_md5)
    each = size[rows.md5[member]]
    first = (np.cumsum(size) - size)[rows.md5[member]]
    one = np.repeat(np.arange(len(member)), each)
    other = (
        np.arange(len(one))
        - np.repeat(np.cumsum(each) - each, each)
        + np.repeat(first, each)
    )
    apart = np.abs(rows.values[:, member[one]] - rows.values[:, member[other]]).sum(axis=0)
    distance = np.zeros(len(leads))
    distance[member] = np.bincount(one, apart, len(member))
    return np.round(distance, DECIMALS)


def _means(rows: _Rows) -> np.ndarray:
    """(2, n_md5): the mean of all labels of each md5, NaN where it has none."""
    count = np.bincount(rows.md5[rows.labelled], minlength=rows.n_md5)
    sums = [
        np.bincount(rows.md5[rows.labelled], axis[rows.labelled], rows.n_md5)
        for axis in rows.values
    ]
    return np.where(count > 0, np.array(sums) / np.maximum(count, 1), np.nan)


def _distance_to_mean(rows: _Rows) -> np.ndarray:
    apart = np.abs(rows.values - _means(rows)[:, rows.md5]).sum(axis=0)
    return np.round(np.nan_to_num(apart, nan=9.0), DECIMALS)


def _takes_mean(rows: _Rows, rule: str) -> np.ndarray:
    """For each md5, whether its values are means: under `mean` always, under
    `best_score` where nothing is scored."""
    scored = (
        np.bincount(rows.md5[rows.labelled & np.isfinite(rows.score)], minlength=rows.n_md5)
        > 0
    )
    return {
        AGREE: np.zeros(rows.n_md5, bool),
        BEST_SCORE: ~scored,
        MEAN: np.ones(rows.n_md5, bool),
    }[rule]


def _refusals(
    rows: _Rows, chosen: np.ndarray, config: AffectConfig
) -> tuple[np.ndarray, np.ndarray]:
    """For each md5 the spread of its labels (NaN without any), and why it gets none
    (index of UNLABELLED)."""
    md5, title = rows.md5[rows.labelled], rows.title[rows.labelled]
    low, high = np.full((2, rows.n_md5), np.inf), np.full((2, rows.n_md5), -np.inf)
    for axis in range(2):
        np.minimum.at(low[axis], md5, rows.values[axis, rows.labelled])
        np.maximum.at(high[axis], md5, rows.values[axis, rows.labelled])
    spread = np.round((high - low).max(axis=0), DECIMALS)
    spread[~np.isfinite(spread)] = np.nan
    least, most = np.full(rows.n_md5, np.iinfo(np.int64).max), np.full(rows.n_md5, -1)
    np.minimum.at(least, md5, title)
    np.maximum.at(most, md5, title)
    why = np.zeros(rows.n_md5, np.int8)
    why[spread > config.max_label_spread] = UNLABELLED.index("spread")
    why[(rows.margin[chosen] < config.min_margin) & (config.min_margin > 0)] = (
        UNLABELLED.index("margin")
    )
    unsure = (least < most) & (spread > config.max_title_spread) & ~rows.named[chosen]
    why[unsure & (config.rule == AGREE)] = UNLABELLED.index(TITLES_DIFFER)
    why[~rows.labelled[chosen]] = UNLABELLED.index("no value")
    return spread, why


def _sources(rows: _Rows, chosen: np.ndarray, by_mean: np.ndarray, rule: str) -> np.ndarray:
    """`table:rule` for each md5; a mean names all its tables, with `+` between them."""
    table = np.array(rows.table["source"].to_pylist(), object)
    named: list[set[str]] = [set() for _ in range(rows.n_md5)]
    for row in np.flatnonzero(rows.labelled & by_mean[rows.md5]):
        named[rows.md5[row]].add(table[row])
    tables = [
        ("+".join(sorted(names)), MEAN) if names else (table[row], rule)
        for names, row in zip(named, chosen, strict=True)
    ]
    return np.array([f"{name}:{how}" for name, how in tables], object)


def _descending(values: np.ndarray) -> np.ndarray:
    """A key that sorts the largest first and NaN last."""
    return np.where(np.isfinite(values), -values, np.inf)


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, NUMBER, from_pandas=True)
