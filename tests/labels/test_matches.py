"""Match files in their three forms, their merge, and the margin to the runner-up against
a loop."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest

from pipelines.labels.matches import (
    MATCHES,
    folder_matches,
    margin_to_runner_up,
    merge_matches,
    read_matches,
)

MD5S = [f"{index:032x}" for index in range(4)]
TRACKS = [f"TRAAAAA{index:011X}" for index in range(4)]


def test_match_scores():
    scores = {TRACKS[0]: {MD5S[0]: 0.75, MD5S[1]: 1}, TRACKS[1]: {MD5S[0]: 0.5}}
    table = read_matches(json.dumps(scores).encode(), "match_scores.json")
    assert table.schema == MATCHES
    assert {(row["md5"], row["track_id"]): row["score"] for row in table.to_pylist()} == {
        (MD5S[0], TRACKS[0]): 0.75, (MD5S[1], TRACKS[0]): 1.0, (MD5S[0], TRACKS[1]): 0.5,
    }  # fmt: skip


@pytest.mark.parametrize("blank", [" ", "\t", "    "])
def test_matched_ids(blank):
    table = read_matches(
        f"{MD5S[0]}{blank}{TRACKS[0]}\n\n{MD5S[1]}{blank}{TRACKS[1]}\r\n".encode(),
        "matched_ids.txt",
    )
    assert table["md5"].to_pylist() == MD5S[:2]
    assert table["track_id"].to_pylist() == TRACKS[:2]
    assert table["score"].null_count == 2


def test_matched_ids_of_lpd(real_data):
    data = (real_data / "lpd_matched_ids.txt").read_bytes()
    table = read_matches(data, "lpd_matched_ids.txt")
    words = data.decode().split()
    assert (table["md5"].to_pylist(), table["track_id"].to_pylist()) == (
        words[::2],
        words[1::2],
    )


def test_folders_of_the_cleansed_layout():
    table = folder_matches(MD5S[:3], [[TRACKS[0], TRACKS[1]], [], ["lpd_5_cleansed"]])
    assert table.to_pylist() == [
        {"md5": MD5S[0], "track_id": track, "score": None} for track in TRACKS[:2]
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"not json", b"[1, 2]", b'{"TR": 3}', b"{}", b'{"TRAAAAA00000000000": {"x": 0.5}}', b"\xff\xfe\x00",
        b'{"TRAAAAA00000000000": {"00000000000000000000000000000000": "high"}}',
        b'{"TRAAAAA00000000000": {"00000000000000000000000000000000": 7}}',
        b'{"TRAAAAA00000000000": {"00000000000000000000000000000000": NaN}}',
        b'{"TRAAAAA00000000000": {"00000000000000000000000000000000": 1%s}}' % (b"0" * 400),
        b'{"TRAAAAA00000000000": null}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_match_scores_json_is_one_sentence(data):
    with pytest.raises(ValueError, match=r"^scores\.json") as error:
        read_matches(data, "scores.json")
    assert "fetch" in str(error.value) or "give" in str(error.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"\n\n", b"abc TRAAAAA00000000000", MD5S[0].encode(), b"\xff\xfe a", b"<html>\n"],
)
def test_what_is_no_id_list_is_one_sentence(data):
    with pytest.raises(ValueError, match=r"^ids\.txt"):
        read_matches(data, "ids.txt")


def test_an_md5_in_the_wrong_column_is_named():
    with pytest.raises(ValueError, match="TRAAAAA00000000000' is not an md5"):
        read_matches(f"{TRACKS[0]} {MD5S[0]}\n".encode(), "ids.txt")


def test_merge_keeps_the_best_score_and_every_pair_once():
    one = pa.table([[MD5S[1], MD5S[0]], [TRACKS[0], TRACKS[0]], [0.4, 0.6]], MATCHES)
    two = pa.table(
        [[MD5S[0], MD5S[0], MD5S[2]], [TRACKS[0], TRACKS[1], TRACKS[2]], [0.7, None, 0.1]],
        MATCHES,
    )
    merged = merge_matches([one, two], 0.2)
    assert merged.to_pylist() == [
        {"md5": MD5S[0], "track_id": TRACKS[0], "score": 0.7},
        {"md5": MD5S[0], "track_id": TRACKS[1], "score": None},
        {"md5": MD5S[1], "track_id": TRACKS[0], "score": 0.4},
    ]
    assert merge_matches([two, one], 0.2).equals(merged)
    assert merge_matches([], 0.0).schema == MATCHES


def runner_up(md5, work, score, row):
    mine = [
        s
        for m, w, s in zip(md5, work, score, strict=True)
        if (m, w) == (md5[row], work[row]) and not math.isnan(s)
    ]
    others = [
        s
        for m, w, s in zip(md5, work, score, strict=True)
        if m == md5[row] and w != work[row] and not math.isnan(s)
    ]
    return max(mine) - max(others) if mine and others else math.nan


@pytest.mark.parametrize("seed", range(20))
def test_margin_equals_the_loop(seed):
    rng = np.random.default_rng(seed)
    md5, work = rng.integers(0, 8, 60), rng.integers(0, 5, 60)
    score = np.where(rng.random(60) < 0.3, np.nan, rng.random(60).round(1))
    expected = [
        runner_up(md5.tolist(), work.tolist(), score.tolist(), row) for row in range(60)
    ]
    np.testing.assert_allclose(margin_to_runner_up(md5, work, score), expected)


def test_margin_of_nothing():
    empty = np.zeros(0)
    assert len(margin_to_runner_up(empty.astype(int), empty.astype(int), empty)) == 0
