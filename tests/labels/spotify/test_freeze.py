"""freeze-spotify: the match rule, the table, and runs that stop and go on, against a local
server."""

import json
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.labels.spotify.client import Found, Manners, SpotifyApi, SpotifyError
from pipelines.labels.spotify.freeze import (
    FROZEN,
    FreezeConfig,
    best_match,
    freeze,
    queries,
)
from pipelines.labels.tables import read_labels
from pipelines.labels.tracks import conform

N = 110
TRACKS = [f"TRAAAAA{index:011X}" for index in range(N)]
IDS = [f"{index:022d}" for index in range(N)]
WORDS = [
    "".join(chr(97 + int(digit)) for digit in f"{index * 7919 % 100_000:05d}")
    for index in range(N)
]
TODAY = "2026-11-20"


@pytest.fixture
def fake(fake_spotify):
    fake_spotify.tracks = {
        IDS[index]: (f"Song {WORDS[index]}", ["The Band"], "", 200.0) for index in range(N)
    }
    fake_spotify.values = {IDS[index]: (index / N, 1 - index / N) for index in range(N)}
    return fake_spotify


def tracks(n: int) -> pa.Table:
    titles = [f"Song {word} (Album Version)" for word in WORDS[:n]]
    return conform(
        pa.table({"track_id": TRACKS[:n], "artist": ["Band"] * n, "title": titles})
    )


def api(fake, **manners) -> SpotifyApi:
    return SpotifyApi(
        Manners(**{"tries": 3} | manners),
        lambda _: None,
        f"{fake.url}/v1/",
        f"{fake.url}/api/token",
    )


def run(fake, out, n=5, given=None, config=None, today=TODAY, **manners) -> pa.Table:
    return freeze(
        tracks(n),
        given or {},
        api(fake, **manners),
        str(out),
        config or FreezeConfig(),
        today,
    )


def asked_for(fake) -> list[str]:
    """What was searched and of which ids features were asked, whatever the batches."""
    queries = [parse_qs(urlsplit(target).query) for target in fake.asked]
    return sorted(
        one for query in queries for one in query.get("q") or query["ids"][0].split(",")
    )


def test_the_frozen_table(fake, tmp_path):
    table = run(fake, tmp_path / "x.parquet", 105)
    assert table.schema == FROZEN and table["track_id"].to_pylist() == TRACKS[:105]
    assert table["spotify_id"].to_pylist() == IDS[:105]
    assert table["valence"].to_pylist() == [index / N for index in range(105)]
    assert table.to_pylist()[1] == {
        "track_id": TRACKS[1], "spotify_id": IDS[1], "valence": 1 / N, "energy": 1 - 1 / N, "source": "spotify",
        "query": f"track:Song {WORDS[1]} (Album Version) artist:Band", "matched_artist": "The Band",
        "matched_title": f"Song {WORDS[1]}", "matched_release": "", "similarity": 1.0, "date": TODAY,
    }  # fmt: skip
    # One track, then a hundred at a time.
    assert sum("audio-features" in path for path in fake.asked) == 3
    labels = read_labels((tmp_path / "x.parquet").read_bytes(), "x.parquet")
    assert len(labels.labels) == 104 and labels.n_missing == 1 and len(labels.refused) == 0


def test_the_same_answers_give_the_same_bytes(fake, tmp_path):
    run(fake, tmp_path / "x.parquet")
    run(fake, tmp_path / "y.parquet")
    assert (tmp_path / "x.parquet").read_bytes() == (tmp_path / "y.parquet").read_bytes()


def test_a_run_cut_anywhere_goes_on_and_fetches_nothing_twice(fake, tmp_path):
    whole = run(fake, tmp_path / "whole.parquet", 30)
    requests, fake.asked = asked_for(fake), []
    for budget in (1, 2, 5, 11):
        with pytest.raises(SpotifyError, match="run again"):
            run(fake, tmp_path / "x.parquet", 30, budget=budget)
        assert not (tmp_path / "x.parquet").exists()
        # Killed while it wrote a line.
        with (tmp_path / "x.parquet.journal").open("a") as file:
            file.write('{"track_id": "TR')
    assert run(fake, tmp_path / "x.parquet", 30).equals(whole)
    assert asked_for(fake) == requests
    fake.asked = []
    assert run(fake, tmp_path / "x.parquet", 30, today="2027-01-01").equals(whole)
    assert fake.asked == []


def test_more_tracks_later_fetch_only_those(fake, tmp_path):
    run(fake, tmp_path / "x.parquet", 5)
    fake.asked = []
    table = run(fake, tmp_path / "x.parquet", 7, today="2027-01-01")
    assert table["date"].to_pylist() == [TODAY] * 5 + ["2027-01-01"] * 2
    assert sum("search" in path for path in fake.asked) == 2


