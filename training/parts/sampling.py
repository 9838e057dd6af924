"""Sampling: tokens sampled one by one from a decoder and its latents, held to REMI's
grammar."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from schemas.remi import (  # fmt: skip
    BAR_TOKEN,
    BEAT,
    DURATION,
    N_DURATIONS,
    N_PITCHES,
    N_VELOCITIES,
    PAD,
    PITCH,
    TEMPO_TOKEN,
    VELOCITY,
    VOCABULARY_SIZE,
)
from training.parts.backbone import Decoder

AT_ONCE = 64
LEAST_CHANCE = 1e-30
MOST_GROWN = 5.0
Piece = TypeVar("Piece")


@dataclass(frozen=True)
class SamplingConfig:
    """How pieces are sampled.

    Tokens from the smallest set that holds top_p, flattened by temperature; temperature 0
    takes the best. strength: λ, how far from the middle between classes towards the one
    asked for, 1 as trained; noise: of a latent around its class, in its deviations;
    contrast: guidance of a mixture's decoder away from what it says in the middle, 1 none.
    """

    temperature: float = 1.2
    top_p: float = 0.9
    seed: int = 0
    strength: float = 1.0
    noise: float = 1.0
    contrast: float = 1.0

    def __post_init__(self) -> None:
        if min(self.strength, self.noise, self.contrast) < 0:
            raise ValueError("strength, noise and contrast must be 0 or more")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError(
                "temperature must be 0 or more, and top_p over 0 and at most 1"
            )


def token_kinds() -> Tensor:
    """Which kind each token is, one-hot (V, 6): Bar and what is no music, Beat, Tempo,
    Pitch, Velocity, Duration."""
    firsts = torch.tensor([BEAT, TEMPO_TOKEN, PITCH, VELOCITY, DURATION])
    kind = torch.bucketize(torch.arange(VOCABULARY_SIZE), firsts, right=True)
    return functional.one_hot(kind, len(firsts) + 1).float()


def grammar() -> Tensor:
    """Which token may follow which within a bar, bool (V, V); Bar stands for the bar's
    end."""
    kind = torch.arange(VOCABULARY_SIZE)
    part = torch.bucketize(
        kind, torch.tensor([BEAT, TEMPO_TOKEN, PITCH, VELOCITY, DURATION]), right=True
    )
    track = torch.zeros_like(kind)
    spans = (
        (PITCH, N_PITCHES, VELOCITY),
        (VELOCITY, N_VELOCITIES, DURATION),
        (DURATION, N_DURATIONS, VOCABULARY_SIZE),
    )
    for first, size, stop in spans:
        track[first:stop] = (kind[first:stop] - first) // size
    before, after = part[:, None], part[None]
    ends_bar = kind == BAR_TOKEN
    allowed = (before == 1) & ((after == 2) | (after == 3)) | (before == 2) & (after == 3)
    allowed |= ((before == 3) & (after == 4) | (before == 4) & (after == 5)) & (
        track[:, None] == track
    )
    allowed |= (before == 5) & ((after == 1) | (after == 3) | ends_bar)
    allowed[BAR_TOKEN] = (part == 1) | ends_bar
    return allowed


def sample_token(
    logits: Tensor, sampling: SamplingConfig, generator: torch.Generator
) -> Tensor:
    """One token a row from logits (B, V)."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    probability, order = (
        (logits.float() / sampling.temperature).softmax(-1).sort(-1, descending=True)
    )
    probability[(probability.cumsum(-1) - probability) >= sampling.top_p] = 0
    return order.gather(-1, torch.multinomial(probability, 1, generator=generator)).squeeze(
        -1
    )


def within_kinds(logits: Tensor, legal: Tensor, kinds: Tensor) -> Tensor:
    """Logits (B, V) with tokens that are not legal (B, V) left out, their chance going to
    legal ones of the same kind: kinds (V, K), one-hot.

    Spread over all kinds, it would go to Beats and bar lines, since what small models get
    wrong is mostly the order of pitches. Legal ones grow MOST_GROWN-fold at most: over the
    highest pitch of a piano there are only tracks that nobody plays.
    """
    chance = logits.float().softmax(-1)
    within = chance * legal
    whole, left = chance @ kinds, within @ kinds
    factor = (whole / left.clamp(min=LEAST_CHANCE)).clamp(max=MOST_GROWN)
    return (within * (factor @ kinds.T)).log()


@torch.no_grad()
def write_bars(
    decoder: Decoder, z: Tensor, length: int, sampling: SamplingConfig
) -> list[np.ndarray]:
    """Tokens of each piece from its latents (B, T, latent), at most `length` a bar,
    notes in order."""
    generator = torch.Generator(z.device).manual_seed(sampling.seed)
    allowed, kind = grammar().to(z.device), torch.arange(VOCABULARY_SIZE, device=z.device)
    is_beat, is_pitch = (
        (kind >= BEAT) & (kind < TEMPO_TOKEN),
        (kind >= PITCH) & (kind < VELOCITY),
    )
    kinds = token_kinds().to(z.device)
    condition, memory = decoder.condition(z), decoder.stack.memory(len(z), length, z.device)
    written = torch.full((*z.shape[:2], length), PAD, device=z.device)
    for bar in range(z.shape[1]):
        memory.next_bar()
        token = torch.full((len(z),), BAR_TOKEN, device=z.device)
        alive = torch.ones(len(z), dtype=torch.bool, device=z.device)
        beat, pitch = torch.zeros_like(token), torch.zeros_like(token)
        for place in range(length):
            written[:, bar, place] = torch.where(alive, token, PAD)
            hidden = decoder.stack.step(
                decoder.embed_step(token, (beat - BEAT + 1).clamp(min=0)),
                memory,
                condition[:, bar],
                alive,
            )
            rising = ~(is_beat & (kind <= beat[:, None])) & ~(
                is_pitch & (kind <= pitch[:, None])
            )
            logits = decoder.head(hidden).masked_fill(~allowed[token], -torch.inf)
            following = sample_token(
                within_kinds(logits, rising, kinds), sampling, generator
            )
            alive = alive & (following != BAR_TOKEN)
            if not alive.any():
                break
            token = torch.where(alive, following, token)
            pitch = torch.where(
                is_pitch[token], token, torch.where(is_beat[token], 0, pitch)
            )
            beat = torch.where(is_beat[token], token, beat)
    return [
        piece[piece != PAD].cpu().numpy().astype(np.uint16) for piece in written.flatten(1)
    ]


def in_parts(
    write: Callable[[Tensor, SamplingConfig], list[Piece]],
    given: Tensor,
    sampling: SamplingConfig,
) -> list[Piece]:
    """write(given, sampling) in parts that fit in memory: given (B, ...), one piece a row."""
    parts = enumerate(torch.split(given, AT_ONCE))
    return [
        piece
        for n, part in parts
        for piece in write(part, replace(sampling, seed=sampling.seed + n))
    ]


def write_pieces(
    decoder: Decoder, z: Tensor, length: int, sampling: SamplingConfig
) -> list[np.ndarray]:
    """write_bars in parts."""
    return in_parts(lambda part, its: write_bars(decoder, part, length, its), z, sampling)
