"""SSVAE, M2 (Kingma et al., NeurIPS 2014): q(y|x), q(z|x, y), p(x|y, z), each with weights
of its own.

    labelled    L(x, y) = −log p(x|y, z) + KL[q(z|x, y) ‖ N(0, I)] − log p(y), and a cross-entropy of q(y|x)
    unlabelled  Σ_y q(y|x) L(x, y) − H[q(y|x)]
The sum over y is worked exactly: the two axes make four classes, so that it costs four passes of an unlabelled row but adds
no noise and no bias to the gradient of q(y|x), where a straight-through Gumbel draw would. A row with one label has two.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.config import AXES, DataConfig
from training.parts.backbone import Encoder
from training.parts.bar_vae import Terms, VaeConfig, as_axes, label_terms
from training.parts.conditional_vae import ConditionalVae
from training.parts.latent import free_below

QUADRANTS = torch.cartesian_prod(torch.arange(2), torch.arange(2))


@dataclass(frozen=True)
class SsvaeConfig(VaeConfig):
    """The backbone and its KL; label_weight: the paper's alpha; category_weight: of
    KL[q(y|x) ‖ p(y)]; both are nats a song."""

    label_weight: float = 1.0
    category_weight: float = 1.0


class Ssvae(ConditionalVae):
    """M2 with y of a song and z of its bars."""

    def __init__(self, config: SsvaeConfig, data: DataConfig) -> None:
        super().__init__(config, data)
        self.listener = Encoder(config, 0.0)
        self.classes = nn.Linear(config.latent, len(AXES))

    def forward(self, batch: Mapping[str, Tensor], step: Tensor | None) -> Terms:
        """`loss` and its terms at a step."""
        config = self.config
        label = batch["label"]
        tokens = batch["tokens"].long()
        target = batch["target"].long()
        odds = self.song_odds(tokens)
        log_q = torch.stack([functional.logsigmoid(-odds), functional.logsigmoid(odds)], -1)
        row, classes, weight = possible_classes(log_q.exp(), label)
        scored, kl = self.score(tokens[row], target[row], classes)
        unknown = label < 0
        negative_entropy = (log_q.exp() * log_q).sum(-1)
        category = ((negative_entropy + math.log(2)) * unknown).sum() / len(label)
        terms = scored.terms(weight) | {
            "kl": free_below(kl, config.free_bits, weight),
            "category": category,
        }
        terms |= label_terms(odds, label)
        kl_weight = config.kl_weight_at(step)
        a_song = scored.a_row(weight)
        of_song = kl.shape[1] * terms["kl"] + config.category_weight * category
        loss = terms["reconstruction"] + kl_weight * a_song * of_song
        loss = loss + config.label_weight * a_song * terms["label_loss"]
        return terms | {"loss": loss, "kl_weight": torch.as_tensor(kl_weight)}

    def song_odds(self, tokens: Tensor) -> Tensor:
        """Log-odds of high under q(y|x), a song and axis: tokens (B, T, L) to (B, 2)."""
        layout = self.layout(tokens)
        mean, _ = self.listener(layout.gather(tokens), layout)
        return self.classes(mean.mean(1)).float()

    def odds(self, tokens: Tensor) -> dict[str, Tensor]:
        """The song's log-odds on each of its bars: tokens (B, T, L) to (B, T) an axis."""
        of_song = self.song_odds(tokens)
        return {
            axis: of_song[:, n, None].expand(tokens.shape[:2])
            for n, axis in enumerate(AXES)
        }

    def encode(self, tokens: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Half of z, with the likelier class of an axis after it, for each axis; z's halves
        themselves mean nothing apart."""
        label = (self.song_odds(tokens) > 0).long()
        return as_axes(
            *self.posterior(tokens, label), self.label_code(label, tokens.shape[1])
        )


def possible_classes(q: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All that the labels (B, 2) leave open: row (P), its classes (P, 2), and their
    probability (P), from q (B, 2, 2)."""
    known = (label >= 0).unsqueeze(-1)
    certain = functional.one_hot(label.clamp(min=0), 2)
    arousal, valence = torch.where(known, certain.to(q.dtype), q).unbind(1)
    joint = (arousal[:, :, None] * valence[:, None]).flatten(1)
    quadrants = QUADRANTS.to(label.device)
    open_to = ((label[:, None] < 0) | (label[:, None] == quadrants)).all(-1)
    row, quadrant = open_to.nonzero(as_tuple=True)
    return row, quadrants[quadrant], joint[row, quadrant]
