"""Labels of one's own: which row is of which song, what its columns say, and what is
refused."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.labels.groups import KEYS
from pipelines.labels.own_labels import OwnLabels
from pipelines.labels.own_songs import (
    OWN,
    gives_classes,
    label_songs_by_table,
    label_tracks_by_table,
    own_keys,
    own_splits,
    with_own_labels,
)
from pipelines.labels.tables import LABELS

TERMS = {"license": "CC0", "citation": "Us, 2026"}
KEYS_OF_SONGS = (
    "a/one",
    "b/one",
    "b/two",
    "Q3_abcdefghijk_0",
    "Q1_abcdefghijk_1",
    "f" * 32,
)
SONGS = pa.table(
    {
        "song_id": [f"mine:{key}" for key in KEYS_OF_SONGS] + ["lpd5:other"],
        "source": ["mine"] * 6 + ["lpd5"],
        "source_key": [*KEYS_OF_SONGS, "other"],
    }
)


def own(**settings: Any) -> OwnLabels:
    return OwnLabels(**{**TERMS, "table": "labels.csv", **settings})


def labelled(text: str, **settings: Any) -> tuple[dict[str, Any], dict[int, str]]:
    """(valence, arousal) by source_key, and why rows are refused by their number."""
    table = label_songs_by_table("us", own(**settings), text.encode(), SONGS)
    rows = table.songs.to_pylist()
    found = {row["song_id"][5:]: (row["valence"], row["arousal"]) for row in rows}
    return found, {row["row"]: row["why"] for row in table.refused.to_pylist()}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a/one.mid", "a/one"),
        ("/data/mine/a/one.mid", "a/one"),
        ("data\\mine\\b\\one.MID", "b/one"),
        ("two", "b/two"),
        ("midi/two.midi", ""),
        ("x/" + "f" * 32 + ".mid", "f" * 32),
    ],
)
def test_a_file_is_found_as_far_as_both_paths_go(name: str, key: str) -> None:
    text = f"file,valence,arousal\n{name},.25,.75\nQ3_abcdefghijk_0.mid,1,1"
    found, refused = labelled(text)
    assert found.get(key) == ((0.25, 0.75) if key else None)
    assert list(refused.values()) == ([] if key else ["no song of that name was read"])


def test_a_name_that_two_songs_bear_is_refused() -> None:
    found, refused = labelled("file,quadrant\none.mid,Q1\ntwo,Q2")
    assert found == {"b/two": (0, 1)} and refused == {1: "2 songs have that name"}


def test_songs_md5s_and_other_names_of_columns() -> None:
    text = "id;v;a\nmine:b/two;1;9\nlpd5:other;5;5"
    columns = {"song_id": "id", "valence": "v", "arousal": "a"}
    found, _ = labelled(text, columns=columns, scale=(1.0, 9.0))
    assert found == {"b/two": (0.0, 1.0), "other": (0.5, 0.5)}
    found, _ = labelled(f"md5\tquadrant\n{'f' * 32}\tcalm")
    assert found == {"f" * 32: (1.0, 0.0)}


def test_parquet_says_what_csv_says() -> None:
    columns = {"file": ["two", "a/one"], "valence": [0.1, None], "arousal": [0.9, None]}
    stream = io.BytesIO()
    pq.write_table(pa.table({**columns, "group": ["x", "x"]}), stream)
    table = label_songs_by_table("us", own(table="l.parquet"), stream.getvalue(), SONGS)
    assert table.songs.select(["song_id", "valence", "group"]).to_pylist() == [
        {"song_id": "mine:a/one", "valence": None, "group": "x"},
        {"song_id": "mine:b/two", "valence": 0.1, "group": "x"},
    ]


def test_names_say_quadrants_groups_and_splits() -> None:
    pattern = r"Q(?P<quadrant>[1-4])_(?P<song>.{11})_"
    table = label_songs_by_table(
        "emopia", own(table="", label_pattern=pattern, source="mine"), None, SONGS
    )
    assert not len(table.refused)
    rows = {row["song_id"]: row for row in table.songs.to_pylist()}
    assert len(rows) == 2
    assert rows["mine:Q3_abcdefghijk_0"]["valence"] == 0
    assert rows["mine:Q1_abcdefghijk_1"]["group"] == "abcdefghijk"
    keys = own_keys(table.songs, KEYS)
    assert keys["key"].unique().to_pylist() == ["own:emopia:abcdefghijk"]


@pytest.mark.parametrize(
    ("text", "pattern", "classes"),
    [
        ("file,quadrant\ntwo,Q1", "", True),
        ("file,valence_class,arousal_class\ntwo,1,0", "", True),
        ("file,valence,arousal\ntwo,1,0", "", False),
        ("file,valence,arousal,quadrant\ntwo,1,0,\na/one,,,Q2", "", True),
        ("file,group\ntwo,x", "", False),
        ("file,group\ntwo,x", "Q(?P<quadrant>[1-4])", True),
        ("", "Q(?P<quadrant>[1-4])", True),
        ("", "_(?P<song>.{11})", False),
    ],
)
def test_classes_without_numbers_are_noticed_before_songs_are(
    text: str, pattern: str, classes: bool
) -> None:
    settings = own(table="labels.csv" if text else "", label_pattern=pattern)
    assert gives_classes(settings, text.encode() if text else None) is classes


def test_a_table_and_a_pattern_together() -> None:
    text = "file,quadrant,split\nQ3_abcdefghijk_0.mid,Q2,val\nQ1_abcdefghijk_1.mid,Q1,train"
    pattern = r"Q(?P<quadrant>\d)_(?P<group>.{11})_"
    table = label_songs_by_table("us", own(label_pattern=pattern), text.encode(), SONGS)
    # What the table says goes before what the name says
    assert table.songs["valence"].to_pylist() == [1.0, 0.0]
    assert own_splits(table.songs)["split"].to_pylist() == ["train", "validation"]


def test_words_of_emotion_take_the_quadrants_they_are_given() -> None:
    text = "file,emotion\ntwo,Angry\na/one,warm"
    found, refused = labelled(text, emotions={"angry": "tense"})
    assert found == {"b/two": (0.0, 1.0)}
    assert refused == {2: "no quadrant is known for it: warm"}


def test_what_cannot_be_used_is_refused_with_its_reason() -> None:
    text = (
        "file,valence,arousal,split\ntwo,0.5,0.5,\nnobody,1,1,\na/one,7,0,\na/one,x,0,\n"
        "a/one,,1,\na/one,inf,1,\na/one,1,1,later\nb/one,.1,.2,\nb/one,.1,.3,\ntwo,.5,.5,"
    )
    found, refused = labelled(text)
    assert found == {"b/two": (0.5, 0.5)}
    assert refused == {
        2: "no song of that name was read",
        3: "valence is outside its scale 0 to 1: 7",
        4: "valence is not a number: x",
        5: "it has valence or arousal and not both",
        6: "valence is not a number: inf",
        7: "its split is none: later",
        8: "another row gives this song other labels",
        9: "another row gives this song other labels",
        10: "an earlier row gives this song the same labels",
    }


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=6))
def test_ranks_are_the_share_below_and_half_of_equals(
    values: list[tuple[int, int]],
) -> None:
    rows = [
        f"mine:{key},{v},{a}" for key, (v, a) in zip(KEYS_OF_SONGS, values, strict=False)
    ]
    found, _ = labelled("\n".join(["song_id,valence,arousal", *rows]), scale="rank")
    for key, value in zip(KEYS_OF_SONGS, values, strict=False):
        for axis in (0, 1):
            others = [one[axis] for one in values]
            below = sum(one < value[axis] for one in others)
            equal = others.count(value[axis])
            assert found[key][axis] == pytest.approx((below + equal / 2) / len(others))


def test_deezers_table_goes_by_track_and_rank() -> None:
    text = (
        "dzr_sng_id,MSD_sng_id,MSD_track_id,valence,arousal,artist_name,track_name\n"
        "1,SO,TRGVJCD128F42623E3,-0.4,1.7,A,B\n2,SO,TRNXMAY128F931FAC6,2,-3,C,D\n3,SO,none,0,0,E,F"
    )
    table = label_tracks_by_table(
        "deezer", own(columns={"track_id": "MSD_track_id"}, scale="rank"), text.encode()
    )
    assert table and table.labels.schema == LABELS
    assert table.labels["valence"].to_pylist() == [0.25, 0.75]
    assert table.labels["source"].to_pylist() == ["deezer"] * 2
    assert len(table.refused) == 1
    assert label_tracks_by_table("us", own(), b"file,valence,arousal\na,1,1") is None


def test_own_labels_go_before_all_others() -> None:
    from pipelines.labels.settle import LABELLED

    row = dict.fromkeys(LABELLED.names)
    matched = [
        {**row, "song_id": "a", "valence": 0.9, "arousal": 0.9, "label_source": "t:agree"},
        {**row, "song_id": "b", "valence": 0.4, "arousal": 0.3, "label_source": "t:agree"},
    ]
    none = {"group": None, "split": None}
    tables = [
        {"song_id": "a", "valence": 0.0, "arousal": 1.0, "source": "us", **none},
        {"song_id": "a", "valence": 1.0, "arousal": 1.0, "source": "them", **none},
        {"song_id": "b", "valence": None, "arousal": None, "source": "us", **none},
    ]
    found = with_own_labels(
        pa.Table.from_pylist(matched, LABELLED), pa.Table.from_pylist(tables, OWN)
    ).to_pylist()
    assert [(one["valence"], one["label_source"]) for one in found] == [
        (0.0, "us:own"),
        (0.4, "t:agree"),
    ]
    assert found[0]["trusted"] and found[0]["label_trust"] == 1.0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"license": " "}, "license and citation must say something"),
        ({"columns": {"valance": "v"}}, "columns: no 'valance'"),
        ({"scale": (1.0, 1.0)}, r"scale must be \[low, high\]"),
        ({"scale": "ranks"}, r"scale must be \[low, high\]"),
        ({"emotions": {"warm": "cosy"}}, "warm is happy, tense, sad, calm, not 'cosy'"),
        ({"label_pattern": "Q(?P<quadrant>[1-4]"}, "is no pattern"),
        ({"label_pattern": "Q([1-4])"}, "label_pattern has no group"),
        ({"label_pattern": "(?P<mood>.)"}, r"label_pattern has \(\?P<mood>"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        own(**settings)


@pytest.mark.parametrize(
    ("text", "settings", "says"),
    [
        ("file,valence,arousal\n", {}, "has no rows"),
        ("title,valence\nx,1", {}, "lacks a column song_id, file, md5, track_id"),
        ("file,v\ntwo,1", {"columns": {"valence": "w"}}, "lacks the column w that columns"),
        ("file,valence,arousal\nno,1,1", {}, r"labels none of the songs \(no: no song of"),
        ("file,quadrant\ntwo,Q7", {}, "no quadrant is known for it: q7"),
        ("file,quadrant\ntwo,Q1", {"source": "yours"}, "no song of source 'yours'"),
        (
            "file,quadrant\ntwo,Q1",
            {"label_pattern": "(?P<group>zz)"},
            "matches none of 7 songs",
        ),
    ],
)
def test_tables_that_cannot_be_used(text: str, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        labelled(text, **settings)
