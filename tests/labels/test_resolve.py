"""The choice of a label against the rule said one md5 at a time, on random tables."""

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest

from pipelines.labels.config import AffectConfig
from pipelines.labels.resolve import CANDIDATES, CHOICES, resolve

CONFIGS = [
    AffectConfig(),
    AffectConfig(rule="best_score"),
    AffectConfig(rule="mean"),
    AffectConfig(max_title_spread=1.0, max_label_spread=0.3),
    AffectConfig(max_title_spread=0.0),
    AffectConfig(min_margin=0.2),
]


def table(*rows: dict) -> pa.Table:
    defaults = dict.fromkeys(CANDIDATES.names) | {"md5": "m", "source": "t"}
    for index, row in enumerate(rows):
        row.setdefault("track_id", f"TR{index}")
        if "value" in row:
            row["valence"], row["arousal"] = row.pop("value")
    return pa.Table.from_pylist([defaults | row for row in rows], CANDIDATES)


def random_table(seed: int, n_rows: int = 60) -> pa.Table:
    """Few md5s, titles and values, so that ties are common."""
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(n_rows):
        labelled = rng.random() < 0.8
        rows.append(
            {
                "md5": f"m{rng.integers(12)}", "track_id": f"TR{index:03}",
                "score": None if seed % 3 == 0 or rng.random() < 0.3 else round(float(rng.random()), 1),
                "margin": None, "title": None if rng.random() < 0.1 else f"t{rng.integers(3)}", "named": None,
                "valence": round(float(rng.random()), 1) if labelled else None,
                "arousal": round(float(rng.random()), 1) if labelled else None, "source": f"s{rng.integers(2)}",
            }
        )  # fmt: skip
    if seed % 2:
        for row in rows:
            row["named"] = (
                (row["title"] == "t0" and rng.random() < 0.6) if row["md5"] < "m5" else None
            )
            row["margin"] = round(float(rng.random()) - 0.5, 1)
    rng.shuffle(rows)
    return pa.Table.from_pylist(rows, CANDIDATES)


def distance(one, other):
    return round(
        abs(one["valence"] - other["valence"]) + abs(one["arousal"] - other["arousal"]), 9
    )


def one_by_hand(rows, config):
    """The rule of one md5 in loops; rows sorted by track."""
    for row in rows:
        row["group"] = row["title"] or row["track_id"]
        row["high"] = -math.inf if row["score"] is None else row["score"]
    labelled = [row for row in rows if row["valence"] is not None]
    groups = {
        row["group"]: [other for other in rows if other["group"] == row["group"]]
        for row in rows
    }

    def best_group(group):
        return (
            any(row["named"] for row in group), len(group), max(row["high"] for row in group),
            sum(row["valence"] is not None for row in group),
        )  # fmt: skip

    lead = max(groups.values(), key=best_group)
    lead = [row for row in lead if row["named"]] or lead
    mean = None
    if config.rule == "agree":
        some = [row for row in lead if row["valence"] is not None] or lead
        members = [row for row in lead if row["valence"] is not None]
        chosen = min(
            some,
            key=lambda row: (
                round(sum(distance(row, m) for m in members), 9) if members else 0,
                -row["high"],
            ),
        )
        used = chosen
    else:
        some = labelled or rows
        if labelled:
            mean = {
                axis: sum(row[axis] for row in labelled) / len(labelled)
                for axis in ("valence", "arousal")
            }
        by_score = config.rule == "best_score" and any(
            row["score"] is not None for row in labelled
        )
        chosen = min(
            some, key=lambda row: ((-row["high"],) if by_score else ()) + ((distance(row, mean),) if mean else ())
        )  # fmt: skip
        used = chosen if by_score or not mean else mean
    spread = None
    if labelled:
        spread = max(
            max(r[a] for r in labelled) - min(r[a] for r in labelled)
            for a in ("valence", "arousal")
        )
    why = None
    if spread is not None and round(spread, 9) > config.max_label_spread:
        why = "spread"
    if (
        config.min_margin
        and chosen["margin"] is not None
        and chosen["margin"] < config.min_margin
    ):
        why = "margin"
    titles = {row["group"] for row in labelled}
    differ = (
        len(titles) > 1
        and round(spread or 0, 9) > config.max_title_spread
        and not chosen["named"]
    )
    if config.rule == "agree" and differ:
        why = "titles differ"
    if chosen["valence"] is None:
        why = "no value"
    agreeing = len(groups[chosen["group"]])
    return {
        "md5": chosen["md5"], "msd_track_id": chosen["track_id"], "match_score": chosen["score"],
        "match_margin": chosen["margin"], "valence": used["valence"],
        "arousal": used["arousal"], "label_spread": spread, "n_agreeing": agreeing - 1,
        "n_rivals": len(rows) - agreeing, "unlabelled": why,
    }  # fmt: skip


