"""MSD's HDF5: the real sample, files written here, and damaged or hostile ones."""

import io
import random

import h5py
import numpy as np
import pytest

from pipelines.labels.msd import read_segments, read_tracks, track_path, write_track
from pipelines.labels.tracks import TRACKS
from schemas.reject import BadInput

TRACK = {
    "track_id": "TRAAABD128F429CF47", "song_id": "SOCIWDW12A8C13D406", "artist": "Søren", "title": "Soul Deep",
    "release": "Dimensions", "year": 1969, "duration": 148.0, "tempo": 121.25, "key": 6, "key_confidence": 0.25,
    "mode": 0, "mode_confidence": 0.5,
}  # fmt: skip


def written(track=TRACK, starts=(0.0, 0.5), pitches=None) -> bytes:
    sink = io.BytesIO()
    write_track(
        sink,
        track,
        np.array(starts),
        np.full((len(starts), 12), 0.5) if pitches is None else pitches,
    )
    return sink.getvalue()


def test_what_is_written_is_read():
    table = read_tracks(written())
    assert table.schema == TRACKS and table.to_pylist() == [TRACK]
    starts, pitches, seconds = read_segments(written())
    assert (starts.tolist(), pitches.tolist(), seconds) == (
        [0.0, 0.5],
        [[0.5] * 12] * 2,
        148.0,
    )


def test_what_msd_does_not_know_is_null(tmp_path):
    path = tmp_path / "x.h5"
    write_track(str(path), {"track_id": "TRX"}, np.zeros(1), np.zeros((1, 12)))
    (row,) = read_tracks(path.read_bytes()).to_pylist()
    assert {name for name, value in row.items() if value is None} == {
        "song_id", "artist", "title", "release", "year", "duration", "tempo",
    }  # fmt: skip


def test_same_values_same_bytes():
    assert written() == written()


def test_the_real_sample(msd_root):
    paths = sorted(msd_root.rglob("*.h5"))
    for path in paths:
        (row,) = read_tracks(path.read_bytes()).to_pylist()
        assert path == msd_root / track_path(row["track_id"])
        with h5py.File(path) as file:
            names, music = file["metadata/songs"][0], file["analysis/songs"][0]
            assert (row["artist"].encode(), row["title"].encode()) == (
                names["artist_name"],
                names["title"],
            )
            assert (row["duration"], row["key"]) == (music["duration"], music["key"])
            assert row["year"] == (file["musicbrainz/songs"][0]["year"] or None)
            starts, pitches, seconds = read_segments(path.read_bytes())
            assert (
                np.array_equal(pitches, file["analysis/segments_pitches"][()])
                and seconds == music["duration"]
            )
            assert len(starts) == len(pitches)
    assert len(paths) == 63


