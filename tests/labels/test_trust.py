"""label_trust: each piece of evidence by itself, their sum by hand, and the fit of the
weight of agreement."""

import math

import numpy as np
import pyarrow as pa
import pytest

from pipelines.labels.trust import (
    EVIDENCE,
    NAMES_FOUND,
    TRUST,
    WEIGHTS,
    fit_agreement,
    key_distance,
    label_trust,
    tempo_gap,
)


def trust(**row) -> dict:
    base = dict.fromkeys(EVIDENCE.names) | {"n_agreeing": 0, "n_rivals": 0}
    table = label_trust(pa.Table.from_pylist([base | row], EVIDENCE), 0.8)
    assert table.schema == TRUST
    (told,) = table.to_pylist()
    return told


def odds(**row) -> float:
    share = trust(**row)["label_trust"]
    return math.log(share / (1 - share))


PLAIN = WEIGHTS.agreement[0]


@pytest.mark.parametrize(
    ("row", "adds"),
    [
        ({}, 0.0),
        ({"n_agreeing": 1}, 1.61),
        ({"n_agreeing": 9}, 3 * 1.61),
        ({"n_rivals": 2}, -2 * 1.45),
        ({"title_likeness": 0.79, "artist_likeness": 1.0}, -3.0),
        ({"title_likeness": 0.8, "artist_likeness": 0.2}, 0.5),
        ({"title_likeness": 1.0, "artist_likeness": None}, 0.5),
        ({"title_likeness": 1.0, "artist_likeness": 0.9}, 4.0),
        ({"song_seconds": 100.0, "track_seconds": 104.0}, 0.8),
        ({"song_seconds": 108.0, "track_seconds": 100.0}, 0.4),
        ({"song_seconds": 100.0, "track_seconds": 300.0}, -0.9),
        ({"song_seconds": 0.0, "track_seconds": 300.0}, 0.0),
        ({"song_bpm": 120.0, "track_bpm": 60.5}, 1.2),
        ({"song_bpm": 120.0, "track_bpm": 170.0}, -1.0),
        ({"song_bpm": 120.0, "track_bpm": None}, 0.0),
        ({"song_key": 0, "track_key": 0}, 1.0),
        ({"song_key": 0, "track_key": 21}, 0.2),
        ({"song_key": 0, "track_key": 1}, -0.6),
        ({"song_key": 24, "track_key": 1}, 0.0),
        ({"chroma": 0.2}, -2.5),
        ({"chroma": 0.46}, 3.0),
    ],
)
def test_each_piece_adds_what_the_table_says(row, adds):
    assert odds(**row) == pytest.approx(PLAIN + adds, abs=1e-3)


def test_pieces_add_up_and_are_listed():
    told = trust(
        n_agreeing=1,
        n_rivals=1,
        title_likeness=1.0,
        artist_likeness=1.0,
        song_bpm=100.0,
        track_bpm=120.0,
    )
    assert told["label_trust"] == pytest.approx(
        1 / (1 + math.exp(-(PLAIN + 1.61 - 1.45 + 4.0 - 1.0))), abs=1e-6
    )
    assert told["evidence"] == [
        "matches=+1-1 (+0.66)",
        "name=title+artist (+4.00)",
        "tempo=0.263 (-1.00)",
    ]
    assert told["trusted"] is True
    assert trust()["trusted"] is False and trust()["evidence"] == ["matches=+0-0 (+0.50)"]


def test_what_trust_would_be_without_the_name_stands_beside_the_list():
    facts = {"n_agreeing": 1, "song_bpm": 100.0, "track_bpm": 120.0, "chroma": 0.4}
    for likeness, found in ((1.0, "title+artist"), (0.1, "other")):
        named = trust(title_likeness=likeness, artist_likeness=likeness, **facts)
        assert NAMES_FOUND[named["name_found"]] == found
        without = 1 / (1 + math.exp(-named["log_odds_without_name"]))
        assert without == pytest.approx(trust(**facts)["label_trust"], abs=1e-6)
    assert trust(**facts)["name_found"] is None
    assert trust(**facts)["log_odds_without_name"] == pytest.approx(odds(**facts), abs=1e-4)


def test_rows_do_not_see_each_other():
    rows = [
        {"n_agreeing": index % 3, "n_rivals": index % 2, "chroma": index / 10}
        for index in range(10)
    ]
    rows = [dict.fromkeys(EVIDENCE.names) | row for row in rows]
    together = label_trust(pa.Table.from_pylist(rows, EVIDENCE), 0.5)
    alone = [label_trust(pa.Table.from_pylist([row], EVIDENCE), 0.5) for row in rows]
    assert pa.concat_tables(alone).equals(together)


@pytest.mark.parametrize(
    ("song", "track", "gap"),
    [(60, 60, 0), (60, 120, 0), (120, 60, 0), (60, 240, 1), (90, 60, 0.415)],
)
def test_tempo_allows_an_octave_and_no_more(song, track, gap):
    assert tempo_gap(np.array([float(song)]), np.array([float(track)]))[0] == pytest.approx(
        gap, abs=1e-3
    )


def test_tempo_of_nothing_is_unknown():
    assert np.isnan(
        tempo_gap(np.array([0.0, np.nan, 60.0]), np.array([60.0, 60.0, 0.0]))
    ).all()


def near(song: int, track: int) -> bool:
    """Fifth either way, relative, parallel, from the names of the keys."""
    tonic, minor = song % 12, song >= 12
    fifths = {(tonic + 7) % 12 + 12 * minor, (tonic + 5) % 12 + 12 * minor}
    relative = (tonic + 3) % 12 if minor else (tonic + 9) % 12 + 12
    return track in fifths | {relative, tonic + 12 * (not minor)}


def test_key_distance_of_every_pair():
    song, track = (axis.ravel() for axis in np.meshgrid(np.arange(25.0), np.arange(25.0)))
    for one, other, told in zip(song, track, key_distance(song, track), strict=True):
        if 24 in (one, other):
            assert math.isnan(told)
        else:
            assert told == (0 if one == other else 1 if near(int(one), int(other)) else 2)


def test_fit_finds_the_weights_that_made_the_data():
    rng = np.random.default_rng(0)
    agreeing, rivals = rng.integers(0, 4, 40_000), rng.integers(0, 4, 40_000)
    right = rng.random(40_000) < 1 / (1 + np.exp(-(0.3 + 1.5 * agreeing - 1.2 * rivals)))
    assert fit_agreement(agreeing, rivals, right) == pytest.approx(
        (0.3, 1.5, -1.2), abs=0.1
    )


def test_fit_stays_finite_where_counts_tell_all():
    weights = fit_agreement(np.array([0, 3]), np.array([3, 0]), np.array([False, True]))
    assert np.isfinite(weights).all() and weights[1] > 0 > weights[2]
