"""What VAEs of bars share: settings of the KL, tokens read and scored row by row,
writing from latents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.remi import PAD
from schemas.song import Song
from training.config import AXES, DataConfig
from training.data.views import song_of
from training.parts.attention import Layout
from training.parts.backbone import BackboneConfig, Decoder, Encoder, backbone_flops
from training.parts.guidance import Guided
from training.parts.latent import cyclical_weight, monotone_weight
from training.parts.sampling import SamplingConfig, write_pieces

Terms = dict[str, Tensor]
# Log variance of what a code says without noise, such as a class beside its z.
CERTAIN = -60.0


@dataclass(frozen=True)
class VaeConfig(BackboneConfig):
    """The backbone and the KL beside it.

    Every term of a loss is in nats a token: what is said of a bar, summed over its latent
    dimensions or positions, weighs one over the tokens a bar has. So kl_weight is the ELBO's
    β in every model: 1 is a bound on the likelihood. The KL is 0 for kl_warmup steps, then
    comes in cycles of kl_cycle (`cyclical`) or rises once (`monotone`) up to kl_weight, and
    is free below free_bits nats a bar and dimension (MuseMorphose: 0.25).
    """

    kl_weight: float = 1.0
    kl_warmup: int = 10_000
    kl_cycle: int = 5_000
    kl_anneal: Literal["cyclical", "monotone"] = "cyclical"
    free_bits: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.kl_weight, self.kl_warmup, self.kl_cycle, self.free_bits) < 0:
            raise ValueError(
                "kl_weight, kl_warmup, kl_cycle and free_bits must be 0 or more"
            )

    def kl_weight_at(self, step: Tensor | None) -> Tensor | float:
        """The KL's weight at a step; without one, as in validation, its full weight."""
        anneal = cyclical_weight if self.kl_anneal == "cyclical" else monotone_weight
        return anneal(step, self.kl_warmup, self.kl_cycle, self.kl_weight)


class RowTokens(NamedTuple):
    """Sums over a row's true tokens, (B) each: −log p of the target in nats, how many were
    likeliest, how many there are."""

    nll: Tensor
    right: Tensor
    n: Tensor

    def a_row(self, weight: Tensor | float = 1.0) -> Tensor:
        """What a nat a row weighs in a loss of nats a token, rows weighed by (B)."""
        weighed = weight * torch.ones_like(self.n)
        return weighed.sum() / (weight * self.n).sum().clamp(min=1)

    def terms(self, weight: Tensor | float = 1.0) -> Terms:
        """`reconstruction` and `token_accuracy` a token, rows weighed by (B)."""
        total = (weight * self.n).sum().clamp(min=1)
        return {
            "reconstruction": (weight * self.nll).sum() / total,
            "token_accuracy": ((weight * self.right).sum() / total).detach(),
        }


def bars_a_token(wanted: Tensor, bars: int) -> Tensor:
    """What a nat a bar weighs in a loss of nats a token: targets (N) of `bars` bars."""
    return bars / (wanted != PAD).sum().clamp(min=1)


def row_tokens(logits: Tensor, wanted: Tensor, layout: Layout) -> RowTokens:
    """Score logits (N, vocabulary) of the targets (N); PAD is no target."""
    nll = functional.cross_entropy(
        logits.float(), wanted, ignore_index=PAD, reduction="none"
    )
    real = wanted != PAD
    right = (logits.argmax(-1) == wanted) & real
    return RowTokens(
        *(
            layout.spread(each.to(nll.dtype)).flatten(1).sum(1)
            for each in (nll, right, real)
        )
    )


def laid_on_bars(per_piece: Tensor, bars: int) -> Tensor:
    """(B, ...) to (B, T, ...): a piece's own on each of its bars."""
    return per_piece.unsqueeze(1).expand(-1, bars, *per_piece.shape[1:])


def beside(z: Tensor, extra: Tensor) -> Tensor:
    """A code (B, T, 2·(d + k)): z (B, T, 2d) in two halves, arousal's and valence's, each
    followed by its (B, T, 2, k)."""
    return torch.cat([torch.unflatten(z, -1, (2, -1)), extra], -1).flatten(-2)