@pytest.mark.parametrize(("seed", "config"), list(itertools.product(range(12), CONFIGS)))
def test_choice_equals_the_rule_in_loops(seed, config):
    candidates = random_table(seed)
    told = resolve(candidates, config)
    assert told.schema == CHOICES
    rows = sorted(candidates.to_pylist(), key=lambda row: (row["md5"], row["track_id"]))
    by_md5 = itertools.groupby(rows, key=lambda row: row["md5"])
    expected = [one_by_hand(list(group), config) for _, group in by_md5]
    for row, wanted in zip(told.to_pylist(), expected, strict=True):
        source = row.pop("label_source")
        assert (source is None) == (row["valence"] is None)
        assert row == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("config", CONFIGS)
def test_cut_between_md5s_and_shuffled_gives_the_same(config):
    candidates = random_table(5, 200)
    whole = resolve(candidates, config)
    md5s = np.array(candidates["md5"].to_pylist())
    parts = [
        resolve(candidates.filter(pa.array(md5s == md5)), config)
        for md5 in sorted(set(md5s))
    ]
    assert pa.concat_tables(parts).equals(whole)
    assert resolve(
        candidates.take(np.random.default_rng(0).permutation(len(candidates))), config
    ).equals(whole)


def test_agree_takes_the_medoid_of_the_largest_title():
    rows = [{"title": "a", "value": (v, 0.5)} for v in (0.30, 0.35, 0.45)] + [
        {"title": "b", "value": (0.4, 0.5)}
    ]
    (row,) = resolve(table(*rows), AffectConfig()).to_pylist()
    assert (row["msd_track_id"], row["valence"], row["label_source"]) == (
        "TR1",
        0.35,
        "t:agree",
    )
    assert (row["n_agreeing"], row["n_rivals"], row["label_spread"]) == (2, 1, 0.15)


def test_no_label_where_titles_differ_and_values_range_over_the_limit():
    near, far = ({"title": "b", "value": (value, 0.5)} for value in (0.7, 0.701))
    assert resolve(table({"title": "a", "value": (0.5, 0.5)}, near), AffectConfig())[
        "unlabelled"
    ].to_pylist() == [None]
    told = resolve(table({"title": "a", "value": (0.5, 0.5)}, far), AffectConfig())
    assert told["unlabelled"].to_pylist() == ["titles differ"]
    assert told["label_spread"].to_pylist() == [0.201]
    same = resolve(
        table({"title": "a", "value": (0.1, 0.5)}, {"title": "a", "value": (0.9, 0.5)}),
        AffectConfig(),
    )
    assert same["unlabelled"].to_pylist() == [None]


def test_a_true_name_goes_before_a_majority_and_settles_a_quarrel():
    rows = [{"title": "a", "value": (v, 0.5), "named": False} for v in (0.1, 0.2)]
    (row,) = resolve(
        table(*rows, {"title": "b", "value": (0.9, 0.5), "named": True}), AffectConfig()
    ).to_pylist()
    assert (row["valence"], row["unlabelled"], row["n_rivals"]) == (0.9, None, 2)


def test_best_score_and_its_fall_back_to_the_mean():
    scored = [
        {"value": (0.1, 0.1), "score": 0.5},
        {"value": (0.9, 0.9), "score": 0.6},
        {"value": (0.5, 0.5)},
    ]
    config = AffectConfig(rule="best_score")
    (row,) = resolve(table(*scored), config).to_pylist()
    assert (row["valence"], row["label_source"], row["match_score"]) == (
        0.9,
        "t:best_score",
        0.6,
    )
    (row,) = resolve(
        table({"value": (0.1, 0.2), "source": "u"}, {"value": (0.4, 0.4)}), config
    ).to_pylist()
    assert (row["valence"], row["arousal"], row["label_source"]) == (
        0.25,
        pytest.approx(0.3),
        "t+u:mean",
    )


def test_no_candidates():
    assert resolve(CANDIDATES.empty_table(), AffectConfig()).equals(CHOICES.empty_table())
