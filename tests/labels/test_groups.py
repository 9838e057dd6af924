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


def taken(*tracks: str | None) -> pa.ChunkedArray:
    """The tracks that s1 to s4 take."""
    return pa.chunked_array([pa.array([*tracks, None, None, None, None][:4], pa.string())])


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
            group_keys(
                songs(),
                joined({"md5": "m1"} | one, {"md5": "m3"} | other),
                none,
                taken(one["track_id"], None, other["track_id"]),
            )
        ) == [("s1", "s3")]


def test_the_keys_of_a_match_that_is_not_taken_are_there_and_link_nothing():
    rows = [
        {"md5": "m1", "track_id": "TR1", "song_id": "SO1", "artist": "X", "title": "Y"},
        {"md5": "m1", "track_id": "TR2", "artist": "X", "title": "Z"},
        {"md5": "m2", "track_id": "TR2", "artist": "X", "title": "Z"},
    ]
    keys = group_keys(songs(), joined(*rows), NAMES.empty_table(), taken("TR1", "TR2"))
    assert keys.to_pylist() == [
        {"song_id": "s1", "key": "name:x|y", "sure": True},
        {"song_id": "s1", "key": "name:x|z", "sure": False},
        {"song_id": "s1", "key": "song_id:SO1", "sure": True},
        {"song_id": "s1", "key": "track_id:TR1", "sure": True},
        {"song_id": "s1", "key": "track_id:TR2", "sure": False},
        {"song_id": "s2", "key": "name:x|z", "sure": True},
        {"song_id": "s2", "key": "track_id:TR2", "sure": True},
    ]
    assert pairs(keys) == []
    keys = group_keys(songs(), joined(*rows), NAMES.empty_table(), taken("TR2", "TR2"))
    assert set(pairs(keys)) == {("s1", "s2")}


def test_unlike_or_unknown_names_link_nothing():
    rows = [
        {"md5": "m1", "track_id": "TR1", "artist": "X", "title": "Y"},
        {"md5": "m2", "track_id": "TR2", "artist": "Z", "title": "Y"},
        {"md5": "m3", "track_id": "TR3", "artist": "???", "title": "Y"},
    ]
    all_taken = taken("TR1", "TR2", "TR3")
    none = NAMES.empty_table()
    assert pairs(group_keys(songs(), joined(*rows), none, all_taken)) == []
    assert pairs(group_keys(songs(), joined(), none, taken())) == []


def test_names_of_the_corpus_and_of_the_list_link_too():
    true = pa.table([["m2", "m9"], ["X", "X"], ["Y", "Y"]], NAMES)
    own = songs(artist=[None, None, None, "x"], title=[None, None, None, "Y"])
    matched = joined({"md5": "m1", "track_id": "TR1", "artist": "X", "title": "Y"})
    assert pairs(group_keys(own, matched, true, taken("TR1"))) == [
        ("s1", "s2"),
        ("s1", "s4"),
    ]


def test_artists_are_those_of_the_chosen_track():
    matched = joined(
        {"md5": "m1", "track_id": "TR1", "artist": "X"}, {"md5": "m2", "track_id": "TR2", "artist": "The X"},
        {"md5": "m3", "track_id": "TR3", "artist": "Z"},
    )  # fmt: skip
    chosen = pa.chunked_array([["TR1", "TR2", None, None]])
    own = songs(artist=[None, None, "Q", "x"])
    assert pairs(artist_keys(own, matched, chosen)) == [("s1", "s2"), ("s1", "s4")]
