"""unique_tracks.txt, and the merge of several lists against a loop."""

import pyarrow as pa
import pytest

from pipelines.labels.tracks import (
    TRACKS,
    conform,
    first_of_each,
    merge_tracks,
    read_unique_tracks,
)


def test_unique_tracks():
    data = "TR1<SEP>SO1<SEP>Faster Pussy cat<SEP>Silent Night\nTR2<SEP>SO2<SEP>Søren<SEP>A<SEP>B\n".encode()
    table = read_unique_tracks(data, "unique_tracks.txt")
    assert table.schema == TRACKS
    assert table.select(["track_id", "song_id", "artist", "title"]).to_pylist() == [
        {
            "track_id": "TR1",
            "song_id": "SO1",
            "artist": "Faster Pussy cat",
            "title": "Silent Night",
        },
        {"track_id": "TR2", "song_id": "SO2", "artist": "Søren", "title": "A<SEP>B"},
    ]
    assert table["duration"].null_count == 2


def test_a_line_separator_within_a_title_ends_no_line():
    assert (
        len(read_unique_tracks("TR1<SEP>SO1<SEP>A<SEP>B\u2028C\x0bD\n".encode(), "u.txt"))
        == 1
    )


@pytest.mark.parametrize(
    "data", [b"", b"TR1,SO1,A,B\n", b"TR1<SEP>SO1<SEP>A\n", b"\xff<SEP><SEP><SEP>\n"]
)
def test_another_file_is_one_sentence(data):
    with pytest.raises(ValueError, match=r"^u\.txt is not MSD's unique_tracks\.txt"):
        read_unique_tracks(data, "u.txt")


def test_merge_takes_each_value_from_the_first_that_has_it():
    one = pa.table(
        {
            "track_id": ["TR2", "TR1", "TR1"],
            "title": [None, "one", "again"],
            "tempo": [100.0, None, 7.0],
        }
    )
    two = pa.table(
        {
            "track_id": ["TR1", "TR2", "TR3"],
            "title": ["uno", "dos", "tres"],
            "tempo": [1.0, 2.0, None],
        }
    )
    merged = merge_tracks([one, two])
    assert merged.schema == TRACKS
    assert merged.select(["track_id", "title", "tempo"]).to_pylist() == [
        {"track_id": "TR1", "title": "one", "tempo": 1.0},
        {"track_id": "TR2", "title": "dos", "tempo": 100.0},
        {"track_id": "TR3", "title": "tres", "tempo": None},
    ]


def test_merge_of_nothing_and_of_rows_without_an_id():
    assert merge_tracks([]).schema == TRACKS
    table = conform(pa.table({"track_id": [None, "TR1"], "other": [1, 2]}))
    assert first_of_each(table)["track_id"].to_pylist() == ["TR1"]
