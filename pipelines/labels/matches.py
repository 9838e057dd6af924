"""Which song (md5) is which MSD track: the files of LMD and LPD that say so, as one table.

Four forms: LMD's `match_scores.json` (track id to md5 to score), LPD's `matched_ids.txt`
and `cleansed_ids.txt` (one md5 and one track id a line, no scores), tab-separated tables
that name the tracks too (md5, track_id, artist, title under a header), and the `TR…`
folders of LPD's matched and cleansed layouts.
"""

import io
import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from schemas.ids import MD5, TRACK_ID

MATCHES = pa.schema(
    [("md5", pa.string()), ("track_id", pa.string()), ("score", pa.float64())]
)
NAMED_COLUMNS = ("md5", "track_id", "artist", "title")
USE_INSTEAD = "give LMD's match_scores.json or LPD's matched_ids.txt"


class MatchList(NamedTuple):
    """matches: MATCHES in the file's order; tracks: track_id, artist and title, where the
    file names them."""

    matches: pa.Table
    tracks: pa.Table


def read_match_list(data: bytes, name: str) -> MatchList:
    """One file, with the names of tracks that it gives; raises ValueError as read_matches
    does."""
    if not data.startswith(b"md5\t"):
        nothing = pa.schema([(one, pa.string()) for one in NAMED_COLUMNS[1:]])
        return MatchList(read_matches(data, name), nothing.empty_table())
    try:
        table = csv.read_csv(
            io.BytesIO(data),
            parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(NAMED_COLUMNS, pa.string()),
                include_columns=list(NAMED_COLUMNS),
            ),
        )
    except (pa.ArrowException, KeyError) as error:
        raise ValueError(
            f"{name} is no tab-separated list of md5, track_id, artist, title: {error}"
        ) from error
    md5s, tracks = table["md5"].to_pylist(), table["track_id"].to_pylist()
    return MatchList(_checked(md5s, tracks, None, name), table.select(NAMED_COLUMNS[1:]))


def read_matches(data: bytes, name: str) -> pa.Table:
    """The matches (MATCHES, in the file's order) of one file, told apart by its first
    character.

    name: the file's, for the error. Raises ValueError where the file is neither form or
    says something impossible.
    """
    if name.endswith(".json") or data.lstrip()[:1] == b"{":
        return _read_scores(data, name)
    return _read_ids(data, name)


def folder_matches(md5s: Sequence[str], folders: Sequence[Iterable[str]]) -> pa.Table:
    """The matches that the `TR…` folders of each song's paths say, without scores; other
    folders say nothing."""
    pairs = [
        (md5, folder)
        for md5, names in zip(md5s, folders, strict=True)
        for folder in names
        if TRACK_ID.fullmatch(folder)
    ]
    return _table([md5 for md5, _ in pairs], [folder for _, folder in pairs], None)


def merge_matches(tables: Sequence[pa.Table], min_score: float) -> pa.Table:
    """One row a (md5, track_id), sorted, with the best score any file gives it; those
    scored below min_score go.

    A match without a score is kept whatever min_score is: nothing is known against it.
    """
    both = pa.concat_tables([MATCHES.empty_table(), *tables])
    best = both.group_by(["md5", "track_id"], use_threads=False).aggregate(
        [("score", "max")]
    )
    best = best.rename_columns(["md5", "track_id", "score"]).select(MATCHES.names)
    enough = pc.fill_null(pc.greater_equal(best["score"], min_score), True)
    return best.filter(enough).sort_by([("md5", "ascending"), ("track_id", "ascending")])


def margin_to_runner_up(md5: np.ndarray, work: np.ndarray, score: np.ndarray) -> np.ndarray:
    """For each match, its work's best score less the best score of any other work of the
    same md5.

    md5, work: int64 codes, one a match; matches of one work (same artist and title) are no
    rivals of each other. score: NaN for none. NaN where the md5 has no second work or
    either has no score.
    """
    order = np.lexsort((work, md5))
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(md5[order]) != 0) | (np.diff(work[order]) != 0)
    work_at = np.empty(len(order), np.int64)
    work_at[order] = np.cumsum(first) - 1
    # fmax passes over NaN, so a work has a score when one of its matches has.
    best = np.full(int(first.sum()), np.nan)
    np.fmax.at(best, work_at, score)
    return (best - _best_of_others(md5[order][first], best))[work_at]


def _best_of_others(group: np.ndarray, best: np.ndarray) -> np.ndarray:
    """For each row, the largest value of the other rows of its group; NaN where there is
    none."""
    order = np.lexsort((-np.nan_to_num(best, nan=-np.inf), group))
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    top, second = best[order][starts], np.full(len(starts), np.nan)
    several = sizes > 1
    second[several] = best[order][starts[several] + 1]
    others = np.repeat(top, sizes)
    others[starts] = second
    result = np.empty(len(best))
    result[order] = others
    return result


def _read_scores(data: bytes, name: str) -> pa.Table:
    try:
        tracks = json.loads(data)
        triples = [
            (md5, track, float(score))
            for track, scores in tracks.items()
            for md5, score in scores.items()
        ]
    except (ValueError, AttributeError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{name} is not LMD's match_scores.json (MSD track id to md5 to score), fetch it again: {error}"
        ) from error
    scores = np.array([score for *_, score in triples], np.float64)
    wrong = np.flatnonzero(~((scores >= 0) & (scores <= 1)))
    if len(wrong):
        md5, track, score = triples[wrong[0]]
        raise ValueError(
            f"{name}: the score of {md5} for {track} is {score}, not in [0, 1]: fetch the file again"
        )
    return _checked(
        [md5 for md5, *_ in triples], [track for _, track, _ in triples], scores, name
    )


def _read_ids(data: bytes, name: str) -> pa.Table:
    try:
        lines = [line.split() for line in data.decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is not a text file of md5 and MSD track id, one pair a line: {error}"
        ) from error
    for number, words in enumerate(lines, 1):
        if len(words) != 2:
            raise ValueError(
                f"{name}: pair {number} has {len(words)} words, not an md5 and a track id: give LPD's matched_ids.txt"
            )
    return _checked(
        [words[0] for words in lines], [words[1] for words in lines], None, name
    )


def _checked(
    md5s: list[str], tracks: list[str], scores: np.ndarray | None, name: str
) -> pa.Table:
    if not md5s:
        raise ValueError(f"{name} holds no match, {USE_INSTEAD}")
    table = _table(md5s, tracks, scores)
    for column, pattern, what in (
        ("md5", MD5.pattern, "an md5"),
        ("track_id", TRACK_ID.pattern, "an MSD track id"),
    ):
        found = pc.match_substring_regex(table[column], f"^{pattern}$")
        good = pc.fill_null(found, False)
        if not pc.all(good).as_py():
            wrong = table[column].filter(pc.invert(good))[0].as_py() or ""
            raise ValueError(f"{name}: {wrong[:60]!r} is not {what}, {USE_INSTEAD}")
    return table


def _table(md5s: list[str], tracks: list[str], scores: np.ndarray | None) -> pa.Table:
    column = (
        pa.nulls(len(md5s), pa.float64())
        if scores is None
        else pa.array(scores, pa.float64())
    )
    return pa.table(
        [pa.array(md5s, pa.string()), pa.array(tracks, pa.string()), column], MATCHES
    )
