"""Thresholds, margin, classes and quadrants, against the rule said one row at a time."""

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest

from pipelines.labels.thresholds import Thresholds, apply_rule, classify, fit_thresholds
from schemas.labels import A0, A1, QUADRANTS, V0, V1, Affect


def one_class(value: float | None, threshold: float, margin: float) -> int | None:
    if value is None or math.isnan(value):
        return None
    # Decimal places of the tables, in integers: the way without rounding.
    value, threshold, margin = (
        round(number * 1000) for number in (value, threshold, margin)
    )
    return None if abs(value - threshold) < margin else int(value > threshold)


@pytest.mark.parametrize(
    ("threshold", "margin"),
    list(itertools.product([0.5, 0.496, 0.0, 1.0], [0.0, 0.05, 0.1])),
)
def test_classes_equal_the_rule_row_by_row(threshold, margin):
    values = np.array([*np.arange(0, 1001) / 1000, math.nan])
    assert classify(values, threshold, margin).to_pylist() == [
        one_class(v, threshold, margin) for v in values
    ]


def test_margin_is_the_same_on_both_sides():
    values = np.array([0.449, 0.45, 0.451, 0.549, 0.55, 0.551])
    assert classify(values, 0.5, 0.05).to_pylist() == [0, 0, None, None, 1, 1]


def test_values_stored_as_float32_fall_on_the_same_side():
    values = np.arange(0, 1001) / 1000
    for threshold, margin in ((0.5, 0.05), (0.496, 0.0), (0.4, 0.1)):
        stored = values.astype(np.float32).astype(np.float64)
        assert classify(stored, threshold, margin).equals(
            classify(values, threshold, margin)
        )


def test_quadrants_by_name():
    songs = pa.table(
        {
            "valence": [0.9, 0.1, 0.1, 0.9, None, 0.9],
            "arousal": [0.9, 0.9, 0.1, 0.1, 0.9, None],
        }
    )
    told = apply_rule(songs, Thresholds(0.5, 0.5, 0.0, "fixed", 0))
    assert told["quadrant"].to_pylist() == ["happy", "tense", "sad", "calm", None, None]
    assert told["valence_class"].to_pylist() == [V1, V0, V0, V1, None, V1]
    assert told["arousal_class"].to_pylist() == [A1, A1, A0, A0, A1, None]
    assert told.schema.field("valence_class").type == pa.int8()


def test_rule_applied_twice_is_the_rule_applied_once():
    songs = pa.table({"valence": [0.3, 0.6], "arousal": [0.3, 0.6]})
    first = apply_rule(songs, Thresholds(0.5, 0.5, 0.0, "fixed", 0))
    second = apply_rule(first, Thresholds(0.2, 0.2, 0.0, "fixed", 0))
    assert second.column_names == first.column_names
    assert second["quadrant"].to_pylist() == ["happy", "happy"]


def test_medians_are_those_of_the_rows_given():
    valence = np.array([0.1, 0.2, 0.9, math.nan, 0.3])
    arousal = np.array([0.5, 0.7, 0.6, 0.9, math.nan])
    told = fit_thresholds("train_median", 0.1, valence, arousal)
    assert told == Thresholds(0.2, 0.6, 0.1, "train_median", 3)


def test_fixed_threshold_ignores_the_rows():
    told = fit_thresholds(0.5, 0.0, np.array([0.9, 0.9]), np.array([0.9, 0.9]))
    assert (told.valence, told.arousal, told.rule, told.n_train) == (0.5, 0.5, "fixed", 2)


def test_no_labelled_training_row_is_one_sentence():
    with pytest.raises(ValueError, match="train_median needs a labelled training song"):
        fit_thresholds("train_median", 0.0, np.array([math.nan]), np.array([0.5]))


def test_affect_refuses_what_is_no_label():
    assert Affect(0.7, 0.2, V1, A0).quadrant == "calm" == QUADRANTS[A0, V1]
    assert Affect(0.7, None, V1, None).quadrant is None
    for wrong in (
        {"valence": 7.0},
        {"arousal": -0.1},
        {"valence": math.nan},
        {"valence_class": 2},
    ):
        with pytest.raises(ValueError, match="must"):
            Affect(**wrong)
