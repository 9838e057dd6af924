"""The settings of [affect] refuse what cannot be meant, in one sentence."""

import pytest

from pipelines.labels.config import AffectConfig


def test_defaults_are_fine_and_whole_numbers_pass():
    assert AffectConfig() == AffectConfig(rule="agree", threshold="train_median")
    assert AffectConfig(threshold=1, max_label_spread=1).threshold == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("rule", "vote"), ("threshold", "median"), ("threshold", 1.5), ("margin", -0.1), ("min_score", 2),
     ("max_title_spread", -1), ("min_label_trust", 1.01), ("trusted_from", float("nan"))],
)  # fmt: skip
def test_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        AffectConfig(**{name: value})