def as_axes(
    mean: Tensor, log_variance: Tensor, extra: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """One latent (B, T, 2d), and what its code says without noise (B, T, 2, k), as if
    each axis had a latent of d + k."""
    means, spreads = (
        beside(mean, extra),
        beside(log_variance, torch.full_like(extra, CERTAIN)),
    )
    return dict(
        zip(AXES, zip(means.chunk(2, -1), spreads.chunk(2, -1), strict=True), strict=True)
    )


def label_terms(odds: Tensor, label: Tensor) -> Terms:
    """Cross-entropy over all labels there are, and accuracy of each axis: log-odds of
    high and labels, both (B, 2)."""
    known = label >= 0
    losses = functional.binary_cross_entropy_with_logits(
        odds, label.clamp(min=0).to(odds.dtype), reduction="none"
    )
    right = ((odds > 0) == (label == 1)) & known
    return {
        "label_loss": (losses * known).sum() / known.sum().clamp(min=1),
        **{
            f"{axis}_accuracy": right[:, n].sum() / known[:, n].sum().clamp(min=1)
            for n, axis in enumerate(AXES)
        },
    }


class BarVae(nn.Module):
    """Tokens in, `decoder` to tokens out of a code of each bar; what encodes is each
    model's own."""

    decoder: Decoder

    def __init__(self, config: VaeConfig, data: DataConfig) -> None:
        super().__init__()
        self.config: Any = config
        self.packed, self.length = data.layout == "packed", data.tokens_per_bar

    def layout(self, tokens: Tensor) -> Layout:
        """Where the true tokens of (B, T, L) stand."""
        return Layout.of(tokens != PAD, self.packed)

    def read(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Layout]:
        """A batch's tokens and targets, (N) each, and where they stand."""
        tokens = batch["tokens"].long()
        layout = self.layout(tokens)
        return layout.gather(tokens), layout.gather(batch["target"].long()), layout

    def code(self, z: Tensor) -> Tensor:
        """What the decoder is given of z."""
        return z

    def decode(self, tokens: Tensor, z: Tensor) -> Tensor:
        """Logits (B, T, L, vocabulary) of the token after each of tokens (B, T, L), from
        codes (B, T, size)."""
        layout = self.layout(tokens)
        return layout.spread(
            self.decoder(layout.gather(tokens), layout, self.code(z)).float()
        )

    def write(self, z: Tensor, sampling: SamplingConfig) -> list[Song]:
        """A piece from each code of (B, T, size)."""
        return [
            song_of(tokens)
            for tokens in write_pieces(self.decoder, self.code(z), self.length, sampling)
        ]

    def write_beside(
        self, z: Tensor, middle: Tensor | None = None, *, sampling: SamplingConfig
    ) -> list[Song]:
        """A piece from each code of (B, T, size), guided away from what the decoder says of
        `middle` by sampling.contrast where that is given."""
        if middle is None:
            return self.write(z, sampling)
        guided: Any = Guided(self.decoder, sampling.contrast)
        both = torch.cat([self.code(z), self.code(middle)], -1)
        return [
            song_of(piece) for piece in write_pieces(guided, both, self.length, sampling)
        ]

    def flops_per_step(self, places: int, length: int) -> float:
        """Multiply-adds ×2 of one training step over `places` worked token places."""
        n_stacks = sum(name.endswith("stack") for name, _ in self.named_modules())
        return backbone_flops(
            self, self.config.layers, self.config.width, places, length, n_stacks
        )


class AxisVae(BarVae):
    """An encoder for each axis, apart from the first weight to the last."""

    def __init__(
        self, config: VaeConfig, data: DataConfig, log_variance: float = 0.0
    ) -> None:
        super().__init__(config, data)
        self.encoders: Any = nn.ModuleDict(
            {axis: Encoder(config, log_variance) for axis in AXES}
        )

    def gaussians(self, flat: Tensor, layout: Layout) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and log variance (B, T, latent) of each axis from tokens (N)."""
        return {axis: self.encoders[axis](flat, layout) for axis in AXES}

    def encode(self, tokens: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and log variance (B, T, latent) of each axis: z_r is arousal's, z_k
        valence's."""
        layout = self.layout(tokens)
        return self.gaussians(layout.gather(tokens), layout)
