"""What a model knows of songs, as JSON: tokens, features, classes, latents; each figure beside its baseline."""

from typing import Any

import numpy as np
import torch

from schemas.keys import N_KEYS
from schemas.remi import PAD, VOCABULARY_SIZE
from training.config import AXES
from training.data.cache import Split
from training.evaluation import metrics as measures
from training.evaluation.outputs import ModelOutputs
from training.parts.latent import gaussian_kl
from training.protocols import (
    Clustered,
    FeaturePredictor,
)

COLLAPSED_SHARE, COLLAPSED_DISTANCE, COLLAPSED_KL = 0.02, 1.0, 0.01


def token_report(outputs: ModelOutputs, training: Split) -> dict[str, Any]:
    """NLL and accuracy of each token type, and of unigram and bigram models fitted on the
    training split."""
    tokens, target = outputs.batch.tokens, outputs.batch.target
    real, types = target != PAD, measures.token_types(target)
    groups = {
        name: real & (types == index) for index, name in enumerate(measures.TOKEN_TYPES)
    }
    grams = measures.NGram(VOCABULARY_SIZE)
    grams.add(training.tokens[:-1], training.tokens[1:])
    baselines = grams.nll(tokens[real], target[real])
    return {
        "nll": float(outputs.nll[real].mean()),
        "accuracy": float(outputs.right[real].mean()),
        **{f"{name}_nll": nll for name, nll in baselines.items()},
        "by_type": {
            name: {
                "nll": float(outputs.nll[of].mean()),
                "accuracy": float(outputs.right[of].mean()),
                "n": int(of.sum()),
            }
            for name, of in groups.items()
            if of.any()
        },
    }


@torch.no_grad()
def feature_report(
    model: FeaturePredictor, outputs: ModelOutputs, device: str
) -> dict[str, Any]:
    """How well rhythm and key are told from the right latent, beside always saying the
    commonest."""
    report: dict[str, Any] = {}
    for axis, name, wanted in (
        ("arousal", "rhythm", outputs.batch.rhythm),
        ("valence", "key", outputs.batch.key),
    ):
        told = (
            model.predict(axis, torch.from_numpy(outputs.mean[axis]).to(device))
            .cpu()
            .numpy()
        )
        keep = np.ones(wanted.shape, bool) if name == "rhythm" else wanted < N_KEYS
        report[name] = measures.accuracies(told[keep], wanted[keep].astype(int))
    return report


def class_report(outputs: ModelOutputs) -> dict[str, Any]:
    """q(y|x) against the labels, a song's classes by the log-odds of all its crops'
    bars; the four quadrants together."""
    report: dict[str, Any] = {}
    songs, first = outputs.first_of_songs()
    labels, said = outputs.batch.label[first], []
    for axis, label in zip(AXES, labels.T, strict=True):
        score = outputs.odds[axis].mean(1)
        by_song = np.array([score[outputs.batch.song == song].mean() for song in songs])
        known, high = label >= 0, (by_song > 0).astype(int)
        said.append(high)
        report[axis] = measures.accuracies(high[known], label[known])
        report[axis] |= {
            "ranking_auc": measures.auc(by_song[known], label[known]),
            **_intervals(by_song[known], label[known]),
            "share_high": float(high.mean()),
        }
    both = (labels >= 0).all(1)
    report["quadrants"] = measures.accuracies(
        (said[0] * 2 + said[1])[both], (labels @ [2, 1])[both]
    )
    return report


def _intervals(score: np.ndarray, label: np.ndarray) -> dict[str, list[float]]:
    """95 % intervals of accuracy and AUC, songs drawn again."""
    song = np.arange(len(label))
    if len(np.unique(label)) < 2:
        return {}
    return {
        "accuracy_interval": measures.over_songs(
            song, lambda rows: float(((score > 0) == (label == 1))[rows].mean())
        ),
        "auc_interval": measures.over_songs(
            song, lambda rows: measures.auc(score[rows], label[rows])
        ),
    }


@torch.no_grad()
def latent_report(model: Clustered, outputs: ModelOutputs) -> dict[str, Any]:
    """Components' distance, active units, KL, and what has collapsed."""
    report = {}
    for axis, mixture in model.mixtures.items():
        mean, log_variance = (
            torch.from_numpy(x[axis]).flatten(0, 1)
            for x in (outputs.mean, outputs.log_variance)
        )
        means, spread = mixture.means.cpu(), mixture.log_variance.cpu()
        share = float(torch.from_numpy(outputs.odds[axis]).sigmoid().mean())
        nearest = means[torch.from_numpy(outputs.odds[axis] > 0).flatten().long()]
        kl, distance = (
            gaussian_kl(mean, log_variance, nearest, spread),
            float(mixture.distance()),
        )
        report[axis] = {
            "distance": distance, "bhattacharyya": distance**2 / 8, "share_high": share,
            "active_units": int((mean.var(0) > 0.01 * spread.exp()).sum()), "units": mean.shape[1],
            "kl_per_bar": float(kl.sum(1).mean()),
            "collapsed": {
                "one_cluster": min(share, 1 - share) < COLLAPSED_SHARE, "components_meet": distance < COLLAPSED_DISTANCE,
                "posterior_is_prior": float(kl.mean()) < COLLAPSED_KL,
            },
        }  # fmt: skip
    return report
