"""The backbone of VAEs over bars: tokens to q(z|x) of each bar, and each bar's tokens from
its z."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.remi import BEAT, N_BEATS, PAD, TEMPO_TOKEN, VOCABULARY_SIZE
from training.parts.attention import AttentionStack, Layout
from training.parts.recurrent import RecurrentStack

# Large beside the z that is added to it: at 0.02 the decoder does not hear its tokens for
# the first hundreds of steps.
EMBEDDING_STD = 0.3


@dataclass(frozen=True)
class StackConfig:
    """Sizes of a stack, as Semg-GMVAE's paper has them (4.3; feed_forward it leaves out).

    beats: whether each token is also told which Beat of its bar it stands behind, which a
    small stack does not find out for itself.
    """

    layers: int = 12
    heads: int = 8
    width: int = 512
    feed_forward: int = 2048
    dropout: float = 0.1
    cell: Literal["attention", "lstm"] = "attention"
    beats: bool = False

    def __post_init__(self) -> None:
        if (
            min(self.layers, self.heads, self.width, self.feed_forward) < 1
            or not 0 <= self.dropout < 1
        ):
            raise ValueError(
                "layers, heads, width and feed_forward must be at least 1, and dropout from 0 to under 1"
            )
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(
                f"width {self.width} must divide into {self.heads} heads of even size"
            )


@dataclass(frozen=True)
class BackboneConfig(StackConfig):
    """And of encoders to latents; latent: of each."""

    latent: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latent < 1:
            raise ValueError("latent must be at least 1")


def make_stack(config: StackConfig, causal: bool) -> nn.Module:
    """Layers of the configured cell."""
    if config.cell == "lstm":
        return RecurrentStack(config.width, config.layers, config.dropout, causal)
    return AttentionStack(
        config.width,
        config.heads,
        config.feed_forward,
        config.layers,
        config.dropout,
        causal,
    )


class Embedding(nn.Embedding):
    """What each token is, and with `beats` behind which Beat of its bar it stands."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__(VOCABULARY_SIZE, config.width)
        nn.init.normal_(self.weight, std=EMBEDDING_STD)
        self.of_beat = nn.Embedding(N_BEATS + 1, config.width) if config.beats else None
        if self.of_beat is not None:
            nn.init.normal_(self.of_beat.weight, std=EMBEDDING_STD)

    def laid(self, flat: Tensor, layout: Layout) -> Tensor:
        """Tokens (N) of bars to (N, width)."""
        if self.of_beat is None:
            return self(flat)
        beat = layout.gather(beat_of(layout.spread(flat)))
        return self(flat) + self.of_beat(beat)

    def step(self, token: Tensor, beat: Tensor) -> Tensor:
        """A token (B) behind a beat (B), 0 for none and 1-16, to (B, width)."""
        return self(token) if self.of_beat is None else self(token) + self.of_beat(beat)


def beat_of(tokens: Tensor) -> Tensor:
    """Which Beat, 1-16, each token of bars (..., L) stands behind or is, 0 before the
    first."""
    is_beat = (tokens >= BEAT) & (tokens < TEMPO_TOKEN)
    return torch.where(is_beat, tokens - BEAT + 1, 0).cummax(-1).values


class Encoder(nn.Module):
    """Tokens to q(z|x) of each bar, eq. (19), which starts with log variance
    `log_variance`."""

    def __init__(self, config: BackboneConfig, log_variance: float) -> None:
        super().__init__()
        self.embedding = Embedding(config)
        self.stack: Any = make_stack(config, causal=False)
        self.gaussian = nn.Linear(config.width, 2 * config.latent)
        nn.init.constant_(self.gaussian.bias[config.latent :], log_variance)

    def forward(
        self, flat: Tensor, layout: Layout, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Tokens (N), and the condition of each layer (B, T, width), to mean and log
        variance (B, T, latent), float32 or better."""
        hidden = self.stack(self.embedding.laid(flat, layout), layout, condition)
        mean, log_variance = self.gaussian(layout.mean(hidden)).chunk(2, -1)
        return (
            (mean, log_variance)
            if mean.dtype == torch.float64
            else (mean.float(), log_variance.float())
        )


class Decoder(nn.Module):
    """Each token from those before it in its bar, the previous bar, and its bar's z (size
    `latent`) at every layer."""

    def __init__(self, config: StackConfig, latent: int) -> None:
        super().__init__()
        self.embedding = Embedding(config)
        self.condition = nn.Linear(latent, config.width)
        self.stack: Any = make_stack(config, causal=True)
        self.head = nn.Linear(config.width, VOCABULARY_SIZE)

    def forward(self, flat: Tensor, layout: Layout, z: Tensor) -> Tensor:
        """Tokens (N) and z (B, T, latent) to logits (N, vocabulary) of the next token."""
        hidden = self.embedding.laid(flat, layout)
        return self.head(self.stack(hidden, layout, self.condition(z)))

    def embed_step(self, token: Tensor, beat: Tensor) -> Tensor:
        """A token (B) behind a beat (B) to (B, width)."""
        return self.embedding.step(token, beat)


def token_terms(logits: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """`reconstruction`, the cross-entropy, and `token_accuracy` of logits (N,
    vocabulary) for wanted (N), PAD left out."""
    real = wanted != PAD
    with torch.no_grad():
        accuracy = ((logits.argmax(-1) == wanted) & real).sum() / real.sum()
    return {
        "reconstruction": functional.cross_entropy(
            logits.float(), wanted, ignore_index=PAD
        ),
        "token_accuracy": accuracy,
    }


def sample_latent(mean: Tensor, log_variance: Tensor) -> Tensor:
    """One z of N(mean, e^log_variance), differentiable."""
    return mean + torch.randn_like(mean) * (0.5 * log_variance).exp()


def backbone_flops(
    model: nn.Module, layers: int, width: int, places: int, length: int, n_stacks: int = 3
) -> float:
    """Multiply-adds ×2 of a training step (backward as twice forward) over `places`
    places, for n_stacks of the backbone."""
    stacks = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if "stack" in name or "head" in name
    )
    return 3.0 * places * 2 * (stacks + n_stacks * layers * 2 * 2 * length * width)
