"""Groups for splits: what links two songs, and what does not."""

import pyarrow as pa

from pipelines.labels.groups import artist_keys, group_keys, linked
from pipelines.labels.join import JOINED, NAMES

IDS = ["s1", "s2", "s3", "s4"]


def songs(**columns) -> pa.Table:
    nothing = pa.nulls(4, pa.string())
    return pa.table(
        {
            "song_id": IDS,
            "md5": ["m1", "m2", "m3", None],
            "artist": nothing,
            "title": nothing,
        }
        | columns
    )


def joined(*rows: dict) -> pa.Table:
    return pa.Table.from_pylist([dict.fromkeys(JOINED.names) | row for row in rows], JOINED)


def pairs(keys: pa.Table) -> list[tuple[str, str]]:
    return sorted(tuple(row.values()) for row in linked(keys).to_pylist())


def test_one_track_one_msd_song_or_one_name_links():
    none = NAMES.empty_table()
    for one, other in (
        ({"track_id": "TR1"}, {"track_id": "TR1"}),
        ({"track_id": "TR1", "song_id": "SO1"}, {"track_id": "TR2", "song_id": "SO1"}),
        (
            {"track_id": "TR1", "artist": "The X", "title": "Y (Live)"},
            {"track_id": "TR2", "artist": "x", "title": "Y"},
        ),
    ):
        assert pairs(
            group_keys(songs(), joined({"md5": "m1"} | one, {"md5": "m3"} | other), none)
        ) == [("s1", "s3")]


def test_unlike_or_unknown_names_link_nothing():
    rows = [
        {"md5": "m1", "track_id": "TR1", "artist": "X", "title": "Y"},
        {"md5": "m2", "track_id": "TR2", "artist": "Z", "title": "Y"},
        {"md5": "m3", "track_id": "TR3", "artist": "???", "title": "Y"},
    ]
    assert pairs(group_keys(songs(), joined(*rows), NAMES.empty_table())) == []
    assert pairs(group_keys(songs(), joined(), NAMES.empty_table())) == []


def test_names_of_the_corpus_and_of_the_list_link_too():
    true = pa.table([["m2", "m9"], ["X", "X"], ["Y", "Y"]], NAMES)
    own = songs(artist=[None, None, None, "x"], title=[None, None, None, "Y"])
    matched = joined({"md5": "m1", "track_id": "TR1", "artist": "X", "title": "Y"})
    assert pairs(group_keys(own, matched, true)) == [("s1", "s2"), ("s1", "s4")]


def test_artists_are_those_of_the_chosen_track():
    matched = joined(
        {"md5": "m1", "track_id": "TR1", "artist": "X"}, {"md5": "m2", "track_id": "TR2", "artist": "The X"},
        {"md5": "m3", "track_id": "TR3", "artist": "Z"},
    )  # fmt: skip
    chosen = pa.chunked_array([["TR1", "TR2", None, None]])
    own = songs(artist=[None, None, "Q", "x"])
    assert pairs(artist_keys(own, matched, chosen)) == [("s1", "s2"), ("s1", "s4")]
