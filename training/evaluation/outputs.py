"""What a model makes of crops of a split, worked through once; and what fresh probes
read from its latents."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.config import AXES, DataConfig
from training.data.cache import Split
from training.data.loader import Batch, crops
from training.errors import RunFailed
from training.protocols import Autoencoder, Classifier, Decoder

BATCH = 16
GOLDEN = 0.6180339887498949


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
    all of at least `bars` bars.

    Where the first lies differs from song to song (by the golden ratio), so that a crop a
    song is of openings, middles and ends alike.
    """
    part = (np.arange(per_song) + np.arange(len(chosen))[:, None] * GOLDEN % 1) / per_song
    room = split.n_bars[chosen] - bars + 1
    starts = [
        np.unique((parts * n).astype(int)) for parts, n in zip(part, room, strict=True)
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
