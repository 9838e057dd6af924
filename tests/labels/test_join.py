"""The join: real labels recomputed by hand, buckets, own labels, names, trust, and what
must be refused."""

import csv
import itertools
import re
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.labels.config import AffectConfig
from pipelines.labels.join import (
    CHROMA,
    NAMES,
    Inputs,
    join_all,
    join_tracks,
    label_songs,
)
from pipelines.labels.matches import MATCHES, merge_matches, read_matches
from pipelines.labels.names import read_names
from pipelines.labels.settle import LABELLED
from pipelines.labels.tables import LABELS, prefer, read_labels
from pipelines.labels.tracks import merge_tracks

TRACKS = [f"TRAAAAA{index:011X}" for index in range(9)]


@pytest.fixture(scope="module")
def real(real_data) -> Inputs:
    table = read_labels(
        (real_data / "msd_spotify_features.csv").read_bytes(), "msd_spotify_features.csv"
    )
    return Inputs(
        matches=merge_matches(
            [read_matches((real_data / "lpd_matched_ids.txt").read_bytes(), "ids.txt")], 0.0
        ),
        tracks=merge_tracks([table.tracks]),
        labels=prefer([table]),
        names=read_names((real_data / "lmd_clean_names.tsv").read_bytes(), "names.tsv"),
    )


def songs_of(md5s: list[str | None], **columns) -> pa.Table:
    base = {
        "song_id": [f"lpd5:{md5}" for md5 in md5s], "md5": pa.array(md5s, pa.string()), "seconds": [200.0] * len(md5s),
        "mean_bpm": [120.0] * len(md5s), "song_key": pa.array([0] * len(md5s), pa.uint8()),
    }  # fmt: skip
    return pa.table(base | columns)


def all_songs(inputs: Inputs) -> pa.Table:
    return songs_of(sorted(set(inputs.matches["md5"].to_pylist())))


def without_names(inputs: Inputs) -> Inputs:
    return Inputs(inputs.matches, inputs.tracks, inputs.labels)


def title_by_hand(title: str) -> str:
    plain = "".join(
        mark
        for mark in unicodedata.normalize("NFKD", title).lower()
        if not unicodedata.combining(mark)
    )
    plain = re.sub(r"(?<=\w)(.*?)[(\[{].*?([)\]}]|$)", r"\1 ", plain)
    plain = re.sub(
        r" [-/:] .*\b(remaster|remix|mix|version|edit|live|album|single|mono|stereo|demo|cut).*| feat\.? .*",
        "",
        plain,
    )
    words = re.sub(
        r"[^\w]|_", " ", re.sub(r"['.`’´]", "", plain).replace("&", " and ")
    ).split()
    return " ".join(
        words[1:] if words[0] in ("the", "a", "an") and len(words) > 1 else words
    )


def test_100_random_labels_by_hand_from_the_files(real, real_data):
    """The label of each song from the two CSVs alone: largest title, medoid, none where
    titles differ by over .2."""
    told = {
        row["song_id"][5:]: row
        for row in join_all(
            all_songs(real), without_names(real), AffectConfig(rescue_from=1.0)
        ).to_pylist()
    }
    lines = (real_data / "msd_spotify_features.csv").read_text("utf-8").splitlines()
    rows = {row["track_id"]: row for row in csv.DictReader(lines)}
    pairs = sorted(
        line.split()
        for line in (real_data / "lpd_matched_ids.txt").read_text().splitlines()
    )
    matched = {
        md5: [rows[track] for _, track in group]
        for md5, group in itertools.groupby(pairs, lambda pair: pair[0])
    }
    several = [md5 for md5 in sorted(told) if len(matched[md5]) > 1]
    rng = np.random.default_rng(2026)
    for md5 in [
        *rng.choice(sorted(told), 50, replace=False),
        *rng.choice(several, 50, replace=False),
    ]:
        found = [
            (
                title_by_hand(row["title"]),
                float(row["valence"] or 0),
                float(row["energy"] or 0),
            )
            for row in matched[md5]
        ]
        valued = [one for one in found if one[1]]
        titles = [title for title, *_ in found]
        lead = max(
            titles,
            key=lambda t: (titles.count(t), [title for title, *_ in valued].count(t)),
        )
        members = [one[1:] for one in valued if one[0] == lead]
        spread = max(
            (max(axis) - min(axis) for axis in list(zip(*valued, strict=True))[1:]),
            default=0.0,
        )
        unsure = len({title for title, *_ in valued}) > 1 and round(spread, 9) > 0.2
        cost = [
            round(sum(abs(v - w) + abs(a - b) for w, b in members), 9) for v, a in members
        ]
        label = members[cost.index(min(cost))] if members and not unsure else (None, None)
        assert (told[md5]["valence"], told[md5]["arousal"]) == label, md5


