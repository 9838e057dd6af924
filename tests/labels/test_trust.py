"""label_trust: each piece of evidence by itself, their sum by hand, and the fit of the
weights of the counts."""

import math

import numpy as np
import pyarrow as pa
import pytest

from pipelines.labels.trust import (
    EVIDENCE,
    NAMES_FOUND,
    TRUST,
    WEIGHTS,
    fit_counts,
    key_distance,
    label_trust,
    signals,
    tempo_gap,
)


def trust(**row) -> dict:
    base = dict.fromkeys(EVIDENCE.names) | {
        "n_agreeing": 0,
        "n_rivals": 0,
        "n_listed": 21_425,
    }
    table = label_trust(pa.Table.from_pylist([base | row], EVIDENCE), 0.8)
    assert table.schema == TRUST
    (told,) = table.to_pylist()
    return told


def odds(**row) -> float:
    share = trust(**row)["label_trust"]
    return math.log(share / (1 - share))


COUNTS = WEIGHTS.counts
PLAIN = COUNTS.prior


@pytest.mark.parametrize(
    ("row", "adds"),
    [
        ({}, 0.0),
        ({"n_agreeing": 1}, COUNTS.agreeing),
        ({"n_agreeing": 9}, 3 * COUNTS.agreeing),
        ({"n_rivals": 2}, 2 * COUNTS.rivals),
        ({"artist_titles": 1}, COUNTS.artist_titles * (math.log(2) - COUNTS.middle_artist)),
        (
            {"artist_titles": 9},
            COUNTS.artist_titles * (math.log(10) - COUNTS.middle_artist),
        ),
        # In half the list two further titles stand for four, in a tenth for eight at most.
        (
            {"artist_titles": 3, "n_listed": 21_425 / 2},
            COUNTS.artist_titles * (math.log(6) - COUNTS.middle_artist),
        ),
        (
            {"artist_titles": 3, "n_listed": 21_425 / 10},
            COUNTS.artist_titles * (math.log(10) - COUNTS.middle_artist),
        ),
        ({"near_other_titles": 1}, COUNTS.near_other_titles),
        ({"near_other_titles": 7}, 3 * COUNTS.near_other_titles),
        ({"same_title_containment": 0.05}, COUNTS.same_title / 3),
        ({"same_title_containment": 0.9}, COUNTS.same_title),
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
        1 / (1 + math.exp(-(PLAIN + COUNTS.agreeing + COUNTS.rivals + 4.0 - 1.0))), abs=1e-6
    )
    assert told["evidence"] == [
        "prior=0.63 (+0.53)",
        "agreeing=1 (+1.87)",
        "rivals=1 (-1.21)",
        "name=title+artist (+4.00)",
        "tempo=0.263 (-1.00)",
    ]
    assert told["trusted"] is True
    assert trust()["trusted"] is False
    assert trust(artist_titles=1, near_other_titles=0, same_title_containment=0.25)[
        "evidence"
    ] == [
        "prior=0.63 (+0.53)",
        "agreeing=0 (+0.00)",
        "rivals=0 (-0.00)",
        "artist_titles=1 (-0.94)",
        "near_other_titles=0 (-0.00)",
        "same_title=0.250 (+1.64)",
    ]


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


def drawn(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "n_agreeing": rng.integers(0, 4, n).astype(float),
        "n_rivals": rng.integers(0, 4, n).astype(float),
        "artist_titles": rng.integers(1, 40, n).astype(float),
        "n_listed": np.full(n, 21_425.0),
        "near_other_titles": rng.integers(0, 3, n).astype(float),
        "same_title_containment": rng.random(n) / 3,
    }


def test_fit_finds_the_weights_that_made_the_data():
    column = drawn(40_000)
    made = {
        "agreeing": 1.5,
        "rivals": -1.2,
        "artist_titles": 0.8,
        "near_other_titles": -1,
        "same_title": 2,
    }
    found = signals(column, 2.0)
    odds = -1 + sum(weight * found[name] for name, weight in made.items())
    right = np.random.default_rng(1).random(40_000) < 1 / (1 + np.exp(-odds))
    fitted = fit_counts(column, right)
    for name, weight in made.items():
        assert getattr(fitted, name) == pytest.approx(weight, abs=0.12)
    # The prior is that of an artist in the middle of these.
    assert fitted.prior == pytest.approx(-1 + 0.8 * (fitted.middle_artist - 2.0), abs=0.12)


def test_fit_stays_finite_where_counts_tell_all():
    column = {name: values[:2] for name, values in drawn(2).items()}
    column |= {"n_agreeing": np.array([0.0, 3.0]), "n_rivals": np.array([3.0, 0.0])}
    weights = fit_counts(column, np.array([False, True]))
    assert np.isfinite(weights.agreeing) and weights.agreeing > 0 > weights.rivals
