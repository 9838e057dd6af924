"""Music FaderNets' GM-VAE (Tan and Herremans, ISMIR 2020), what Semg-GMVAE came from: the
same latents, neither α nor mutual information nor adversary; labels teach q(y|z), and the
first dimension of each latent is put in the order of its feature.

Its second feature, note density, is the key here; in order of mode, since keys themselves
have none. The public code's slips (softmax over time, a variance used as a deviation, β
under 0 at the start) are not inherited; its nets are the backbone here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from schemas.keys import N_KEYS
from training.parts.bar_vae import Terms
from training.parts.gaussian_mixture_vae import GmVae
from training.parts.mixture_settings import GmVaeConfig

FIRST_MINOR = N_KEYS // 2


@dataclass(frozen=True)
class FaderConfig(GmVaeConfig):
    """GmVaeConfig as FaderNets has it: of tokens 5, of rhythm, key, class and order 1 each,
    of the KL .2, as means; so in nats a token, of a fifth of these, at 97 tokens a bar.

    order_weight: of order_loss.
    """

    label_weight: float = 19.4
    rhythm_weight: float = 1.2
    key_weight: float = 19.4
    kl_weight: float = 0.04
    order_weight: float = 19.4


class FaderNets(GmVae):
    """The Gaussian-mixture VAE with the latent regularisation of Pati and Lerch (2020)."""

    def _features(
        self, batch: Mapping[str, Tensor], z: dict[str, Tensor], terms: Terms
    ) -> Tensor | float:
        total = super()._features(batch, z, terms)
        key = batch["key"].long()
        features = {
            "arousal": batch["rhythm"].sum(-1),
            "valence": (key < FIRST_MINOR).long(),
        }
        kept = {"arousal": torch.ones_like(key, dtype=torch.bool), "valence": key < N_KEYS}
        for axis, value in features.items():
            terms[f"{axis}_order"] = order_loss(z[axis][..., 0], value, kept[axis])
            total = total + self.config.order_weight * terms[f"{axis}_order"]
        return total


def order_loss(z: Tensor, value: Tensor, kept: Tensor) -> Tensor:
    """Mean over pairs of bars of (tanh(z_i − z_j) − sign(a_i − a_j))²: z, value a and
    kept, all (B, T)."""
    z, value, kept = z.flatten(), value.flatten().to(z.dtype), kept.flatten()
    wrong = (torch.tanh(z[:, None] - z) - torch.sign(value[:, None] - value)).pow(2)
    pairs = kept[:, None] & kept
    return (wrong * pairs).sum() / pairs.sum().clamp(min=1)
