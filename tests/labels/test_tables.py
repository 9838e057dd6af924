"""Label tables: real and hostile ones, refusals by row, preference, and labels by
Spotify id."""

import csv
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.labels.tables import LABELS, LINKS, REFUSED, prefer, read_labels

TRACKS = [f"TRAAAAA{index:011X}" for index in range(9)]
SPOTIFY = [f"{index:022d}" for index in range(4)]


def table(
    *rows: str,
    header: str = "track_id,valence,energy",
    name: str = "tables/mine.csv",
    **options,
):
    return read_labels("\n".join([header, *rows]).encode(), name, **options)


def test_the_real_table_row_by_row(real_data):
    read = read_labels(
        (real_data / "msd_spotify_features.csv").read_bytes(), "msd_spotify_features.csv"
    )
    with (real_data / "msd_spotify_features.csv").open(
        newline="", encoding="utf-8"
    ) as file:
        rows = list(csv.DictReader(file))
    expected = [
        {"key": "track_id", "id": row["track_id"], "valence": float(row["valence"]), "arousal": float(row["energy"]),
         "source": "msd_spotify_features"}
        for row in rows if row["valence"] and float(row["valence"]) != 0
    ]  # fmt: skip
    assert read.labels.to_pylist() == expected
    assert len(read.refused) == 0 and read.n_missing == len(rows) - len(expected) == 332
    assert read.tracks["artist"].to_pylist() == [row["artist"] for row in rows]
    assert len(read.links) == sum(len(row["spotify_ids"].split()) for row in rows)


def test_zero_valence_may_count(real_data):
    data = (real_data / "msd_spotify_features.csv").read_bytes()
    assert read_labels(data, "x.csv", zero_is_missing=False).n_missing == 315


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (f"{TRACKS[0]},7,0.5", "valence is not in [0, 1]: 7"),
        (f"{TRACKS[0]},0.5,-0.01", "energy is not in [0, 1]: -0.01"),
        (f"{TRACKS[0]},high,0.5", "valence is not a number: high"),
        (f"{TRACKS[0]},0.5,inf", "energy is not a number: inf"),
        (f"{TRACKS[0]},1e-400000,1e400", "energy is not in [0, 1]: 1e400"),
        (f"{TRACKS[0]},__import__('os'),0.5", "valence is not a number"),
        ("TR1,0.5,0.5", "its id is missing"),
        (",0.5,0.5", "its id is missing"),
        ("\u0662,0.5,0.5", "its id is missing"),
        (f"{TRACKS[0]},\u0660.\u0665,0.5", "valence is not a number"),
    ],
)
def test_a_bad_row_is_refused_and_the_rest_stays(row, why):
    read = table(f"{TRACKS[1]},0.1,0.2", row, f"{TRACKS[2]},0.3,0.4")
    assert read.labels["id"].to_pylist() == [TRACKS[1], TRACKS[2]]
    assert read.refused.schema == REFUSED
    (refused,) = read.refused.to_pylist()
    assert (refused["file"], refused["row"]) == ("tables/mine.csv", 2) and refused[
        "why"
    ].startswith(why)


def test_doubled_ids():
    read = table(
        f"{TRACKS[0]},0.1,0.2", f"{TRACKS[1]},0.5,0.5", f"{TRACKS[0]},0.1,0.3", f"{TRACKS[1]},0.5,0.5",
        f"{TRACKS[2]},,", f"{TRACKS[2]},0.5,0.5", f"{TRACKS[3]},9,9", f"{TRACKS[3]},0.4,0.4",
    )  # fmt: skip
    assert read.labels["id"].to_pylist() == [TRACKS[1], TRACKS[3]]
    assert [(row["row"], row["why"].split(" ")[0]) for row in read.refused.to_pylist()] == [
        (1, "another"), (3, "another"), (4, "an"), (5, "another"), (6, "another"), (7, "valence"),
    ]  # fmt: skip


def test_missing_values_are_counted_not_refused():
    read = table(
        *(
            f"{TRACKS[index]},{value},0.5"
            for index, value in enumerate(["", "nan", "NA", "null", " ", "0.0", "0"])
        )
    )
    assert (len(read.labels), len(read.refused), read.n_missing) == (0, 0, 7)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cannot be read"),
        (b"track_id,valence\nx,0.5\n", "lacks a column energy"),
        (
            b"name,valence,energy\nx,0.5,0.5\n",
            "lacks a column one of md5, track_id, spotify_id",
        ),
        (b"track_id,valence,energy\n", "has no rows"),
        (b"track_id,valence,energy\nx,0.5\n", "cannot be read"),
        (b"track_id,valence,valence,energy\nx,1,1,1\n", "twice"),
        (b"\x89HDF\r\n\x1a\n\x00\x00", "cannot be read|lacks a column"),
        (
            "track_id,valence,energy\nTR\u00e9,0.5,0.5\n".encode("utf-16"),
            "cannot be read|lacks a column",
        ),
    ],
)
def test_a_file_that_is_no_label_table_is_one_sentence(data, says):
    with pytest.raises(ValueError, match=says) as error:
        read_labels(data, "bad.csv")
    assert str(error.value).startswith("bad.csv")