def test_every_song_has_one_row_and_a_reason_where_it_has_no_label(real):
    songs = all_songs(real)
    told = join_all(songs, real, AffectConfig())
    assert (
        told.schema == LABELLED
        and told["song_id"].to_pylist() == songs["song_id"].to_pylist()
    )
    assert pc.all(
        pc.equal(pc.is_null(told["valence"]), pc.is_valid(told["unlabelled"]))
    ).as_py()
    assert pc.all(
        pc.equal(pc.is_null(told["valence"]), pc.is_null(told["label_source"]))
    ).as_py()
    assert not pc.any(pc.and_(told["trusted"], pc.is_null(told["valence"]))).as_py()
    trusts = told["label_trust"].to_numpy()
    assert ((trusts > 0) & (trusts < 1)).all()


@pytest.mark.parametrize(
    "config", [AffectConfig(), AffectConfig(rule="mean", min_label_trust=0.5)]
)
def test_cut_into_buckets_gives_the_same(real, config):
    songs = all_songs(real)
    by_track = real.labels.filter(pc.equal(real.labels["key"], "track_id"))
    last = {"matches": "track_id", "tracks": "track_id", "labels": "id"}
    tables = {"matches": real.matches, "tracks": real.tracks, "labels": by_track}
    ends = {
        name: np.array([track[-1] for track in tables[name][last[name]].to_pylist()])
        for name in tables
    }
    none = LABELS.empty_table()
    whole = label_songs(
        songs,
        join_tracks(**tables),
        none,
        real.names,
        CHROMA.empty_table(),
        config,
    )
    joined = pa.concat_tables(
        join_tracks(
            **{
                name: table.filter(pa.array(ends[name] == one))
                for name, table in tables.items()
            }
        )
        for one in "0123456789ABCDEF"
    )
    parts = []
    for one in "0123456789abcdef":

        def mine(table, one=one):
            return table.filter(pc.equal(pc.utf8_slice_codeunits(table["md5"], 31), one))

        parts.append(
            label_songs(
                mine(songs),
                mine(joined),
                none,
                mine(real.names),
                CHROMA.empty_table(),
                config,
            )
        )
    assert pa.concat_tables(parts).sort_by("song_id").equals(whole)


def one_song(*rows: tuple[str, str, float | None], md5="a" * 32, **extra) -> Inputs:
    """One md5 matched to (artist, title, valence = energy) tracks."""
    n = len(rows)
    table = {
        "track_id": TRACKS[:n],
        "artist": [row[0] for row in rows],
        "title": [row[1] for row in rows],
    }
    labels = [
        (("track_id", TRACKS[i], row[2], row[2], "t"))
        for i, row in enumerate(rows)
        if row[2] is not None
    ]
    return Inputs(
        matches=pa.table([[md5] * n, TRACKS[:n], extra.pop("score", [None] * n)], MATCHES),
        tracks=merge_tracks([pa.table(table | extra)]),
        labels=pa.table(list(zip(*labels, strict=True)) if labels else [[]] * 5, LABELS),
    )


def named(inputs: Inputs, artist: str, title: str) -> Inputs:
    return Inputs(
        inputs.matches,
        inputs.tracks,
        inputs.labels,
        pa.table([["a" * 32], [artist], [title]], NAMES),
    )


def label(inputs: Inputs, config: AffectConfig | None = None, **columns) -> dict:
    (row,) = join_all(
        songs_of(["a" * 32], **columns), inputs, config or AffectConfig()
    ).to_pylist()
    return row


def test_a_true_name_settles_which_match_it_is():
    inputs = one_song(
        ("Soul II Soul", "Keep On Movin'", 0.9),
        ("Matthew Wilder", "Break My Stride (Live)", 0.1),
    )
    assert label(inputs)["unlabelled"] == "titles differ"
    row = label(named(inputs, "Wilder, Matthew", "Break My Stride"))
    assert (row["valence"], row["msd_track_id"], row["unlabelled"]) == (
        0.1,
        TRACKS[1],
        None,
    )
    assert any(part.startswith("name=title") for part in row["evidence"])


def test_of_the_true_title_the_true_artist_is_taken_and_a_cover_is_not_trusted():
    inputs = one_song(
        ("Cover Band", "One", 0.9), ("Covers Inc", "One", 0.8), ("The X", "One", 0.1)
    )
    row = label(named(inputs, "X", "One"))
    assert (row["valence"], row["msd_track_id"], row["trusted"]) == (0.1, TRACKS[2], True)
    assert row["evidence"][1:3] == ["agreeing=2 (+3.73)", "rivals=0 (-0.00)"]
    assert (row["match_agreeing"], row["match_rivals"]) == (2, 0)
    cover = label(named(one_song(("Cover Band", "One", 0.9)), "X", "One"))
    assert (
        cover["valence"] == 0.9 and cover["trusted"] is False and cover["label_trust"] > 0.5
    )


