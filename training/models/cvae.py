"""CVAE (Grekow and Dimitrova-Grekow, IEEE Access 9, 2021): a VAE conditional on the emotion,
taught by labelled songs alone.

The paper's nets are recurrent, its music monophonic and its label one of four quadrants;
here both nets are the backbone, with the class of each axis at every layer (in-attention). It
has no q(y|x): a song without a label cannot be encoded, nor teach.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from training.parts.bar_vae import Terms, VaeConfig
from training.parts.conditional_vae import ConditionalVae
from training.parts.latent import free_below


@dataclass(frozen=True)
class CvaeConfig(VaeConfig):
    """The backbone and its KL; set data.labelled_share = 1, since other rows of a batch
    count for nothing."""


class Cvae(ConditionalVae):
    """−log p(x|y, z) + KL[q(z|x, y) ‖ N(0, I)] over the rows that have a label."""

    def forward(self, batch: Mapping[str, Tensor], step: Tensor | None) -> Terms:
        """`loss` and its terms at a step; a row with one axis labelled counts, its other
        axis taken as unknown."""
        label = batch["label"]
        counts = (label >= 0).any(1).float()
        scored, kl = self.score(batch["tokens"].long(), batch["target"].long(), label)
        terms = scored.terms(counts) | {"kl": free_below(kl, self.config.free_bits, counts)}
        kl_weight = self.config.kl_weight_at(step)
        a_bar = scored.a_row(counts) * kl.shape[1]
        loss = terms["reconstruction"] + kl_weight * a_bar * terms["kl"]
        return terms | {
            "loss": loss,
            "kl_weight": torch.as_tensor(kl_weight),
            "labelled_rows": counts.sum(),
        }
