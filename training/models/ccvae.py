"""CCVAE (Joy et al., ICLR 2021): z = (z_c, z_s), z_c one slot for each label, read by a
classifier of that slot alone.

    unlabelled  −log p(x|z) + E_{q(y|z_c)} KL[q(z_c|x) ‖ p(z_c|y)] + KL[q(z_s|x) ‖ N(0, I)] + KL[q(y|z_c) ‖ p(y)]
    labelled    w·(−log p(x|z) + KL[q(z_c|x) ‖ p(z_c|y)] + KL[q(z_s|x) ‖ N(0, I)] + log q(y|z_c)) − log p(y) − log q(y|x)
with w = q(y|z_c) / q(y|x), q(y|x) the mean of q(y|z_c) over K draws, and z_c detached in w, else the variance is ruinous.
The published code draws y of unlabelled rows; two classes are summed here. Slots: part of the latent of each axis; y: a song's.

What a label teaches the encoder is mostly the bracket times the gradient of log q(y|x), by
the detached w. Where the bracket is negative it is taught the wrong class, so that log
q(y|z_c) must stay small beside log p(x|z): see category_weight.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.song import Song
from training.config import AXES, DataConfig
from training.parts.backbone import Decoder, sample_latent
from training.parts.bar_vae import AxisVae, Terms, VaeConfig, label_terms, row_tokens
from training.parts.conditioning import sample_labels
from training.parts.latent import free_below, gaussian_kl, standard_kl
from training.parts.sampling import SamplingConfig


@dataclass(frozen=True)
class CcvaeConfig(VaeConfig):
    """The backbone and its KL; slot: how much of each axis's latent is z_c; draws: K.

    category_weight: of the terms of q(y|·), which are nats a song.
    """

    slot: int = 64
    draws: int = 100
    category_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.slot <= self.latent or self.draws < 1:
            raise ValueError(
                f"slot must be from 1 to latent = {self.latent}, and draws at least 1"
            )


class Slot(nn.Module):
    """One label's p(z_c|y), which starts at −2 and 2, and its affine q(y|z_c), a song's
    by the mean of its bars."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.means = nn.Parameter(torch.tensor([[-2.0], [2.0]]).repeat(1, size))
        # Its softplus, the deviation, is 1.
        self.spread = nn.Parameter(torch.full((2, size), math.log(math.e - 1)))
        self.classes = nn.Linear(size, 1)
        nn.init.constant_(self.classes.weight, 1 / size)
        nn.init.zeros_(self.classes.bias)

    def odds(self, z_c: Tensor) -> Tensor:
        """Log-odds of high: (..., slot) to (...); affine, so that a song's are the mean
        of its bars'."""
        # A sum, not a matrix product: autocast would take that down to bfloat16.
        return (z_c * self.classes.weight[0]).sum(-1) + self.classes.bias

    def prior(self) -> tuple[Tensor, Tensor]:
        """Mean and log variance (2, slot) of each class."""
        return self.means, 2 * functional.softplus(self.spread).log()


