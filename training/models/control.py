"""Control: an autoregressive transformer from scratch conditional on the emotion, the plain
rival of every latent model.

The class of each axis is an embedding that is added before every layer, not a token at the
head of the piece (CTRL, Keskar et al. 2019): attention here reaches one bar back a layer,
so that a prefix would be out of sight after a few bars. Songs without a label have the
class "unknown" and teach the music alone. Guidance: Ho and Salimans 2022.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from schemas.remi import PAD
from schemas.song import Song
from training.config import AXES, UNLABELLED, DataConfig
from training.data.views import song_of
from training.parts.attention import Layout
from training.parts.backbone import Decoder, StackConfig, backbone_flops, token_terms
from training.parts.conditioning import N_LEVELS, class_code, label_of
from training.parts.guidance import Guided
from training.parts.sampling import SamplingConfig, write_pieces


@dataclass(frozen=True)
class ControlConfig(StackConfig):
    """hidden: how often training hides a known class, which guidance needs; guidance:
    how far writing goes beyond what the class changes (1: as trained, 0: no class)."""

    hidden: float = 0.1
    guidance: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.hidden <= 1 or self.guidance < 0:
            raise ValueError("hidden must be from 0 to 1, and guidance 0 or more")


class Control(nn.Module):
    """p(token | tokens before, classes); a linear map of one-hot classes is an embedding
    of each axis, added."""

    steered_by = "guidance"

    def __init__(self, config: ControlConfig, data: DataConfig) -> None:
        super().__init__()
        self.config, self.packed, self.length = (
            config,
            data.layout == "packed",
            data.tokens_per_bar,
        )
        self.decoder = Decoder(config, len(AXES) * N_LEVELS)

    def logits(self, tokens: Tensor, label: Tensor, layout: Layout) -> Tensor:
        """Tokens (B, T, L) and labels (B, 2) to logits (N, vocabulary) of the next
        token."""
        code = class_code(label)[:, None].expand(-1, tokens.shape[1], -1)
        return self.decoder(layout.gather(tokens), layout, code)

    def forward(
        self, batch: Mapping[str, Tensor], step: Tensor | None
    ) -> dict[str, Tensor]:
        """`loss`, the cross-entropy of the next token, and token_accuracy."""
        tokens, label = batch["tokens"].long(), batch["label"]
        if self.training:
            label = torch.where(
                torch.rand(label.shape, device=label.device) < self.config.hidden,
                UNLABELLED,
                label,
            )
        layout = Layout.of(tokens != PAD, self.packed)
        terms = token_terms(
            self.logits(tokens, label, layout), layout.gather(batch["target"].long())
        )
        return terms | {"loss": terms["reconstruction"]}

    def generate(
        self,
        conditioning: Mapping[str, int | None],
        n: int,
        bars: int,
        sampling: SamplingConfig,
    ) -> list[Song]:
        """n pieces of an emotion; an axis without a class is unknown, as in songs without a
        label. sampling.strength multiplies the guidance."""
        code = (
            class_code(label_of(conditioning, n))
            .to(self.decoder.head.weight.device)[:, None]
            .expand(-1, bars, -1)
        )
        weight = self.config.guidance * sampling.strength
        decoder: Any = self.decoder
        if weight != 1:
            nothing = class_code(torch.full((n, len(AXES)), UNLABELLED, device=code.device))
            code = torch.cat([code, nothing[:, None].expand_as(code)], -1)
            decoder = Guided(decoder, weight)
        return [
            song_of(tokens) for tokens in write_pieces(decoder, code, self.length, sampling)
        ]

    def flops_per_step(self, places: int, length: int) -> float:
        """Multiply-adds ×2 of one training step over `places` worked token places."""
        return backbone_flops(
            self, self.config.layers, self.config.width, places, length, n_stacks=1
        )
