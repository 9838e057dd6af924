"""Probes: what fresh classifiers read from a model's latents, and so what leaks into which."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from schemas.keys import N_KEYS
from training.config import AXES
from training.evaluation.outputs import ModelOutputs


def probe(
    inputs: Sequence[np.ndarray], wanted: Sequence[np.ndarray], classes: int, steps: int
) -> float:
    """Score on the second rows of a fresh small network taught on the first: accuracy,
    or R² where classes is 0."""
    kind = np.int64 if classes else np.float32
    x, held_x = (
        torch.from_numpy(np.ascontiguousarray(rows, np.float32)) for rows in inputs
    )
    y, held_y = (torch.from_numpy(np.ascontiguousarray(rows, kind)) for rows in wanted)
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
    if classes:
        return float((out.argmax(-1) == held_y).float().mean())
    return float(
        1
        - (out[:, 0] * scale + centre - held_y).pow(2).mean()
        / held_y.var(correction=0).clamp(min=1e-9)
    )


def leakage_report(
    training: ModelOutputs, outputs: ModelOutputs, steps: int
) -> dict[str, Any]:
    """What fresh probes read from each latent: key (accuracy) and onsets a bar (R²);
    what the wrong one tells is leakage."""
    both = (training, outputs)
    keyed = [one.batch.key.ravel() < N_KEYS for one in both]
    keys = [one.batch.key.ravel()[of] for one, of in zip(both, keyed, strict=True)]
    onsets = [one.batch.rhythm.sum(-1).ravel() for one in both]
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
            report[f"key_from_{name}"] = probe(
                [x[of] for x, of in zip(flat, keyed, strict=True)], keys, N_KEYS, steps
            )
        report[f"onsets_from_{name}"] = probe(flat, onsets, 0, steps)
    return report