def test_bytes_that_are_no_utf8_cost_rows_or_the_file_never_a_crash():
    with pytest.raises(ValueError, match=r"bad\.csv cannot be read"):
        read_labels(b"track_id,valence,energy\n\xff\xfe,0.5,0.5\n", "bad.csv")


def parquet(**columns) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_parquet_of_any_numeric_type():
    data = parquet(
        track_id=pa.array(TRACKS[:3]).dictionary_encode(), valence=pa.array([0.5, None, 2.0], pa.float32()),
        energy=pa.array([1, 0, 1], pa.int8()), source=["a", "b", None],
    )  # fmt: skip
    read = read_labels(data, "x.parquet")
    assert read.labels.to_pylist() == [
        {"key": "track_id", "id": TRACKS[0], "valence": 0.5, "arousal": 1.0, "source": "a"}
    ]
    assert (len(read.refused), read.n_missing) == (1, 1)


def test_parquet_of_another_type_is_refused_or_missing():
    with pytest.raises(ValueError, match="cannot be read"):
        read_labels(b"PAR1nonsense", "x.parquet")
    read = read_labels(
        parquet(track_id=TRACKS[:1], valence=[[0.5]], energy=[0.5]), "x.parquet"
    )
    assert len(read.labels) == 0


def test_values_come_through_to_the_last_bit():
    values = [0.1, 1 / 3, 5e-324, 0.9999999999999999]
    data = parquet(track_id=TRACKS[:4], valence=values, energy=values)
    assert read_labels(data, "x.parquet").labels["valence"].to_pylist() == values


def test_the_first_table_that_has_a_label_wins():
    first, second = (
        table(f"{TRACKS[0]},0.1,0.1", f"{TRACKS[1]},,"),
        table(f"{TRACKS[0]},0.9,0.9", f"{TRACKS[1]},0.8,0.8", name="second.csv"),
    )
    labels = prefer([first, second])
    assert [(row["id"], row["valence"], row["source"]) for row in labels.to_pylist()] == [
        (TRACKS[0], 0.1, "mine"), (TRACKS[1], 0.8, "second"),
    ]  # fmt: skip
    assert labels.schema == LABELS == prefer([]).schema


def test_blanks_around_an_id_are_no_part_of_it():
    read = table(
        f" {TRACKS[0]} ,0.1,0.1,One, {SPOTIFY[0]} ",
        header="track_id,valence,energy,title,spotify_id",
    )
    for ids in (read.labels["id"], read.tracks["track_id"], read.links["track_id"]):
        assert ids.to_pylist() == TRACKS[:1]
    assert read.links["spotify_id"].to_pylist() == SPOTIFY[:1]


def test_labels_by_md5():
    labels = prefer(
        [
            table(f"{'a' * 32},0.1,0.1", header="md5,valence,energy"),
            table(f"{TRACKS[0]},0.9,0.9"),
        ]
    )
    assert labels["key"].to_pylist() == ["md5", "track_id"]


def test_labels_by_spotify_id_become_labels_of_the_tracks_linked_to_it():
    tracks = table(
        f"{TRACKS[0]},{SPOTIFY[1]} {SPOTIFY[0]},,", f"{TRACKS[1]},{SPOTIFY[0]},,", f"{TRACKS[2]},,0.7,0.7",
        header="track_id,spotify_ids,valence,energy",
    )  # fmt: skip
    assert tracks.links.schema == LINKS
    spotify = table(
        f"{SPOTIFY[0]},0.1,0.1", f"{SPOTIFY[1]},0.2,0.2", f"{SPOTIFY[2]},0.3,0.3",
        header="spotify_id,valence,energy", name="spotify.csv",
    )  # fmt: skip
    assert [(row["id"], row["valence"]) for row in prefer([spotify, tracks]).to_pylist()] == [
        (TRACKS[0], 0.2), (TRACKS[1], 0.1), (TRACKS[2], 0.7),
    ]  # fmt: skip
