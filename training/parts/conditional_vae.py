"""A conditional VAE of the emotion: q(z|x, y) and p(x|y, z), what CVAE and M2 share."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from schemas.song import Song
from training.config import AXES, DataConfig
from training.parts.backbone import Decoder, Encoder, sample_latent
from training.parts.bar_vae import (
    BarVae,
    RowTokens,
    VaeConfig,
    beside,
    laid_on_bars,
    row_tokens,
)
from training.parts.conditioning import N_LEVELS, class_code, sample_labels
from training.parts.latent import standard_kl
from training.parts.sampling import SamplingConfig


class ConditionalVae(BarVae):
    """One latent (B, T, 2·latent), prior N(0, I); the class of each axis is an embedding at
    every layer of both nets."""

    steered_by = "its class codes"

    def __init__(self, config: VaeConfig, data: DataConfig) -> None:
        super().__init__(config, data)
        self.encoder = Encoder(replace(config, latent=2 * config.latent), 0.0)
        self.told = nn.Linear(len(AXES) * N_LEVELS, config.width, bias=False)
        self.decoder = Decoder(config, 2 * (config.latent + N_LEVELS))

    def posterior(self, tokens: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, T, 2·latent) of q(z|x, y): tokens (B, T, L), labels
        (B, 2)."""
        layout = self.layout(tokens)
        return self.encoder(
            layout.gather(tokens),
            layout,
            laid_on_bars(self.told(class_code(label)), tokens.shape[1]),
        )

    def label_code(self, label: Tensor, bars: int) -> Tensor:
        """What a code says of labels (B, 2) beside z: (B, T, 2, 3)."""
        return laid_on_bars(
            torch.unflatten(class_code(label), -1, (len(AXES), N_LEVELS)), bars
        )

    def score(
        self, tokens: Tensor, target: Tensor, label: Tensor
    ) -> tuple[RowTokens, Tensor]:
        """One sample of log p(x|y, z) of each row, and KL[q(z|x, y) ‖ N(0, I)] (B, T,
        2·latent)."""
        gaussian = self.posterior(tokens, label)
        code = beside(sample_latent(*gaussian), self.label_code(label, tokens.shape[1]))
        layout = self.layout(tokens)
        logits = self.decoder(layout.gather(tokens), layout, code)
        return row_tokens(logits, layout.gather(target), layout), standard_kl(*gaussian)

    def generate(
        self,
        conditioning: Mapping[str, int | None],
        n: int,
        bars: int,
        sampling: SamplingConfig,
    ) -> list[Song]:
        """n pieces of an emotion, z from N(0, I), with the sampling's strength and noise; an
        axis without a class takes one at random a piece."""
        generator, device = (
            torch.Generator().manual_seed(sampling.seed),
            self.decoder.head.weight.device,
        )
        label = sample_labels(conditioning, n, generator).to(device)
        z = torch.randn(n, bars, 2 * self.config.latent, generator=generator).to(device)
        code, other = (self.label_code(one, bars) for one in (label, 1 - label))
        middle = (code + other) / 2
        code = middle + sampling.strength * (code - middle)
        return self.write(beside(sampling.noise * z, code), sampling)