def test_the_summary_file_has_a_row_a_track(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.labels.msd.SLICE", 4)
    path = tmp_path / "summary.h5"
    with h5py.File(io.BytesIO(written())) as one, h5py.File(path, "w") as file:
        for table in ("metadata/songs", "analysis/songs", "musicbrainz/songs"):
            rows = np.repeat(one[table][()], 10)
            if table == "analysis/songs":
                rows["track_id"] = [f"TR{index}".encode() for index in range(10)]
            file[table] = rows
    with path.open("rb") as file:
        table = read_tracks(file)
    assert table["track_id"].to_pylist() == [f"TR{index}" for index in range(10)]
    assert table["title"].to_pylist() == ["Soul Deep"] * 10
    with (
        path.open("rb") as file,
        pytest.raises(BadInput, match="segments_start is not there"),
    ):
        read_segments(file)


@pytest.mark.parametrize(
    "data", [b"", b"not HDF5", written()[:3000], written()[: len(written()) // 2]]
)
def test_a_file_that_is_no_hdf5_is_bad_input(data):
    for read in (read_tracks, read_segments):
        with pytest.raises(BadInput, match="not"):
            read(data)


def changed(change) -> bytes:
    sink = io.BytesIO(written())
    with h5py.File(sink, "r+") as file:
        change(file)
    return sink.getvalue()


def replace(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return change


@pytest.mark.parametrize("name", ["metadata", "analysis/songs", "musicbrainz/songs"])
def test_a_missing_table_is_bad_input(name):
    with pytest.raises(BadInput, match="is not there"):
        read_tracks(changed(lambda file: file.__delitem__(name)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("analysis/segments_pitches", np.zeros((2, 11))), ("analysis/segments_pitches", np.full((2, 12), 7.0)),
        ("analysis/segments_pitches", np.full((2, 12), np.nan)), ("analysis/segments_start", np.array([1.0, 0.5])),
        ("analysis/segments_start", np.array([-1.0, 0.5])), ("analysis/segments_start", np.zeros((2, 1))),
        ("analysis/segments_start", np.zeros(0)), ("analysis/songs", np.zeros(1)),
    ],
)  # fmt: skip
def test_segments_that_are_no_such_numbers_are_bad_input(name, value):
    with pytest.raises(BadInput):
        read_segments(changed(replace(name, value)))


def test_tables_of_unlike_length_are_bad_input():
    year = np.zeros(2, [("year", "<i4")])
    with pytest.raises(BadInput, match="shapes"):
        read_tracks(changed(replace("musicbrainz/songs", year)))


def test_a_claim_of_a_billion_segments_takes_no_memory():
    def change(file):
        del file["analysis/segments_start"], file["analysis/segments_pitches"]
        file.create_dataset(
            "analysis/segments_start", shape=(10**9,), dtype="<f8", chunks=(1024,)
        )
        file.create_dataset(
            "analysis/segments_pitches", shape=(10**9, 12), dtype="<f8", chunks=(1024, 12)
        )

    with pytest.raises(BadInput, match="segments_start"):
        read_segments(changed(change))


def test_a_claim_of_a_billion_songs_takes_no_memory():
    def change(file):
        kind = file["analysis/songs"].dtype
        del file["analysis/songs"]
        file.create_dataset("analysis/songs", shape=(10**12,), dtype=kind, chunks=(64,))

    with pytest.raises(BadInput, match="duration"):
        read_segments(changed(change))
    with pytest.raises(BadInput, match="shapes"):
        read_tracks(changed(change))


@pytest.mark.parametrize(
    ("title", "chunks"),
    [("S100000", (1,)), ("S1024", (1_000_000,)), ("<i4", (1,)), (("S8", (2,)), (1,))],
)
def test_a_row_of_another_form_is_bad_input(title, chunks):
    kind = np.dtype([("title", *title)] if isinstance(title, tuple) else [("title", title)])

    def change(file):
        del file["metadata/songs"]
        file.create_dataset(
            "metadata/songs", shape=(1,), maxshape=(None,), dtype=kind, chunks=chunks
        )

    with pytest.raises(BadInput):
        read_tracks(changed(change))


@pytest.mark.parametrize("duration", [np.inf, np.nan, 0.0, -1.0, 1e9])
def test_a_duration_that_is_none_is_bad_input(duration):
    with pytest.raises(BadInput, match="duration"):
        read_segments(written(TRACK | {"duration": duration}))


def test_links_to_other_files_are_not_followed(tmp_path):
    other = tmp_path / "secret.h5"
    other.write_bytes(written())

    def link(file):
        del file["analysis/songs"]
        file["analysis/songs"] = h5py.ExternalLink(str(other), "analysis/songs")

    with pytest.raises(BadInput, match="is not there"):
        read_tracks(changed(link))


def test_damage_is_bad_input_or_other_values_never_another_error():
    rng, data, bad = random.Random(0), written(), 0
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 3, 10])):
            damaged[rng.randrange(len(data))] = rng.randrange(256)
        for read in (read_tracks, read_segments):
            try:
                read(bytes(damaged))
            except BadInput:
                bad += 1
    assert bad > 50
