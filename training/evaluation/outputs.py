"""What a model makes of crops of a split, worked through once; and what fresh probes
read from its latents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.keys import N_KEYS
from training.config import AXES, DataConfig
from training.data.loader import Batch, crops
from training.data.release import Split
from training.errors import RunFailed
from training.protocols import Autoencoder, Classifier, Decoder

BATCH = 16


@dataclass(frozen=True, eq=False)
class ModelOutputs:
    """Some crops, and of a model that can: mean, log_variance (n, T, d) and odds of high
    (n, T) an axis; nll, right (n, T, L) of each target, its z drawn once from q(z|x)."""

    batch: Batch
    mean: dict[str, np.ndarray]
    log_variance: dict[str, np.ndarray]
    odds: dict[str, np.ndarray]
    nll: np.ndarray
    right: np.ndarray

    def first_of_songs(self) -> tuple[np.ndarray, np.ndarray]:
        """Each song once, and its first crop."""
        return np.unique(self.batch.song, return_index=True)

    def song_means(self, axis: str) -> np.ndarray:
        """Mean latent of each song over its crops and bars, in the order of first_of_songs:
        (n_songs, d)."""
        songs, _ = self.first_of_songs()
        return np.stack(
            [self.mean[axis][self.batch.song == song].mean((0, 1)) for song in songs]
        )


def evenly(
    split: Split, chosen: np.ndarray, bars: int, per_song: int
) -> tuple[np.ndarray, np.ndarray]:
    """Song and first bar of evenly spaced crops of the chosen songs (rows of the split),
    all of at least `bars` bars."""
    starts = [
        np.unique(np.linspace(0, split.n_bars[song] - bars, per_song).astype(int))
        for song in chosen
    ]
    return np.repeat(chosen, [len(start) for start in starts]), np.concatenate(
        [np.empty(0, int), *starts]
    )


def run_model(
    model: Any, data: DataConfig, split: Split, songs: int, per_song: int, device: str
) -> ModelOutputs:
    """Evenly spaced crops of a split, and all that the model can say of them, with a
    fixed seed."""
    song, start = evenly(
        split, np.flatnonzero(split.n_bars >= data.bars)[:songs], data.bars, per_song
    )
    if not len(song):
        raise RunFailed(
            f"no song of the split has data.bars = {data.bars} bars: nothing can be evaluated"
        )
    batch = crops(split, song, start, data.bars, data.tokens_per_bar, split.labels[song])
    generator = torch.Generator(device).manual_seed(0)
    parts = []
    for at in range(0, len(song), BATCH):
        tokens, target = (
            torch.from_numpy(x[at : at + BATCH]).to(device).long()
            for x in (batch.tokens, batch.target)
        )
        parts.append(_read(model, tokens, target, generator))
    found = {
        name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]
    }

    def by_axis(name: str) -> dict[str, np.ndarray]:
        return {axis: found[f"{name}.{axis}"] for axis in AXES if f"{name}.{axis}" in found}

    nll, right = (found.get(name, np.empty(0)) for name in ("nll", "right"))
    return ModelOutputs(
        batch, by_axis("mean"), by_axis("log_variance"), by_axis("odds"), nll, right
    )


@torch.no_grad()
def _read(
    model: Any, tokens: Tensor, target: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    if isinstance(model, Classifier):
        found |= {f"odds.{axis}": odds for axis, odds in model.odds(tokens).items()}
    if isinstance(model, Autoencoder):
        parts = []
        for axis, (mean, log_variance) in model.encode(tokens).items():
            noise = torch.randn(mean.shape, generator=generator, device=mean.device)
            parts.append(mean + (0.5 * log_variance).exp() * noise)
            found |= {f"mean.{axis}": mean, f"log_variance.{axis}": log_variance}
        if isinstance(model, Decoder):
            logits = model.decode(tokens, torch.cat(parts, -1))
            nll = functional.cross_entropy(
                logits.flatten(0, 2), target.flatten(), reduction="none"
            ).view(target.shape)
            found |= {"nll": nll, "right": logits.argmax(-1) == target}
    return found


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
