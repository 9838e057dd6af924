"""GAN-CVAE (Kawai, Esling and Harada, ISMIR 2020): attributes condition the decoder, and an
adversary keeps them out of z.

A discriminator tells from z which bounds each attribute is over (ordinal labels: 1 1 0 0
...); the encoder is taught the flipped labels, 1 − label. The flip rewards z for being
confidently wrong as well as for knowing nothing. Its attributes are jSymbolic's of
melodies; here the rhythm's density and the polyphony of a bar. Emotion is set by hand
(parts/attributes.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from training.config import DataConfig
from training.parts.adversary import held_still
from training.parts.attributes import AttributeConfig, AttributeVae, bar_attributes
from training.parts.bar_vae import Terms


@dataclass(frozen=True)
class GanConfig(AttributeConfig):
    """Published weights: KL .1, and adversary_weight; β is constant there (set kl_warmup
    and kl_cycle to 0)."""

    adversary_weight: float = 0.1
    kl_weight: float = 0.1


class GanCvae(AttributeVae):
    """The ELBO, the discriminator's loss on a z held still, and the encoder's against a
    discriminator held still."""

    def __init__(self, config: GanConfig, data: DataConfig) -> None:
        super().__init__(config, data, 1)
        n_labels = self.bounds.numel()
        self.discriminator = nn.Sequential(
            nn.Linear(2 * config.latent, config.width),
            nn.LeakyReLU(),
            nn.Linear(config.width, n_labels),
        )

    def condition(self, values: Tensor) -> Tensor:
        """Each attribute as a number, 0 at its middle bound and 2 apart between the
        outermost: (B, T, 2) to (B, T, 2, 1)."""
        low, middle, high = (
            self.bounds[:, at] for at in (0, self.bounds.shape[1] // 2, -1)
        )
        return (2 * (values - middle) / (high - low)).unsqueeze(-1)

    def forward(self, batch: Mapping[str, Tensor], step: Tensor | None) -> Terms:
        """`loss` and its terms at a step."""
        terms, z = self.elbo(batch, step)
        label = self.ordinal(bar_attributes(batch["tokens"].long())).flatten(-2)
        logits, fooled = (
            self.discriminator(z.detach()).float(),
            held_still(self.discriminator, z).float(),
        )
        terms["discriminator"] = functional.binary_cross_entropy_with_logits(logits, label)
        terms["discriminator_accuracy"] = ((logits > 0) == (label > 0)).float().mean()
        terms["adversary"] = functional.binary_cross_entropy_with_logits(fooled, 1 - label)
        terms["loss"] = (
            terms["loss"]
            + terms["discriminator"]
            + self.config.adversary_weight * terms["adversary"]
        )
        return terms
