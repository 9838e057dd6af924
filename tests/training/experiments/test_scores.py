"""Scores of experiments, against oracles and by hand: accuracies, intervals, control,
exchanges, confusions, the paper's."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, precision_recall_fscore_support

from schemas import mock
from training.evaluation.latent_swap import similarities
from training.evaluation.metrics import auc
from training.experiments.report.paper import PRINTED, TABLE_4
from training.experiments.report.transfer import NAMES, _confusions, _gain
from training.experiments.scores import (
    auc_deviation,
    best_judge,
    binary_scores,
    control,
    heard,
    interval,
    share_deviation,
    spread,
)


def test_binary_scores_are_scikit_learns():
    random = np.random.default_rng(0)
    for _ in range(20):
        said, wanted = random.integers(0, 2, (2, 30))
        precision, recall, f1, _ = precision_recall_fscore_support(
            wanted, said, average="binary", zero_division=0
        )
        found = binary_scores(said, wanted)
        assert [found[name] for name in ("precision", "recall", "f1")] == pytest.approx(
            [precision, recall, f1]
        )
        assert found["balanced"] == pytest.approx(balanced_accuracy_score(wanted, said))
        assert found["accuracy"] == pytest.approx((said == wanted).mean())


def test_the_deviation_of_an_auc_is_that_of_songs_drawn_again():
    random, label = np.random.default_rng(1), np.repeat([0, 1], 60)
    score = np.round(random.normal(label * 0.7), 1)
    drawn = [
        auc(
            np.concatenate([random.choice(score[:60], 60), random.choice(score[60:], 60)]),
            label,
        )
        for _ in range(2000)
    ]
    assert auc_deviation(score, label) == pytest.approx(np.std(drawn), rel=0.06)
    assert share_deviation(0.3, 50) == pytest.approx(
        np.std(random.binomial(50, 0.3, 20_000) / 50), rel=0.05
    )


@pytest.mark.parametrize("between", [0.0, 0.05, 0.1])
def test_an_interval_of_95_percent_holds_the_truth_that_often(between):
    random, n, truth, held = np.random.default_rng(3), 200, 0.55, 0
    for _ in range(1000):
        shares = random.binomial(n, np.clip(random.normal(truth, between, 3), 0, 1)) / n
        low, high = interval(shares, [share_deviation(share, n) for share in shares])
        held += low <= truth <= high
    assert held >= 935


def test_an_interval_is_no_narrower_than_the_pieces_leave_open():
    pieces = share_deviation(0.5, 100)
    assert interval([0.5] * 4, [pieces] * 4) == pytest.approx(
        [0.5 - 0.98 * pieces, 0.5 + 0.98 * pieces]
    )
    assert interval([0.5], [pieces]) == pytest.approx(
        [0.5 - 1.96 * pieces, 0.5 + 1.96 * pieces]
    )
    assert (
        interval([0.4, 0.6], [0.0, 0.0]) == [0.0, 1.0]
        and interval([1.0, 1.0], [0.02, 0.02])[0] < 1
    )
    # Three seeds by a table of Student's t: 4.3027 · s / √3.
    half = 4.3027 * 0.1 / 3**0.5
    assert interval([0.4, 0.5, 0.6], [0.0] * 3) == pytest.approx(
        [0.5 - half, 0.5 + half], abs=1e-4
    )


def real(balanced, least=0.6):
    told = {
        name: {"window_balanced": value, "balanced_interval": [least, 0.9]}
        for name, value in balanced.items()
    }
    return {name: dict.fromkeys(("arousal", "valence"), of) for name, of in told.items()}


def test_control_is_a_share_of_the_ceiling_and_auc_sees_what_a_threshold_hides():
    wanted = [[1, 1], [1, 0], [0, 0], [0, 1]] * 5
    # Every piece is heard as low in arousal, those meant high a little less so; valence is
    # heard backwards.
    chances = [[0.1 + 0.1 * a, 1 - v] for a, v in wanted]
    found = heard(
        [{"chance": {"ear": chances}, "wanted": wanted}] * 2, "ear", real({"ear": 0.75})
    )
    assert (
        found["arousal"]["accuracy"] == 0.5
        and found["arousal"]["auc"] == 1
        and 0.8 < found["arousal"]["auc_interval"][0] < 1
        and found["arousal"]["recall"] == 0
    )
    assert (
        found["arousal"]["control"] == 0
        and found["valence"]["accuracy"] == 0
        and found["valence"]["control"] == -2
    )
    near = heard(
        [
            {
                "chance": {"ear": [[0.4 + 0.2 * a, 0.6 - 0.2 * v] for a, v in wanted]},
                "wanted": wanted,
            }
        ],
        "ear",
        real({"ear": 0.75}),
    )
    assert (
        near["arousal"]["accuracy"] == 1
        and near["valence"]["accuracy"] == 0
        and near["quadrants"]["accuracy"] == 0
    )
    assert found["quadrants"]["accuracy"] == 0 and len(found["valence"]["by_seed"]) == 2
    unsure, deaf, sure = (
        real({"ear": of}, least)["ear"]["arousal"]
        for of, least in ((0.7, 0.49), (0.48, 0.6), (0.7, 0.6))
    )
    assert (
        np.isnan(control(0.6, unsure))
        and np.isnan(control(0.6, deaf))
        and control(0.6, sure) == pytest.approx(0.5)
    )
    assert best_judge(real({"rules": 0.9, "network": 0.6, "boosting": 0.7})) == "boosting"
    assert spread([{"a": {"b": 1}}, {"a": {"b": 4}}, {}], "a", "b") == {
        "mean": 2.5,
        "least": 1,
        "most": 4,
    }
    assert spread([{"a": {}}], "a", "b") is None


def test_what_the_paper_prints_hangs_together():
    """Every row's F1 is that of its precision and recall, and all rows of a table imply one
    share of high pieces."""
    for axis, share in (("arousal", 0.47), ("valence", 0.52)):
        for row in PRINTED[axis].values():
            accuracy, precision, recall, f1 = np.array(row) / 100
            assert f1 == pytest.approx(
                2 * precision * recall / (precision + recall), abs=2e-4
            )
            assert (1 - accuracy) / (
                1 - recall + recall * (1 / precision - 1)
            ) == pytest.approx(share, abs=5e-3)
    assert all(set(row) == set(NAMES) - {source} for source, row in TABLE_4.items())


def test_an_exchange_is_seen_beside_pairs_that_were_not_exchanged():
    songs = mock.songs(8, n_bars=4)
    a, b = songs[:4], songs[4:]
    whole = similarities(b, a, b, 4)
    for found in whole.values():
        assert (
            found["with_other"] == pytest.approx(1)
            and found["with_own"] == found["unrelated"] < 1
        )
        assert found["with_shuffled"] < 1
    assert similarities(a, a, b, 4)["rhythm"]["with_own"] == pytest.approx(1)


def test_the_confusion_weighs_sources_by_their_songs():
    def shares(**of):
        return {name: of.get(name, 0.0) for name in NAMES}

    def one(n, turned, again, untouched):
        return {
            "n": shares(happy=n), "untouched": {"ear": {"happy": shares(sad=untouched)}},
            "turned": {"ear": {"happy": {name: shares(sad=turned if name == "sad" else again) for name in NAMES}}},
        }  # fmt: skip

    turned, again, untouched = _confusions(
        [one(3, 1.0, 0.5, 0.2), one(1, 0.0, 0.5, 0.6)], "ear"
    )
    row, column = NAMES.index("happy"), NAMES.index("sad")
    assert (
        turned[row, column] == 0.75
        and again[row, column] == 0.5
        and untouched[row, column] == pytest.approx(0.3)
    )
    assert np.isnan(turned[NAMES.index("calm")]).all()
    assert _gain(turned, again) == pytest.approx(0.25 / 3)