def test_a_contradicted_name_takes_the_trust():
    row = label(named(one_song(("A", "One", 0.5)), "B", "Two"))
    assert row["label_trust"] < 0.1 and row["valence"] == 0.5
    refused = label(
        named(one_song(("A", "One", 0.5)), "B", "Two"), AffectConfig(min_label_trust=0.5)
    )
    assert (refused["valence"], refused["unlabelled"], refused["trusted"]) == (
        None,
        "trust",
        False,
    )
    assert refused["label_trust"] == row["label_trust"]


def test_duration_tempo_key_and_chroma_of_the_chosen_track():
    inputs = one_song(("A", "One", 0.5), duration=[205.0], tempo=[60.0], key=[9], mode=[0])
    heard = Inputs(
        inputs.matches,
        inputs.tracks,
        inputs.labels,
        chroma=pa.table([["a" * 32], TRACKS[:1], [0.5]], CHROMA),
    )
    assert label(heard)["evidence"][6:] == [
        "duration=0.025 (+0.80)", "tempo=0.000 (+1.20)", "key=near (+0.20)", "chroma=0.500 (+3.00)",
    ]  # fmt: skip


def test_a_song_whose_titles_differ_is_rescued_where_its_match_is_trusted():
    inputs = one_song(
        *[("A", f"One ({take})", 0.9) for take in ("live", "demo", "edit")],
        ("B", "Two", 0.1),
    )
    row = label(inputs)
    assert (row["valence"], row["label_source"], row["unlabelled"]) == (
        0.9,
        "t:agree rescued",
        None,
    )
    assert row["label_trust"] >= 0.8 and row["trusted"]
    kept_out = label(inputs, AffectConfig(rescue_from=row["label_trust"] + 1e-3))
    assert (kept_out["valence"], kept_out["unlabelled"]) == (None, "titles differ")
    assert kept_out["label_trust"] == row["label_trust"] and not kept_out["trusted"]


def test_margin_is_over_other_titles():
    inputs = one_song(
        ("A", "One", 0.5),
        ("A", "One (Live)", 0.5),
        ("B", "Two", 0.5),
        score=[0.8, 0.7, 0.6],
    )
    row = label(inputs, AffectConfig(min_margin=0.2))
    assert (row["match_margin"], row["match_score"], row["valence"]) == (
        pytest.approx(0.2),
        0.8,
        0.5,
    )
    assert label(inputs, AffectConfig(min_margin=0.3))["unlabelled"] == "margin"


def test_a_label_by_md5_needs_no_match_and_goes_first():
    inputs = one_song(("A", "One", 0.5))
    own = pa.table([["md5"], ["a" * 32], [0.25], [0.75], ["mine"]], LABELS)
    row = label(
        Inputs(inputs.matches, inputs.tracks, pa.concat_tables([own, inputs.labels]))
    )
    assert (row["valence"], row["arousal"], row["label_source"], row["label_trust"]) == (
        0.25,
        0.75,
        "mine:md5",
        1.0,
    )
    assert row["msd_track_id"] == TRACKS[0]
    row = label(Inputs(labels=own))
    assert (row["valence"], row["trusted"], row["msd_track_id"], row["unlabelled"]) == (
        0.25,
        True,
        None,
        None,
    )


def test_songs_without_md5_or_match_stay_unlabelled():
    inputs = one_song(("A", "One", 0.5))
    told = join_all(songs_of([None, None, "b" * 32, "a" * 32]), inputs, AffectConfig())
    assert told["unlabelled"].to_pylist() == ["no match"] * 3 + [None]
    assert told["label_trust"].null_count == 3
    assert join_all(songs_of([]), inputs, AffectConfig()).equals(LABELLED.empty_table())
    assert join_all(songs_of(["a" * 32]), Inputs(), AffectConfig())[
        "unlabelled"
    ].to_pylist() == ["no match"]


def test_an_md5_on_two_songs_is_refused():
    with pytest.raises(ValueError, match="an md5 stands on two songs"):
        join_all(songs_of(["a" * 32, "a" * 32]), Inputs(), AffectConfig())


def test_labels_of_tracks_that_no_song_matches_change_nothing(real):
    more = pa.table([["track_id"], [TRACKS[0]], [0.5], [0.5], ["x"]], LABELS)
    inputs = Inputs(
        real.matches, real.tracks, pa.concat_tables([real.labels, more]), real.names
    )
    assert join_all(all_songs(real), inputs, AffectConfig()).equals(
        join_all(all_songs(real), real, AffectConfig())
    )
