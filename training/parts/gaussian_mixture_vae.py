"""The Gaussian-mixture VAE of Music FaderNets and of Semg-GMVAE, which came from it.

Two encoders give a rhythm latent z_r, whose two components are low and high arousal, and a
key latent z_k, whose two are low and high valence, one of each a bar; local decoders tie
each to its feature; a global decoder writes the bars. What Semg-GMVAE (Xu and Liu, 2024)
adds are settings here, off by default: the variance penalty α, mutual information, and an
adversary that keeps the other's feature out of each latent. Equations are cited by the
number they have in that paper; where it errs or is silent, GmVaeConfig says what stands.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from schemas.keys import N_KEYS
from schemas.remi import N_BEATS
from schemas.song import Song
from training.config import AXES, DataConfig
from training.parts.adversary import (
    feature_loss,
    held_still,
    reverse_gradient,
    unlikelihood,
)
from training.parts.backbone import Decoder, sample_latent, token_terms
from training.parts.bar_vae import AxisVae, Terms, VaeConfig
from training.parts.latent import Mixture, free_below, mixture_kl, prior_latents
from training.parts.sampling import SamplingConfig

IGNORE = -100
FEATURES = {"arousal": "rhythm", "valence": "key"}
OTHER = {"arousal": "valence", "valence": "arousal"}


@dataclass(frozen=True)
class GmVaeConfig(VaeConfig):
    """The settings of the family, with *_weight what the papers leave out.

    sigma: of every component, fixed and shared, as eq. (7) assumes; alpha: eq. (10);
    mutual_information: eq. (14), both on unlabelled songs alone as in eq. (17); adversary:
    see parts/adversary.py; vanilla: the ELBO alone (alpha 1, no mutual information, no
    feature terms); label_weight: of a cross-entropy of q(y|x) on labelled songs, 0 as the
    paper has it (1: Music FaderNets); below free_bits a label teaches nothing unless it is
    set. temperature divides the log-odds of q(y|x).
    """

    sigma: float = 0.1353352832366127
    alpha: float = 1.0
    mutual_information: bool = False
    adversary: Literal["paper", "reversal", "none"] = "none"
    vanilla: bool = False
    rhythm_weight: float = 1.0
    key_weight: float = 1.0
    adversary_weight: float = 1.0
    category_weight: float = 1.0
    label_weight: float = 0.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma <= 0 or self.temperature <= 0:
            raise ValueError("sigma and temperature must be over 0")


def _local_decoder(config: GmVaeConfig, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(config.latent, config.width), nn.GELU(), nn.Linear(config.width, outputs)
    )


class GmVae(AxisVae):
    """The whole model; forward gives the loss of eq. (17) and its terms."""

    def __init__(self, config: GmVaeConfig, data: DataConfig) -> None:
        # Start with the components' own variance: else q(y|x) is one-hot noise from the
        # first step.
        super().__init__(config, data, 2 * math.log(config.sigma))
        self.counts = data.max_count + 1
        self.mixtures: Any = nn.ModuleDict(
            {axis: Mixture(2, config.latent, config.sigma) for axis in AXES}
        )
        self.decoder = Decoder(config, 2 * config.latent)
        sizes = {"arousal": N_BEATS * self.counts, "valence": N_KEYS}
        self.local: Any = nn.ModuleDict(
            {axis: _local_decoder(config, sizes[axis]) for axis in AXES}
        )
        self.local.requires_grad_(not config.vanilla)
        probed = AXES if config.adversary == "reversal" and not config.vanilla else ()
        self.probes: Any = nn.ModuleDict(
            {axis: _local_decoder(config, sizes[axis]) for axis in probed}
        )

    def forward(self, batch: Mapping[str, Tensor], step: Tensor | None) -> Terms:
        """`loss` and its terms at a step; without one, as in validation, the KL has its
        full weight."""
        flat, wanted, layout = self.read(batch)
        gaussians = self.gaussians(flat, layout)
        z = {axis: sample_latent(*gaussians[axis]) for axis in AXES}
        logits = self.decoder(flat, layout, torch.cat([z[axis] for axis in AXES], -1))
        terms = token_terms(logits, wanted)
        kl_weight = self.config.kl_weight_at(step)
        loss = terms["reconstruction"] + (
            0.0 if self.config.vanilla else self._features(batch, z, terms)
        )
        for index, axis in enumerate(AXES):
            loss = loss + self._latent(
                axis, gaussians[axis], z[axis], batch["label"][:, index], kl_weight, terms
            )
        return terms | {"loss": loss, "kl_weight": torch.as_tensor(kl_weight)}

    def _features(
        self, batch: Mapping[str, Tensor], z: dict[str, Tensor], terms: Terms
    ) -> Tensor | float:
        """L_Dis, eq. (16): the right latent tells its feature, the wrong one does not."""
        config, key = self.config, batch["key"].long()
        targets = {
            "arousal": batch["rhythm"].long(),
            "valence": torch.where(key < N_KEYS, key, IGNORE),
        }
        weights = {"arousal": config.rhythm_weight, "valence": config.key_weight}
        total: Tensor | float = 0.0
        for axis, wanted in targets.items():
            name, local, wrong = FEATURES[axis], self.local[axis], z[OTHER[axis]]
            terms[name] = feature_loss(self._shaped(axis, local(z[axis])), wanted, IGNORE)
            total = total + weights[axis] * terms[name]
            if config.adversary == "none":
                continue
            if config.adversary == "paper":
                harm = unlikelihood(
                    self._shaped(axis, held_still(local, wrong)), wanted, IGNORE
                )
            else:
                harm = feature_loss(
                    self._shaped(axis, self.probes[axis](reverse_gradient(wrong))),
                    wanted,
                    IGNORE,
                )
            terms[f"{name}_adversary"] = harm
            total = total + config.adversary_weight * harm
        return total

    def _latent(
        self,
        axis: str,
        gaussian: tuple[Tensor, Tensor],
        z: Tensor,
        label: Tensor,
        kl_weight: Tensor | float,
        terms: Terms,
    ) -> Tensor:
        """L_sup or L_unsup of each bar, its song's label (B) laid on every bar."""
        config, mixture = self.config, self.mixtures[axis]
        alpha, mutual = (
            (1.0, False) if config.vanilla else (config.alpha, config.mutual_information)
        )
        log_odds = mixture.log_odds(z) / config.temperature
        label = label[:, None].expand(z.shape[:-1])
        found = mixture_kl(*gaussian, log_odds.log_softmax(-1), mixture, label, mutual)
        each = found.kl + alpha * found.spread
        loss = kl_weight * (
            free_below(each, config.free_bits) + config.category_weight * found.category
        )
        known = label >= 0
        if config.label_weight:
            loss = loss + config.label_weight * feature_loss(
                log_odds, torch.where(known, label, IGNORE), IGNORE
            )
        with torch.no_grad():
            right = (log_odds.argmax(-1) == label) & known
            terms |= {
                f"{axis}_kl": each.sum(-1).mean(), f"{axis}_spread": found.spread.sum(-1).mean(),
                f"{axis}_category": found.category,
                f"{axis}_accuracy": right.sum() / known.sum().clamp(min=1), f"{axis}_distance": mixture.distance(),
                f"{axis}_share_high": found.posterior.flatten(0, -2).mean(0)[1],
            }  # fmt: skip
        return loss

    def _shaped(self, axis: str, logits: Tensor) -> Tensor:
        return (
            logits.view(*logits.shape[:-1], N_BEATS, self.counts)
            if axis == "arousal"
            else logits
        )

    def predict(self, axis: str, z: Tensor) -> Tensor:
        """The axis's feature predicted from its own z (B, T, latent): onsets (B, T, 16) or
        key (B, T)."""
        return self._shaped(axis, self.local[axis](z)).argmax(-1)

    def odds(self, tokens: Tensor) -> dict[str, Tensor]:
        """Log-odds of high against low for each axis and bar, at the mean of q(z|x):
        tokens (B, T, L) to (B, T)."""
        found = {
            axis: self.mixtures[axis].log_odds(mean)
            for axis, (mean, _) in self.encode(tokens).items()
        }
        return {
            axis: log_odds[..., 1] - log_odds[..., 0] for axis, log_odds in found.items()
        }

    def generate(
        self,
        conditioning: Mapping[str, int | None],
        n: int,
        bars: int,
        sampling: SamplingConfig,
    ) -> list[Song]:
        """n pieces of an emotion; an axis without a class takes one at random a piece."""
        return self.write(
            prior_latents(self.mixtures, conditioning, n, bars, sampling.seed), sampling
        )
