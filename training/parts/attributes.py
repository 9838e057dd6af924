"""Attributes of bars that condition a VAE, and how an arousal asked for sets them: what
MuseMorphose and GAN-CVAE share."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from schemas.remi import BEAT, DURATION, N_BEATS, N_DURATIONS, TEMPO_TOKEN
from schemas.song import Song
from training.config import DataConfig
from training.errors import RunFailed
from training.parts.backbone import Decoder, Encoder, sample_latent
from training.parts.bar_vae import (
    BarVae,
    Terms,
    VaeConfig,
    as_axes,
    beside,
    laid_on_bars,
    row_tokens,
)
from training.parts.latent import free_below, standard_kl
from training.parts.sampling import SamplingConfig


@dataclass(frozen=True)
class AttributeConfig(VaeConfig):
    """The backbone, its KL, and what parts the classes of each attribute, from low to high.

    rhythm_bounds: of the share of sixteenths where a note starts; polyphony_bounds: of
    notes that sound on average. The defaults are MuseMorphose's, octiles of piano covers:
    other data needs its own.
    """

    rhythm_bounds: tuple[float, ...] = (0.2, 0.25, 0.32, 0.38, 0.44, 0.5, 0.63)
    polyphony_bounds: tuple[float, ...] = (2.63, 3.06, 3.5, 4.0, 4.63, 5.44, 6.44)

    def __post_init__(self) -> None:
        super().__post_init__()
        both = (self.rhythm_bounds, self.polyphony_bounds)
        if len({len(bounds) for bounds in both}) > 1 or any(
            len(b) < 3 or list(b) != sorted(set(b)) for b in both
        ):
            raise ValueError(
                "rhythm_bounds and polyphony_bounds must be as many, at least 3, and rise"
            )


def bar_attributes(tokens: Tensor) -> Tensor:
    """Share of sixteenths with an onset, and mean notes sounding (all lengths of those that
    start): (B, T, L) to (B, T, 2)."""
    onsets = ((tokens >= BEAT) & (tokens < TEMPO_TOKEN)).sum(-1)
    lengths = torch.where(tokens >= DURATION, (tokens - DURATION) % N_DURATIONS + 1, 0).sum(
        -1
    )
    return torch.stack([onsets, lengths], -1) / N_BEATS


class AttributeVae(BarVae):
    """One latent (B, T, 2·latent) with the prior N(0, I), and the bar's attributes beside
    it in the decoder's code.

    In a code the rhythm's attribute stands by the first half of z and the polyphony's by
    the second, only to stand somewhere.
    """

    bounds: Tensor

    def __init__(self, config: AttributeConfig, data: DataConfig, size: int) -> None:
        super().__init__(config, data)
        self.encoder = Encoder(replace(config, latent=2 * config.latent), 0.0)
        self.decoder = Decoder(config, 2 * (config.latent + size))
        self.register_buffer(
            "bounds",
            torch.tensor([config.rhythm_bounds, config.polyphony_bounds]),
            persistent=False,
        )

    def condition(self, values: Tensor) -> Tensor:
        """Attributes (B, T, 2) as the decoder is given them, (B, T, 2, size)."""
        raise NotImplementedError

    def ordinal(self, values: Tensor) -> Tensor:
        """Which bounds each attribute is over, (..., 2) to (..., 2, bounds): class 2 of
        8 is 1 1 0 0 0 0 0."""
        return (values.unsqueeze(-1) > self.bounds).float()

    def elbo(
        self, batch: Mapping[str, Tensor], step: Tensor | None
    ) -> tuple[Terms, Tensor]:
        """The ELBO as `loss`, with its terms, and the z (B, T, 2·latent) that was sampled."""
        flat, wanted, layout = self.read(batch)
        mean, log_variance = self.encoder(flat, layout)
        z = sample_latent(mean, log_variance)
        logits = self.decoder(
            flat, layout, beside(z, self.condition(bar_attributes(batch["tokens"].long())))
        )
        scored = row_tokens(logits, wanted, layout)
        terms = scored.terms()
        terms["kl"] = free_below(standard_kl(mean, log_variance), self.config.free_bits)
        kl_weight = self.config.kl_weight_at(step)
        a_bar = scored.a_row() * z.shape[1]
        terms["loss"] = terms["reconstruction"] + kl_weight * a_bar * terms["kl"]
        return terms | {"kl_weight": torch.as_tensor(kl_weight)}, z

    def encode(self, tokens: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Half of z with an attribute after it, for each axis."""
        layout = self.layout(tokens)
        mean, log_variance = self.encoder(layout.gather(tokens), layout)
        return as_axes(mean, log_variance, self.condition(bar_attributes(tokens)))

    def generate(
        self,
        conditioning: Mapping[str, int | None],
        n: int,
        bars: int,
        sampling: SamplingConfig,
    ) -> list[Song]:
        """n pieces, dense for high arousal and sparse for low: by a rule of ours, since no
        label taught this model anything.

        Both attributes take a class of the upper or lower half, at random a piece. There is
        no handle on valence: beside an arousal it is left to chance, asked for alone it is
        refused.
        """
        if conditioning["arousal"] is None and conditioning["valence"] is not None:
            raise RunFailed(
                f"a {type(self).__name__} has no handle on valence: ask for an arousal, or use another model"
            )
        generator, device = (
            torch.Generator().manual_seed(sampling.seed),
            self.decoder.head.weight.device,
        )
        middles = self.middles()
        half = middles.shape[1] // 2
        first, stop = {None: (0, 2 * half), 0: (0, half), 1: (half, 2 * half)}[
            conditioning["arousal"]
        ]
        level = torch.randint(first, stop, (n, 2), generator=generator).to(device)
        values = torch.stack([middles[index, level[:, index]] for index in range(2)], -1)
        z = torch.randn(n, bars, 2 * self.config.latent, generator=generator).to(device)
        return self.write(beside(z, self.condition(laid_on_bars(values, bars))), sampling)

    def middles(self) -> Tensor:
        """A value inside each class, (2, classes)."""
        low, high = self.bounds[:, :1], self.bounds[:, -1:]
        inner = (self.bounds[:, 1:] + self.bounds[:, :-1]) / 2
        return torch.cat([low / 2, inner, high + (high - self.bounds[:, -2:-1]) / 2], -1)