class Ccvae(AxisVae):
    """Semg-GMVAE's encoders and decoder around CCVAE's slots."""

    steered_by = "p(z_c|y)"

    def __init__(self, config: CcvaeConfig, data: DataConfig) -> None:
        super().__init__(config, data)
        self.slots: Any = nn.ModuleDict({axis: Slot(config.slot) for axis in AXES})
        self.decoder = Decoder(config, 2 * config.latent)

    def forward(self, batch: Mapping[str, Tensor], step: Tensor | None) -> Terms:
        """`loss` and its terms at a step."""
        config, label = self.config, batch["label"]
        flat, wanted, layout = self.read(batch)
        gaussians = self.gaussians(flat, layout)
        z = {axis: sample_latent(*gaussians[axis]) for axis in AXES}
        both = torch.cat([z[axis] for axis in AXES], -1)
        scored = row_tokens(self.decoder(flat, layout, both), wanted, layout)
        parts = [
            self.axis_terms(axis, gaussians[axis], z[axis], label[:, n])
            for n, axis in enumerate(AXES)
        ]
        kl, within, outside, log_weight, odds = (
            [part[n] for part in parts] for n in range(5)
        )
        weight = torch.stack(log_weight).sum(0).exp()
        reconstruction = (weight * scored.nll).sum() / scored.n.sum().clamp(min=1)
        of_dimensions = torch.cat(kl, -1) * weight[:, None, None]
        divergence = free_below(of_dimensions, config.free_bits)
        a_song = scored.a_row()
        a_bar = a_song * of_dimensions.shape[1]
        weighed = weight * torch.stack(within).sum(0)
        category = (weighed + torch.stack(outside).sum(0)).mean()
        kl_weight = config.kl_weight_at(step)
        loss = reconstruction + kl_weight * a_bar * divergence
        loss = loss + config.category_weight * a_song * category
        terms = scored.terms() | label_terms(torch.stack(odds, -1).detach(), label)
        terms |= {
            "kl": divergence,
            "category": category,
            "weight": weight.mean(),
            "weight_highest": weight.max(),
        }
        return terms | {"loss": loss, "kl_weight": torch.as_tensor(kl_weight)}

    def axis_terms(
        self, axis: str, gaussian: tuple[Tensor, Tensor], z: Tensor, label: Tensor
    ) -> tuple[Tensor, ...]:
        """KL (B, T, d), terms of q(y|z_c) within w and outside it, log w, and log-odds of
        q(y|z_c), (B) each."""
        size = self.config.slot
        slot = self.slots[axis]
        known = label >= 0
        level = label.clamp(min=0)
        mean, log_variance = gaussian
        odds = slot.odds(z[..., :size]).mean(-1)
        certain = functional.one_hot(level, 2).to(odds.dtype)
        inferred = torch.stack([-odds, odds], -1).sigmoid()
        q = torch.where(known[:, None], certain, inferred)
        here = (mean[..., None, :size], log_variance[..., None, :size])
        by_class = gaussian_kl(*here, *slot.prior())
        kl_c = (by_class * q[:, None, :, None]).sum(-2)
        kl = torch.cat([kl_c, standard_kl(mean[..., size:], log_variance[..., size:])], -1)
        log_q = log_probability(odds, level)
        mean_c = mean[..., :size]
        deviation_c = (0.5 * log_variance[..., :size]).exp()
        noise = torch.randn(
            self.config.draws, *mean_c.shape, device=mean.device, dtype=mean.dtype
        )
        sampled = slot.odds(mean_c + noise * deviation_c).mean(-1)
        log_q_x = log_probability(sampled, level).logsumexp(0) - math.log(self.config.draws)
        detached = log_probability(slot.odds(z[..., :size].detach()).mean(-1), level)
        log_q_both = [functional.logsigmoid(-odds), functional.logsigmoid(odds)]
        negative_entropy = (torch.stack(log_q_both, -1) * q).sum(-1)
        within = torch.where(known, log_q, math.log(2) + negative_entropy)
        outside = torch.where(known, math.log(2) - log_q_x, 0.0)
        return kl, within, outside, torch.where(known, detached - log_q_x, 0.0), odds

    def odds(self, tokens: Tensor) -> dict[str, Tensor]:
        """Log-odds of high for each axis and bar, at the mean of q(z_c|x): tokens (B, T,
        L) to (B, T)."""
        return {
            axis: self.slots[axis].odds(mean[..., : self.config.slot])
            for axis, (mean, _) in self.encode(tokens).items()
        }

    def generate(
        self,
        conditioning: Mapping[str, int | None],
        n: int,
        bars: int,
        sampling: SamplingConfig,
    ) -> list[Song]:
        """n pieces of an emotion, z_c from p(z_c|y), z_s from N(0, I), with the sampling's
        strength and noise; an axis without a class takes one at random a piece."""
        generator, device = (
            torch.Generator().manual_seed(sampling.seed),
            self.decoder.head.weight.device,
        )
        label, parts = sample_labels(conditioning, n, generator).to(device), []
        for index, axis in enumerate(AXES):
            z = torch.randn(n, bars, self.config.latent, generator=generator).to(device)
            z = sampling.noise * z
            mean, log_variance = (
                of_class[label[:, index], None].detach()
                for of_class in self.slots[axis].prior()
            )
            middle = self.slots[axis].means.detach().mean(0)
            mean = middle + sampling.strength * (mean - middle)
            z_c = mean + z[..., : self.config.slot] * (0.5 * log_variance).exp()
            parts += [z_c, z[..., self.config.slot :]]
        return self.write(torch.cat(parts, -1), sampling)


def log_probability(odds: Tensor, level: Tensor) -> Tensor:
    """log q(y): log-odds of high (..., B), classes (B)."""
    return functional.logsigmoid(odds * (2 * level - 1))
