"""Filters, clusters' survivors and the waterfall: the same whatever the order of rows."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.catalog import FACTS, Rules, apply_filters, decide, waterfall
from pipelines.dedupe.clusters import PAIRS
from pipelines.dedupe.copies import exact_pairs
from pipelines.filters import FILTERS, FilterConfig
from pipelines.labels.config import AffectConfig
from pipelines.labels.given import GIVEN
from pipelines.labels.groups import KEYS
from pipelines.labels.settle import LABELLED
from pipelines.labels.splits import Shares
from schemas.columns import SONGS, STATISTICS

RULES = Rules(
    FILTERS,
    {"mock": FilterConfig(min_seconds=60, min_bars=8, min_notes=10, require_piano=True)},
    AffectConfig(),
    Shares(),
    seed=0,
)
GOOD: dict[str, Any] = {
    "source": "mock", "source_key": "k", "title": None, "artist": None, "genre": None, "meter_source": "score",
    "song_key": 0, "seconds": 100.0, "mean_bpm": 120.0, "n_notes": 100, "n_bars": 50, "bar_sixteenths_max": 16,
    "track_notes": [0, 100, 0, 0, 0], "track_velocities": [0.0, 80.0, 0.0, 0.0, 0.0], "n_tokens": 400,
    "tokens_per_bar_max": 9, "moved_onsets": 0, "clipped_durations": 0, "dropped_pitches": 0, "dropped_positions": 0,
    "content_hash": "", "source_sha256": "0", "folder_track_ids": [],
}  # fmt: skip


def facts(**songs: dict[str, Any]) -> pa.Table:
    """Judged statistics of some songs that differ from a good one."""
    schema = pa.schema([SONGS.field(name) for name in STATISTICS])
    rows = [
        {**GOOD, "song_id": f"mock:{name}", **changes} for name, changes in songs.items()
    ]
    return apply_filters(pa.Table.from_pylist(rows, schema), 0, RULES)


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"track_notes": [50, 0, 50, 0, 0]}, "no_piano", "no note on the piano track"),
        ({"seconds": 59.9}, "too_short", "59.9 s"),
        ({"n_bars": 7}, "too_few_bars", "7 bars"),
        ({"n_notes": 9}, "too_few_notes", "9 notes"),
        ({"bar_sixteenths_max": 18}, "bar_too_long", "a bar of 18 sixteenths"),
    ],
)
def test_each_rule_says_no_for_its_own_reason(
    changes: dict[str, Any], reason: str, detail: str
) -> None:
    row = facts(a=changes).to_pylist()[0]
    assert (row["failed"], row["details"]) == ([reason], [detail])


def test_a_good_song_fails_nothing_and_no_rule_hides_another() -> None:
    assert facts(a={}).to_pylist()[0]["failed"] == []
    both = facts(a={"seconds": 1.0, "n_bars": 1}).to_pylist()[0]
    assert both["failed"] == ["too_short", "too_few_bars"]


def labels_of(table: pa.Table, **labels: dict[str, Any]) -> pa.Table:
    """A label row for each song; null but for what is given."""
    nothing: dict[str, Any] = {"trusted": False, "evidence": []}
    rows = [
        {**nothing, **labels.get(one.removeprefix("mock:"), {}), "song_id": one}
        for one in table["song_id"].to_pylist()
    ]
    return pa.Table.from_pylist(rows, LABELLED)


def catalog_of(
    table: pa.Table,
    pairs: pa.Table | None = None,
    rules: Rules = RULES,
    labels: dict[str, dict[str, Any]] | None = None,
    keys: list[tuple[str, str]] | None = None,
    doubtful: list[tuple[str, str]] | None = None,
    given: dict[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    key_table = pa.Table.from_pylist(
        [
            {"song_id": f"mock:{song}", "key": key, "sure": sure}
            for pairs_of, sure in ((keys, True), (doubtful, False))
            for song, key in pairs_of or []
        ],
        KEYS,
    )
    published = pa.Table.from_pylist(
        [{"name": f"mock:{song}", "split": one} for song, one in (given or {}).items()],
        GIVEN,
    )
    pairs = exact_pairs(table) if pairs is None else pairs
    told = labels_of(table, **(labels or {}))
    decided = decide(table, pairs, told, key_table, rules, published)
    rows = decided.catalog.to_pylist()
    return {row["song_id"].removeprefix("mock:"): row for row in rows}


def test_the_survivor_passes_the_rules_then_has_more_tracks_then_is_longer() -> None:
    two_tracks = {"track_notes": [0, 50, 50, 0, 0]}
    same = {"content_hash": "ab" * 16}
    table = facts(
        a={**same, "seconds": 10.0, **two_tracks},
        b=same,
        c={**same, "seconds": 200.0},
        d={**same, **two_tracks},
        e={},
    )
    catalog = catalog_of(table)
    assert {name for name, row in catalog.items() if row["kept"]} == {"d", "e"}
    assert catalog["d"]["duplicates"] == ["mock:a", "mock:b", "mock:c"]
    assert (
        catalog["a"]["failed"] == ["too_short", "duplicate"]
        and catalog["a"]["detail"] == "10.0 s; of mock:d, Jaccard 1.00, containment 1.00"
    )
    assert {row["cluster_id"] for name, row in catalog.items() if name != "e"} == {"mock:a"}
    assert len({row["split"] for name, row in catalog.items() if name != "e"}) == 1


def test_duplicates_stay_where_the_source_wants_them() -> None:
    keep = Rules(
        FILTERS, {"mock": FilterConfig(drop_duplicates=False)}, AffectConfig(), Shares(), 0
    )
    table = facts(a={"content_hash": "ab"}, b={"content_hash": "ab"})
    assert all(row["kept"] for row in catalog_of(table, rules=keep).values())


def test_empty_hashes_match_nothing() -> None:
    assert exact_pairs(facts(a={}, b={})).num_rows == 0


def test_a_group_stands_in_one_split_but_only_duplicates_leave() -> None:
    pairs = pa.table(
        [["mock:a", "mock:b"], ["mock:b", "mock:c"], [0.2, 0.9], [0.3, 0.9], [False, True]],
        schema=PAIRS,
    )
    catalog = catalog_of(facts(a={}, b={}, c={}), pairs)
    assert {row["group_id"] for row in catalog.values()} == {"mock:a"}
    assert [catalog[name]["cluster_id"] for name in "abc"] == ["mock:a", "mock:b", "mock:b"]
    assert [catalog[name]["kept"] for name in "abc"] == [True, True, False]


def test_the_reason_of_a_removed_song_is_a_duplicate_of_it() -> None:
    # b is a copy of c by containment, and more like d by Jaccard, which is of its group
    # alone.
    pairs = pa.table(
        [
            ["mock:a", "mock:b", "mock:b"],
            ["mock:c", "mock:c", "mock:d"],
            [0.9, 0.1, 0.3],
            [0.9, 0.8, 0.4],
            [True, True, False],
        ],
        schema=PAIRS,
    )
    catalog = catalog_of(facts(a={}, b={"seconds": 70.0}, c={"seconds": 80.0}, d={}), pairs)
    assert catalog["d"]["kept"] and not catalog["b"]["kept"]
    assert (
        catalog["b"]["detail"] == "of mock:a through mock:c, Jaccard 0.10, containment 0.80"
    )


def test_the_order_of_rows_says_nothing() -> None:
    random = np.random.default_rng(0)
    songs = {
        f"{i:02d}": {
            "content_hash": f"{i % 7:02x}" * 16,
            "seconds": float(random.integers(30, 200)),
        }
        for i in range(40)
    }
    table = facts(**songs)
    shuffled = table.take(random.permutation(40))
    assert catalog_of(table) == catalog_of(shuffled)


def test_a_song_twice_is_our_mistake() -> None:
    table = pa.concat_tables([facts(a={}), facts(a={})])
    with pytest.raises(ValueError, match="stands twice"):
        catalog_of(table)


def test_the_waterfall_counts_every_rule_on_every_song() -> None:
    table = facts(
        a={}, b={"seconds": 1.0}, c={"seconds": 1.0, "n_bars": 1}, d={"n_bars": 1}
    )
    catalog = decide(
        table, PAIRS.empty_table(), labels_of(table), KEYS.empty_table(), RULES
    ).catalog
    fall = waterfall(catalog, ["too_short", "too_few_bars", "duplicate"])
    assert fall["all"] == fall["mock"] == {
        "in": 4,
        "failed": {"too_short": 2, "too_few_bars": 2, "duplicate": 0},
        "failed_alone": {"too_short": 1, "too_few_bars": 1, "duplicate": 0},
        "kept": 1,
    }  # fmt: skip


def test_facts_have_no_list_as_long_as_a_song() -> None:
    assert not {"note_start", "remi", "key"} & set(FACTS.names)


HAPPY = {"valence": 0.9, "arousal": 0.9, "label_source": "table:agree", "label_trust": 0.5}


def test_a_labelled_copy_is_kept_before_a_longer_one_and_lends_to_one_that_passes() -> None:
    same = {"content_hash": "ab" * 16}
    table = facts(a={**same, "seconds": 100.0}, b={**same, "seconds": 90.0})
    catalog = catalog_of(table, labels={"b": HAPPY})
    assert catalog["b"]["kept"] and not catalog["a"]["kept"]
    # b is too short now: a is kept, and has its label.
    table = facts(a=same, b={**same, "seconds": 1.0})
    catalog = catalog_of(table, labels={"b": HAPPY})
    assert catalog["a"]["kept"] and round(catalog["a"]["valence"], 6) == 0.9
    assert catalog["a"]["label_source"] == "table:agree lent by mock:b"
    assert catalog["b"]["label_source"] == "table:agree"


def test_a_song_with_a_label_of_its_own_takes_a_copys_that_is_trusted_more() -> None:
    same = {"content_hash": "ab" * 16}
    better = {**HAPPY, "valence": 0.1, "label_trust": 0.9}
    catalog = catalog_of(
        facts(a=same, b={**same, "seconds": 90.0}, c={}),
        labels={"a": HAPPY, "b": better, "c": HAPPY},
    )
    assert catalog["a"]["kept"] and round(catalog["a"]["valence"], 6) == 0.1
    assert catalog["a"]["label_source"] == "table:agree lent by mock:b"
    assert round(catalog["a"]["label_spread"], 6) == 0.8


def test_the_most_trusted_copy_lends() -> None:
    same = {"content_hash": "ab" * 16}
    table = facts(a=same, b={**same, "seconds": 1.0}, c={**same, "seconds": 1.0})
    catalog = catalog_of(
        table, labels={"b": HAPPY, "c": {**HAPPY, "valence": 0.1, "label_trust": 0.7}}
    )
    assert round(catalog["a"]["valence"], 6) == 0.1 and catalog["a"][
        "label_source"
    ].endswith("mock:c")


def test_songs_of_one_key_stand_in_one_group_and_stay() -> None:
    catalog = catalog_of(
        facts(a={}, b={}, c={}), keys=[("a", "track:T"), ("c", "track:T"), ("b", "track:U")]
    )
    assert [catalog[name]["group_id"] for name in "abc"] == ["mock:a", "mock:b", "mock:a"]
    assert all(row["kept"] for row in catalog.values())


def test_thresholds_are_those_of_kept_training_songs_alone() -> None:
    names = [f"{index:03d}" for index in range(60)]
    # Songs outside training, and one that is filtered, have extreme values that would move
    # a median of all.
    given = {name: "train" if index % 4 else "test" for index, name in enumerate(names)}
    train = [name for name in names if given[name] == "train"]
    labels = {
        name: {**HAPPY, "valence": 0.3 + 0.001 * index, "arousal": 0.6}
        for index, name in enumerate(train)
    }
    labels |= {
        name: {**HAPPY, "valence": 1.0, "arousal": 1.0}
        for name in names
        if name not in train
    }
    labels[train[0]]["valence"] = 1.0
    catalog = catalog_of(
        facts(**{name: {"seconds": 1.0} if name == train[0] else {} for name in names}),
        labels=labels,
        given=given,
    )
    median = float(np.median([np.float32(labels[name]["valence"]) for name in train[1:]]))
    for name in train[1:]:
        assert catalog[name]["valence_class"] == int(
            round(labels[name]["valence"] - median, 6) > 0
        )
        assert catalog[name]["arousal_class"] == 0
    assert {catalog[name]["quadrant"] for name in names if name not in train} == {"happy"}


def test_a_doubtful_key_groups_nothing_and_stands_in_one_split() -> None:
    names = [f"{index:03d}" for index in range(100)]
    ties = [(name, f"track:{index % 45}") for index, name in enumerate(names) if index < 90]
    catalog = catalog_of(facts(**{name: {} for name in names}), doubtful=ties)
    assert len({row["group_id"] for row in catalog.values()}) == 100
    splits: dict[str, set[str]] = {}
    for row in catalog.values():
        for key in row["group_keys"] if row["kept"] else []:
            splits.setdefault(key, set()).add(row["split"])
    assert len(splits) == 45 and all(len(where) == 1 for where in splits.values())
    # Ninety of a hundred are tied and eighty may train: the others are set aside.
    held = [row for row in catalog.values() if not row["kept"]]
    assert held and all(row["failed"] == ["held_out_of_eval"] for row in held)
    assert all("ties it to mock:" in row["detail"] for row in held)
    assert all(row["split"] != "train" for row in held)


def test_a_removed_copys_doubtful_key_ties_the_song_that_stands_for_it() -> None:
    same = {"content_hash": "ab" * 16}
    catalog = catalog_of(
        facts(a=same, b={**same, "seconds": 90.0}, c={}),
        doubtful=[("b", "track:1"), ("c", "track:1")],
        given={"a": "test", "c": "train"},
    )
    assert catalog["a"]["failed"] == ["held_out_of_eval"]
    assert catalog["a"]["detail"] == "track:1 ties it to mock:c in train"
    assert catalog["c"]["kept"] and catalog["c"]["group_keys"] == ["track:1"]


def test_published_splits_are_taken_and_what_they_part_is_set_aside_and_counted() -> None:
    table = facts(a={}, b={}, c={}, d={})
    given = {"a": "train", "b": "test", "c": "validation"}
    catalog = catalog_of(table, keys=[("a", "name:x"), ("b", "name:x")], given=given)
    assert {name: catalog[name]["split"] for name in given} == given
    assert catalog["b"]["failed"] == ["held_out_of_eval"] and catalog["a"]["kept"]
    assert catalog["c"]["kept"] and catalog["d"]["kept"]


def test_judges_are_whole_training_groups_with_a_label() -> None:
    names = [f"{index:03d}" for index in range(80)]
    keys = [(name, f"pair:{index // 2}") for index, name in enumerate(names)]
    labels = {
        name: HAPPY for index, name in enumerate(names) if index % 4 < 2 and index % 2 == 0
    }
    catalog = catalog_of(facts(**{name: {} for name in names}), labels=labels, keys=keys)
    judges = {row["group_id"] for row in catalog.values() if row["judge"]}
    assert judges and all(
        row["judge"] == (row["group_id"] in judges) for row in catalog.values()
    )
    assert {row["split"] for row in catalog.values() if row["judge"]} == {"train"}
    assert all(
        catalog[group.removeprefix("mock:")]["valence"] is not None for group in judges
    )
    everybody = {
        row["group_id"]
        for row in catalog.values()
        if row["split"] == "train" and row["valence"] is not None
    }
    assert judges < everybody
