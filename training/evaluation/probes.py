"""Probes: what fresh classifiers read from a model's latents, and so what leaks into which."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from schemas.keys import N_KEYS
from training.config import AXES
from training.evaluation.metrics import over_songs
from training.evaluation.outputs import ModelOutputs


def probe(
    inputs: Sequence[np.ndarray], wanted: Sequence[np.ndarray], classes: int, steps: int
) -> np.ndarray:
    """What a fresh small network taught on the first rows says of the second: classes, or
    numbers where classes is 0."""
    kind = np.int64 if classes else np.float32
    x, held_x = (
        torch.from_numpy(np.ascontiguousarray(rows, np.float32)) for rows in inputs
    )
    y = torch.from_numpy(np.ascontiguousarray(wanted[0], kind))
    middle, spread = x.mean(0), x.std(0) + 1e-6
    x, held_x = (x - middle) / spread, (held_x - middle) / spread
    centre, scale = (0, 1) if classes else (y.mean(), y.std() + 1e-6)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Linear(x.shape[1], 64), nn.GELU(), nn.Linear(64, classes or 1)
        )
        optimiser = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-2)
        for _ in range(steps):
            rows = torch.randint(0, len(x), (min(512, len(x)),))
            out, goal = net(x[rows]), (y[rows] - centre) / scale if not classes else y[rows]
            loss = (
                functional.cross_entropy(out, goal)
                if classes
                else functional.mse_loss(out[:, 0], goal)
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
            optimiser.step()
    with torch.no_grad():
        out = net(held_x)
    said = out.argmax(-1) if classes else out[:, 0] * scale + centre
    return said.numpy()


def r_squared(said: np.ndarray, true: np.ndarray) -> float:
    """Share of the variance that is told; 0 is the mean of the true, below it worse."""
    return float(1 - ((said - true) ** 2).mean() / max(true.var(), 1e-9))


def leakage_report(
    training: ModelOutputs, outputs: ModelOutputs, steps: int
) -> dict[str, Any]:
    """What fresh probes read from each latent: key (accuracy) and onsets a bar (R²), with
    95 % intervals over songs; what the wrong one tells is leakage."""
    both = (training, outputs)
    keyed = [one.batch.key.ravel() < N_KEYS for one in both]
    keys = [one.batch.key.ravel()[of] for one, of in zip(both, keyed, strict=True)]
    onsets = [one.batch.rhythm.sum(-1).ravel() for one in both]
    song = np.repeat(outputs.batch.song, outputs.batch.key.shape[1])
    has_keys = all(len(one) for one in keys)
    commonest = np.bincount(keys[0], minlength=N_KEYS).argmax()
    report: dict[str, Any] = {
        "key_majority": float((keys[1] == commonest).mean())
        if len(keys[1])
        else float("nan")
    }
    for axis, name in zip(AXES, ("z_r", "z_k"), strict=True):
        flat = [one.mean[axis].reshape(-1, one.mean[axis].shape[-1]) for one in both]
        if has_keys:
            rows = [x[of] for x, of in zip(flat, keyed, strict=True)]
            said = probe(rows, keys, N_KEYS, steps)
            report |= _told(f"key_from_{name}", said, keys[1], song[keyed[1]], _accuracy)
        said = probe(flat, onsets, 0, steps)
        report |= _told(f"onsets_from_{name}", said, onsets[1], song, r_squared)
    return report


def _accuracy(said: np.ndarray, true: np.ndarray) -> float:
    return float((said == true).mean())


def _told(
    name: str,
    said: np.ndarray,
    true: np.ndarray,
    song: np.ndarray,
    score: Callable[[np.ndarray, np.ndarray], float],
) -> dict[str, Any]:
    """A score and its interval over songs: song (n) of each row."""
    true = true.astype(float)
    return {
        name: score(said, true),
        f"{name}_interval": over_songs(song, lambda rows: score(said[rows], true[rows])),
    }
