"""Semg-GMVAE (Xu and Liu, Computer Science 51(8), 2024): a semi-supervised Gaussian-mixture VAE of emotion in music.

Two encoders give a rhythm latent z_r, whose two components are low and high arousal, and a key latent z_k, whose two are
low and high valence, one of each a bar; local decoders tie each to its feature, an adversary keeps the other's out; a
global decoder writes the bars. Equations are cited by number; where the paper errs or is silent, SemgConfig says what stands.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.keys import N_KEYS
from schemas.remi import N_BEATS, PAD, VOCABULARY_SIZE
from training.config import DataConfig
from training.parts.adversary import feature_loss, held_still, reverse_gradient, unlikelihood
from training.parts.attention import AttentionStack, Layout
from training.parts.latent import Mixture, cyclical_weight, mixture_kl
from training.parts.recurrent import RecurrentStack

AXES = ("arousal", "valence")
IGNORE = -100
# Large beside the z that is added to it: at 0.02 the decoder does not hear its tokens for the first hundreds of steps.
EMBEDDING_STD = 0.3


@dataclass(frozen=True)
class SemgConfig:
    """Sizes are the paper's (4.3; feed_forward it leaves out).

    cell: `lstm` is its ablation; sigma: of every component, fixed and shared, as eq. (7) assumes; alpha: eq. (10);
    mutual_information: eq. (14), both on unlabelled songs alone as in eq. (17); adversary: see parts/adversary.py;
    vanilla: the ELBO alone (alpha 1, no mutual information, no feature terms). Weights the paper leaves out: *_weight;
    label_weight is of a cross-entropy of q(y|x) on labelled songs, 0 as the paper has it (1: Music FaderNets).
    Losses are means over tokens, positions and latent dimensions; the KL is 0 for kl_warmup steps, then comes in cycles
    of kl_cycle up to kl_weight, and is free below free_bits nats a dimension (MuseMorphose: 0.25; below it a label
    teaches nothing, unless label_weight is set). temperature divides the log-odds of q(y|x).
    """

    layers: int = 12
    heads: int = 8
    width: int = 512
    feed_forward: int = 2048
    latent: int = 128
    dropout: float = 0.1
    cell: Literal["attention", "lstm"] = "attention"
    sigma: float = 0.1353352832366127
    alpha: float = 0.2
    mutual_information: bool = True
    adversary: Literal["paper", "reversal", "none"] = "paper"
    vanilla: bool = False
    rhythm_weight: float = 1.0
    key_weight: float = 1.0
    adversary_weight: float = 1.0
    category_weight: float = 1.0
    label_weight: float = 0.0
    temperature: float = 1.0
    kl_weight: float = 1.0
    kl_warmup: int = 10_000
    kl_cycle: int = 5_000
    free_bits: float = 0.0

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(f"width {self.width} must divide into {self.heads} heads of even size")


def _stack(config: SemgConfig, causal: bool) -> nn.Module:
    if config.cell == "lstm":
        return RecurrentStack(config.width, config.layers, config.dropout, causal)
    return AttentionStack(config.width, config.heads, config.feed_forward, config.layers, config.dropout, causal)


class Encoder(nn.Module):
    """Tokens to q(z|x) of each bar, eq. (19)."""

    def __init__(self, config: SemgConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY_SIZE, config.width)
        self.stack: Any = _stack(config, causal=False)
        self.gaussian = nn.Linear(config.width, 2 * config.latent)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)
        # Start with the components' own variance: else q(y|x) is one-hot noise from the first step.
        nn.init.constant_(self.gaussian.bias[config.latent :], 2 * math.log(config.sigma))

    def forward(self, tokens: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, T, latent), float32 or better."""
        pooled = layout.mean(self.stack(self.embedding(tokens), layout))
        mean, log_variance = self.gaussian(pooled).chunk(2, -1)
        return (mean, log_variance) if mean.dtype == torch.float64 else (mean.float(), log_variance.float())


class Decoder(nn.Module):
    """Bars from z: each token from those before it in the bar, the previous bar, and the bar's z at every layer."""

    def __init__(self, config: SemgConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY_SIZE, config.width)
        self.condition = nn.Linear(2 * config.latent, config.width)
        self.stack = _stack(config, causal=True)
        self.head = nn.Linear(config.width, VOCABULARY_SIZE)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)

    def forward(self, tokens: Tensor, layout: Layout, z: Tensor) -> Tensor:
        """Logits (N, vocabulary) of the next token."""
        return self.head(self.stack(self.embedding(tokens), layout, self.condition(z)))


def _local_decoder(config: SemgConfig, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(config.latent, config.width), nn.GELU(), nn.Linear(config.width, outputs))


