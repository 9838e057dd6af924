"""The Gaussian-mixture VAE of Music FaderNets and of Semg-GMVAE, which came from it.

Two encoders give a rhythm latent z_r, whose two components are low and high arousal, and a
key latent z_k, whose two are low and high valence, one of each a bar; local decoders tie
each to its feature; a global decoder writes the bars. What Semg-GMVAE (Xu and Liu, 2024)
adds are settings here, off by default: the variance penalty α, mutual information, and an
adversary that keeps the other's feature out of each latent. Equations are cited by the
number they have in that paper; where it errs or is silent, mixture_settings.py says what stands.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from schemas.keys import N_KEYS
from schemas.remi import N_BEATS, N_TEMPI, PITCH, TEMPO_TOKEN
from schemas.song import Song
from training.config import AXES, DataConfig
from training.parts.adversary import (
    feature_loss,
    held_still,
    reverse_gradient,
    unlikelihood,
)
from training.parts.backbone import Decoder, sample_latent, token_terms
from training.parts.bar_prior import BarPrior
from training.parts.bar_vae import AxisVae, Terms, bars_a_token
from training.parts.latent import Mixture, free_below, mixture_kl, prior_latents
from training.parts.mixture_settings import GmVaeConfig
from training.parts.sampling import SamplingConfig

IGNORE = -100
FEATURES = {"arousal": "rhythm", "valence": "key"}
TEMPO_OF = {"none": (), "arousal": AXES[:1], "valence": AXES[1:], "both": AXES}
OTHER = {"arousal": "valence", "valence": "arousal"}


def first_tempo(tokens: Tensor) -> Tensor:
    """Index of the first tempo of each bar of (B, T, L), IGNORE where it says none: (B,
    T)."""
    is_tempo = (tokens >= TEMPO_TOKEN) & (tokens < PITCH)
    at = is_tempo.to(torch.uint8).argmax(-1, keepdim=True)
    index = tokens.gather(-1, at).squeeze(-1) - TEMPO_TOKEN
    return torch.where(is_tempo.any(-1), index, IGNORE)


def _a_bar(each: Tensor) -> Tensor:
    """(B, T, d) in nats a bar."""
    return each.sum(-1).mean()


def _local_decoder(config: GmVaeConfig, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(config.latent, config.width), nn.GELU(), nn.Linear(config.width, outputs)
    )


class GmVae(AxisVae):
    """The whole model; forward gives the loss of eq. (17) and its terms."""

    steered_by = "its components"

    def __init__(self, config: GmVaeConfig, data: DataConfig) -> None:
        # Start with the components' own variance: else q(y|x) is one-hot noise from the
        # first step.
        super().__init__(config, data, 2 * math.log(config.sigma))
        self.counts = data.max_count + 1
        self.mixtures: Any = nn.ModuleDict(
            {axis: Mixture(2, config.latent, config.sigma) for axis in AXES}
        )
        fitted = AXES if config.prior == "fitted" else ()
        self.priors: Any = nn.ModuleDict(
            {axis: BarPrior(2, config.latent) for axis in fitted}
        )
        self.decoder = Decoder(config, 2 * config.latent)
        sizes = {"arousal": N_BEATS * self.counts, "valence": N_KEYS}
        self.local: Any = nn.ModuleDict(
            {axis: _local_decoder(config, sizes[axis]) for axis in AXES}
        )
        self.local.requires_grad_(not config.vanilla)
        paced = () if config.vanilla else TEMPO_OF[config.tempo]
        self.paces: Any = nn.ModuleDict(
            {axis: _local_decoder(config, N_TEMPI) for axis in paced}
        )
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
        both = torch.cat([z[axis] for axis in AXES], -1)
        logits = self.decoder(flat, layout, self.code(both))
        terms = token_terms(logits, wanted)
        kl_weight = self.config.kl_weight_at(step)
        coded = {axis: self.code(z[axis]) for axis in AXES}
        of_bars: Tensor | float = (
            0.0 if self.config.vanilla else self._features(batch, coded, terms)
        )
        for index, axis in enumerate(AXES):
            of_bars = of_bars + self._latent(
                axis, gaussians[axis], z[axis], batch["label"][:, index], kl_weight, terms
            )
        a_token = bars_a_token(wanted, z[AXES[0]].shape[:2].numel())
        loss = terms["reconstruction"] + a_token * of_bars
        return terms | {"loss": loss, "kl_weight": torch.as_tensor(kl_weight)}

    def _features(
        self, batch: Mapping[str, Tensor], z: dict[str, Tensor], terms: Terms
    ) -> Tensor | float:
        """L_Dis, eq. (16), in nats a bar: the right latent tells its feature, the wrong one
        does not."""
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
            # As many as a bar has, from a mean over all.
            weight = weights[axis] * (wanted != IGNORE).sum() / key.numel()
            total = total + weight * terms[name]
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
            total = total + config.adversary_weight * weight * harm
        return total + self._tempo(batch, z, terms)

    def _tempo(
        self, batch: Mapping[str, Tensor], z: dict[str, Tensor], terms: Terms
    ) -> Tensor | float:
        """The third head in nats a bar: the first tempo that each bar says."""
        total: Tensor | float = 0.0
        for axis, head in self.paces.items():
            wanted = first_tempo(batch["tokens"].long())
            terms[f"{axis}_tempo"] = feature_loss(head(z[axis]), wanted, IGNORE)
            share = (wanted != IGNORE).float().mean()
            total = total + self.config.tempo_weight * share * terms[f"{axis}_tempo"]
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
        """L_sup or L_unsup in nats a bar, a song's label (B) laid on every bar."""
        config, mixture = self.config, self.mixtures[axis]
        alpha, mutual = (
            (1.0, False) if config.vanilla else (config.alpha, config.mutual_information)
        )
        log_odds = mixture.log_odds(z) / config.temperature
        label = label[:, None].expand(z.shape[:-1])
        log_q = log_odds.log_softmax(-1)
        if axis not in config.inferred:
            # Certain of neither: the average component is the middle, and nothing is spread.
            log_q = torch.where(label[..., None] >= 0, log_q, -math.log(2.0))
            alpha, mutual = 0.0, False
        found = mixture_kl(*gaussian, log_q, mixture, label, mutual)
        each = found.kl + alpha * found.spread
        if config.components == "joint":
            divergence = free_below(each, config.free_bits)
            follows: Tensor | float = 0.0
        else:
            still = mixture.means.detach()
            own = mixture_kl(*gaussian, log_q, mixture, label, mutual, still)
            divergence = free_below(own.kl, config.free_bits) + alpha * _a_bar(own.spread)
            mean, log_variance = (part.detach() for part in gaussian)
            theirs = mixture_kl(mean, log_variance, log_q.detach(), mixture, label, mutual)
            follows = _a_bar(theirs.kl + alpha * theirs.spread)
        loss = follows + kl_weight * (divergence + config.category_weight * found.category)
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

    @torch.no_grad()
    def settle(self, tokens: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
        """Put the components at the mean latents of labelled songs' classes, where both have
        some: tokens (B, T, L) and labels (B, 2) of batches."""
        coded = [self.encode(batch) for batch in tokens]
        for index, axis in enumerate(AXES):
            label = torch.cat([of_batch[:, index] for of_batch in labels])
            mean = torch.cat([batch[axis][0].mean(1) for batch in coded])
            if all((label == level).any() for level in range(2)):
                middles = [mean[label == level].mean(0) for level in range(2)]
                self.mixtures[axis].means.copy_(torch.stack(middles))

    @torch.no_grad()
    def fit_prior(self, tokens: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
        """Fit what pieces are drawn from to labelled songs: tokens (B, T, L) and labels (B,
        2) of batches."""
        coded = [self.encode(batch) for batch in tokens] if self.priors else []
        for axis, prior in self.priors.items():
            label = torch.cat([of_batch[:, AXES.index(axis)] for of_batch in labels])
            mean, log_variance = (
                torch.cat([batch[axis][part] for batch in coded]) for part in range(2)
            )
            prior.fit(mean, log_variance, label)

    def code(self, z: Tensor) -> Tensor:
        """z, in units of sigma where unit_scale says so."""
        return z / self.config.sigma if self.config.unit_scale else z

    def settles_at(self, step: int) -> bool:
        """Whether components are to be put at the class means before this step."""
        return self.config.start == "labels" and step in (0, self.config.kl_warmup)

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
        strengths = (
            (sampling.strength,) if sampling.contrast == 1 else (sampling.strength, 0.0)
        )
        priors = self.priors if self.priors else self.mixtures
        codes = [
            prior_latents(
                priors, conditioning, n, bars, sampling.seed, strength, sampling.noise
            )
            for strength in strengths
        ]
        return self.write_beside(*codes, sampling=sampling)