def test_a_refusal_of_features_costs_one_search_and_writes_no_table(fake, tmp_path):
    fake.tricks = [None, 403]
    with pytest.raises(SpotifyError, match="use a frozen label table"):
        run(fake, tmp_path / "x.parquet", 100)
    assert len(fake.asked) == 2 and not (tmp_path / "x.parquet").exists()


@pytest.mark.parametrize("trick", ["stale", "half", 500])
def test_a_bad_answer_never_gives_a_track_the_values_of_another(fake, tmp_path, trick):
    fake.tricks = [None, None, *[trick, None] * 60]
    table = run(fake, tmp_path / "x.parquet", 30)
    assert table["spotify_id"].to_pylist() == IDS[:30]
    assert table["valence"].to_pylist() == [index / N for index in range(30)]


def test_what_is_not_found_is_a_row_without_values_and_is_not_asked_again(fake, tmp_path):
    del fake.tracks[IDS[1]], fake.values[IDS[2]]
    table = run(fake, tmp_path / "x.parquet", 3)
    assert table["spotify_id"].to_pylist() == [IDS[0], None, IDS[2]]
    assert table["valence"].to_pylist() == [0.0, None, None]
    fake.asked = []
    run(fake, tmp_path / "x.parquet", 3)
    assert fake.asked == []


def test_given_ids_are_not_searched(fake, tmp_path):
    table = run(
        fake, tmp_path / "x.parquet", 2, given={TRACKS[0]: IDS[9], TRACKS[1]: IDS[9]}
    )
    assert (
        table["valence"].to_pylist() == [9 / N] * 2
        and table["query"].to_pylist() == ["given id"] * 2
    )
    assert len(fake.asked) == 1


def test_tracks_without_a_name_are_not_searched(fake, tmp_path):
    nameless = conform(pa.table({"track_id": TRACKS[:1]}))
    table = freeze(
        nameless, {}, api(fake), str(tmp_path / "x.parquet"), FreezeConfig(), TODAY
    )
    assert table["spotify_id"].to_pylist() == [None] and fake.asked == []


def test_a_journal_of_other_settings_or_of_nothing_is_refused(fake, tmp_path):
    run(fake, tmp_path / "x.parquet", 1)
    with pytest.raises(ValueError, match="was kept under other settings"):
        run(fake, tmp_path / "x.parquet", 1, config=FreezeConfig(min_similarity=0.5))
    (tmp_path / "y.parquet.journal").write_text("not a journal\n")
    with pytest.raises(ValueError, match=r"y\.parquet\.journal is no journal"):
        run(fake, tmp_path / "y.parquet", 1)


def test_nothing_to_freeze(fake, tmp_path):
    assert run(fake, tmp_path / "x.parquet", 0).equals(FROZEN.empty_table())
    assert pq.read_table(tmp_path / "x.parquet").equals(FROZEN.empty_table())


ROW = {
    "title": "One (Live)",
    "artist": "The A & B",
    "release": "Best of",
    "duration": 200.0,
}


@pytest.mark.parametrize(
    ("others", "likeness"),
    [
        ([Found("x", "Two", ("A and B",), "Best of", 200)], 1.0),
        ([Found("x", "One", ("Tribute Players",), "Best of", 200)], 1.0),
        ([Found("x", "One", ("A and B",), "Other", 200)], 1.0),
        ([Found("x", "One", ("A and B",), "Best Of", 200)], 1.0),
        ([Found("x", "One (Live)", ("A and B",), "Best Of", 230)], 1.0),
    ],
)
def test_the_likest_is_taken(others, likeness):
    right = Found("right", "One (Live)", ("C", "A & B"), "Best Of", 199)
    for found in ([*others, right], [right, *others]):
        assert best_match(ROW, found) == (right, likeness)


def test_ties_go_to_spotifys_first():
    same = [Found(name, "One", ("A & B",), "", 200) for name in "ab"]
    assert best_match(ROW, same)[0].spotify_id == "a"
    assert best_match(ROW, []) is None
    assert best_match(ROW, [Found("x", "One", (), "", 1)])[1] == 0.0


def test_queries_from_particular_to_plain():
    assert list(queries(ROW)) == [
        "track:One (Live) artist:The A & B album:Best of", "track:One (Live) artist:The A & B", "a and b one",
    ]  # fmt: skip
    assert (
        next(queries({"title": 'a" artist:x', "artist": "b", "release": None}))
        == "track:a artist x artist:b"
    )
    assert (
        len(next(queries({"title": "x" * 500, "artist": "y" * 500, "release": "z" * 500})))
        < 270
    )


def test_the_journal_is_lines_of_json(fake, tmp_path):
    run(fake, tmp_path / "x.parquet", 2)
    lines = [
        json.loads(line)
        for line in (tmp_path / "x.parquet.journal").read_text().splitlines()
    ]
    assert lines[0] == {"config": {"min_similarity": 0.8, "search_limit": 10}}
    assert {line.get("track_id") or line.get("features_of") for line in lines[1:]} == {
        *TRACKS[:2],
        *IDS[:2],
    }
