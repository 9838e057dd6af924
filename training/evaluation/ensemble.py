"""The judge of whole songs: three kinds of classifiers on affect features, which err
differently, taught arousal, valence and quadrant at once."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from schemas.song import Song
from training.config import AXES, UNLABELLED
from training.errors import RunFailed
from training.evaluation.affect_features import affect_table

N_QUADRANTS = 4


def classifiers(seed: int, trees: int) -> list[Callable[[], Any]]:
    """Makers of the three, each with predict_proba; settings by cross-validation over the songs
    of EMOPIA's training clips (tests/bench/affect_judges.py). RunFailed without scikit-learn."""
    try:
        from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise RunFailed(
            "judges need scikit-learn: install moodroll with its extra [evaluate]"
        ) from error
    return [
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)),
        lambda: ExtraTreesClassifier(
            trees, min_samples_leaf=2, max_features=0.2, random_state=seed
        ),
        lambda: HistGradientBoostingClassifier(
            max_depth=3,
            max_iter=150,
            learning_rate=0.06,
            min_samples_leaf=15,
            l2_regularization=1.0,
            max_features=0.3,
            random_state=seed,
        ),
    ]


class Ensemble:
    """Mean of the three for each axis and for the quadrants; the product of the axes and the
    quadrants' own are met in the middle."""

    name = "ensemble"

    def __init__(self, seed: int = 0, trees: int = 400) -> None:
        self._makers = classifiers(seed, trees)

    def fit(self, songs: Sequence[Song], labels: np.ndarray) -> "Ensemble":
        """labels (n, 2), −1 where there is none; raises RunFailed where an axis has one class
        alone."""
        table = affect_table(songs)
        self._axes = [self._taught(table, labels[:, axis]) for axis in range(len(AXES))]
        both = (labels != UNLABELLED).all(1)
        self._quadrants = self._taught(table, np.where(both, labels @ [2, 1], UNLABELLED))
        return self

    def _taught(self, table: np.ndarray, label: np.ndarray) -> list[Any]:
        known = label != UNLABELLED
        if len(np.unique(label[known])) < 2:
            raise RunFailed(
                "judges need songs of both classes: the release's songs for judges have one"
            )
        return [make().fit(table[known], label[known]) for make in self._makers]

    def quadrants(self, songs: Sequence[Song]) -> np.ndarray:
        """Chance of each quadrant, 2 · arousal + valence: float (n, 4)."""
        table = affect_table(songs)
        axes = [_chances(taught, table, 2) for taught in self._axes]
        product = np.einsum("na,nv->nav", *axes).reshape(len(table), N_QUADRANTS)
        middle = np.sqrt(product * _chances(self._quadrants, table, N_QUADRANTS))
        return middle / middle.sum(1, keepdims=True)

    def probability(self, songs: Sequence[Song]) -> np.ndarray:
        """Of high arousal and valence: float (n, 2)."""
        chance = self.quadrants(songs)
        return np.stack([chance[:, 2:].sum(1), chance[:, 1::2].sum(1)], axis=1)


def _chances(taught: Sequence[Any], table: np.ndarray, n_classes: int) -> np.ndarray:
    """Mean of what the taught say, a column a class; a class that none was taught has no
    chance, but for what keeps a product from being nought."""
    chance = np.full((len(table), n_classes), 1e-9)
    for one in taught:
        chance[:, one.classes_] += one.predict_proba(table) / len(taught)
    return chance