class SemgGmvae(nn.Module):
    """The whole model; forward gives the loss of eq. (17) and its terms."""

    def __init__(self, config: SemgConfig, data: DataConfig) -> None:
        super().__init__()
        self.config, self.packed, self.counts = config, data.layout == "packed", data.max_count + 1
        self.encoders: Any = nn.ModuleDict({axis: Encoder(config) for axis in AXES})
        self.mixtures: Any = nn.ModuleDict({axis: Mixture(2, config.latent, config.sigma) for axis in AXES})
        self.decoder = Decoder(config)
        sizes = {"arousal": N_BEATS * self.counts, "valence": N_KEYS}
        self.local = nn.ModuleDict({axis: _local_decoder(config, sizes[axis]) for axis in AXES})
        self.probes = nn.ModuleDict(
            {axis: _local_decoder(config, sizes[axis]) for axis in AXES} if config.adversary == "reversal" else {}
        )

    def layout(self, tokens: Tensor) -> Layout:
        """Where the true tokens of (B, T, L) stand."""
        return Layout.of(tokens != PAD, self.packed)

    def encode(self, tokens: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and log variance (B, T, latent) of z_r (`arousal`) and z_k (`valence`)."""
        layout = self.layout(tokens)
        flat = layout.gather(tokens)
        return {axis: self.encoders[axis](flat, layout) for axis in AXES}

    def posterior(self, axis: str, z: Tensor) -> Tensor:
        """q(y|x) of each bar from its z: (..., latent) to (..., 2), eq. (3)."""
        return (self.mixtures[axis].log_odds(z) / self.config.temperature).softmax(-1)

    def feature_logits(self, axis: str, decoder: nn.Module, z: Tensor, still: bool = False) -> Tensor:
        """A local decoder's logits: rhythm (B, T, 16, counts), key (B, T, 24)."""
        out = held_still(decoder, z) if still else decoder(z)
        return out.view(*z.shape[:-1], N_BEATS, self.counts) if axis == "arousal" else out

    def kl_weight_at(self, step: int) -> float:
        """The KL's weight at a step."""
        return cyclical_weight(step, self.config.kl_warmup, self.config.kl_cycle, self.config.kl_weight)

    def forward(self, batch: Mapping[str, Tensor], kl_weight: Tensor) -> dict[str, Tensor]:
        """`loss` and its terms, every one a number; batch as training.train.to_device gives it."""
        tokens, target = batch["tokens"].long(), batch["target"].long()
        layout = self.layout(tokens)
        flat = layout.gather(tokens)
        gaussians = {axis: self.encoders[axis](flat, layout) for axis in AXES}
        z = {
            axis: mean + torch.randn_like(mean) * (0.5 * log_variance).exp() for axis, (mean, log_variance) in gaussians.items()
        }
        logits = self.decoder(flat, layout, torch.cat([z[axis] for axis in AXES], -1))
        wanted = layout.gather(target)
        terms = {"reconstruction": functional.cross_entropy(logits.float(), wanted, ignore_index=PAD)}
        with torch.no_grad():
            terms["token_accuracy"] = ((logits.argmax(-1) == wanted) & (wanted != PAD)).sum() / (wanted != PAD).sum()
        loss = terms["reconstruction"] + self._features(batch, z, terms)
        for index, axis in enumerate(AXES):
            loss = loss + self._latent(axis, gaussians[axis], z[axis], batch["label"][:, index], kl_weight, terms)
        terms["loss"] = loss
        return terms

    def _features(self, batch: Mapping[str, Tensor], z: dict[str, Tensor], terms: dict[str, Tensor]) -> Tensor | float:
        """L_Dis, eq. (16): the right latent tells its feature, the wrong one does not."""
        config = self.config
        if config.vanilla:
            return 0.0
        key = batch["key"].long()
        wanted = {"arousal": batch["rhythm"].long(), "valence": torch.where(key < N_KEYS, key, IGNORE)}
        total: Tensor | float = 0.0
        for axis, wrong, name in (("arousal", "valence", "rhythm"), ("valence", "arousal", "key")):
            terms[name] = feature_loss(self.feature_logits(axis, self.local[axis], z[axis]), wanted[axis], IGNORE)
            total = total + (config.rhythm_weight if name == "rhythm" else config.key_weight) * terms[name]
            if config.adversary == "paper":
                terms[f"{name}_adversary"] = unlikelihood(
                    self.feature_logits(axis, self.local[axis], z[wrong], still=True), wanted[axis], IGNORE
                )
            elif config.adversary == "reversal":
                terms[f"{name}_adversary"] = feature_loss(
                    self.feature_logits(axis, self.probes[axis], reverse_gradient(z[wrong])), wanted[axis], IGNORE
                )
            if config.adversary != "none":
                total = total + config.adversary_weight * terms[f"{name}_adversary"]
        return total

    def _latent(
        self, axis: str, gaussian: tuple[Tensor, Tensor], z: Tensor, label: Tensor, kl_weight: Tensor, terms: dict[str, Tensor]
    ) -> Tensor:
        """L_sup or L_unsup of each bar, its song's label laid on every bar."""
        config, mixture = self.config, self.mixtures[axis]
        alpha, mutual = (1.0, False) if config.vanilla else (config.alpha, config.mutual_information)
        log_odds = mixture.log_odds(z) / config.temperature
        label = label[:, None].expand(z.shape[:-1])
        found = mixture_kl(*gaussian, log_odds.log_softmax(-1), mixture, label, mutual)
        each = (found.kl + alpha * found.spread).flatten(0, -2).mean(0)
        loss = kl_weight * (each.clamp(min=config.free_bits).mean() + config.category_weight * found.category)
        known = label >= 0
        if config.label_weight:
            loss = loss + config.label_weight * feature_loss(log_odds, torch.where(known, label, IGNORE), IGNORE)
        with torch.no_grad():
            right = (log_odds.argmax(-1) == label) & known
            average = found.posterior.flatten(0, -2).mean(0)
            terms |= {
                f"{axis}_kl": each.sum(), f"{axis}_spread": found.spread.sum(-1).mean(), f"{axis}_category": found.category,
                f"{axis}_accuracy": right.sum() / known.sum().clamp(min=1), f"{axis}_distance": mixture.distance(),
                f"{axis}_share_high": average[1],
            }  # fmt: skip
        return loss

    def flops_per_step(self, places: int, length: int) -> float:
        """Multiply-adds ×2 of one training step (forward, and backward as twice that) over `places` worked token places."""
        stacks = sum(parameter.numel() for name, parameter in self.named_parameters() if "stack" in name or "head" in name)
        attention = 3 * self.config.layers * 2 * 2 * length * self.config.width * 2
        return 3.0 * places * (2 * stacks + attention)
