"""Sample: music from a trained model's latents: of an emotion, of a song turned to another, of two songs' parts exchanged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from schemas.labels import QUADRANTS
from schemas.remi import (
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
    RemiConfig,
)  # fmt: skip
from training.config import RunConfig, RunFailed
from training.data import AXES, Split, crops
from training.views import read_midi, song_of, view_song, write_midi

AT_ONCE = 64


@dataclass(frozen=True)
class Choice:
    """How tokens are drawn: from the smallest set that holds top_p, flattened by temperature; temperature 0 takes the best."""

    temperature: float = 1.2
    top_p: float = 0.9
    seed: int = 0


def grammar() -> Tensor:
    """Which token may follow which within a bar, bool (V, V); Bar stands for the bar's end."""
    kind = torch.arange(VOCABULARY_SIZE)
    starts = torch.tensor([BEAT, TEMPO_TOKEN, PITCH, VELOCITY, DURATION])
    part = torch.bucketize(kind, starts, right=True)
    track = torch.zeros_like(kind)
    for first, size, stop in (
        (PITCH, N_PITCHES, VELOCITY),
        (VELOCITY, N_VELOCITIES, DURATION),
        (DURATION, N_DURATIONS, VOCABULARY_SIZE),
    ):
        track[first:stop] = (kind[first:stop] - first) // size
    before, after = part[:, None], part[None]
    same_track = track[:, None] == track[None]
    ends_bar = kind == BAR_TOKEN
    allowed = (before == 1) & ((after == 2) | (after == 3)) | (before == 2) & (after == 3)
    allowed |= ((before == 3) & (after == 4) | (before == 4) & (after == 5)) & same_track
    allowed |= (before == 5) & ((after == 1) | (after == 3) | ends_bar[None])
    allowed[BAR_TOKEN] = (part == 1) | ends_bar
    return allowed


def draw(logits: Tensor, choice: Choice, generator: torch.Generator) -> Tensor:
    """One token a row from logits (B, V)."""
    if choice.temperature == 0:
        return logits.argmax(-1)
    probability, order = (logits.float() / choice.temperature).softmax(-1).sort(-1, descending=True)
    probability[(probability.cumsum(-1) - probability) >= choice.top_p] = 0
    return order.gather(-1, torch.multinomial(probability, 1, generator=generator)).squeeze(-1)


@torch.no_grad()
def write_bars(model: Any, z: Tensor, length: int, choice: Choice) -> list[np.ndarray]:
    """Tokens of each piece from its latents (B, T, 2·latent), at most `length` a bar, of REMI's grammar, notes in order."""
    generator = torch.Generator(z.device).manual_seed(choice.seed)
    decoder, allowed = model.decoder, grammar().to(z.device)
    kind = torch.arange(VOCABULARY_SIZE, device=z.device)
    is_beat, is_pitch = (kind >= BEAT) & (kind < TEMPO_TOKEN), (kind >= PITCH) & (kind < VELOCITY)
    condition = decoder.condition(z)
    memory = decoder.stack.memory(len(z), length, z.device)
    written = torch.full((*z.shape[:2], length), PAD, device=z.device)
    for bar in range(z.shape[1]):
        memory.next_bar()
        token = torch.full((len(z),), BAR_TOKEN, device=z.device)
        alive = torch.ones(len(z), dtype=torch.bool, device=z.device)
        beat, pitch = torch.zeros_like(token), torch.zeros_like(token)
        for place in range(length):
            written[:, bar, place] = torch.where(alive, token, PAD)
            hidden = decoder.stack.step(decoder.embedding(token), memory, condition[:, bar], alive)
            rising = ~(is_beat & (kind <= beat[:, None])) & ~(is_pitch & (kind <= pitch[:, None]))
            following = draw(decoder.head(hidden).masked_fill(~(allowed[token] & rising), -torch.inf), choice, generator)
            alive = alive & (following != BAR_TOKEN)
            token = torch.where(alive, following, token)
            new_beat = is_beat[token]
            pitch = torch.where(is_pitch[token], token, torch.where(new_beat, 0, pitch))
            beat = torch.where(new_beat, token, beat)
            if not alive.any():
                break
    return [piece[piece != PAD].cpu().numpy().astype(np.uint16) for piece in written.flatten(1)]


def write_many(model: Any, z: Tensor, config: RunConfig, choice: Choice) -> list[np.ndarray]:
    """write_bars in parts that fit in memory."""
    pieces: list[np.ndarray] = []
    for index, part in enumerate(torch.split(z, AT_ONCE)):
        pieces += write_bars(
            model, part, config.data.tokens_per_bar, Choice(choice.temperature, choice.top_p, choice.seed + index)
        )
    return pieces


def prior_latents(model: Any, classes: Mapping[str, int | None], n: int, bars: int, seed: int) -> Tensor:
    """z ~ N(μ_y, σ²) for each bar: (n, bars, 2·latent); an axis without a class takes one at random a piece."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for axis in AXES:
        mixture = model.mixtures[axis]
        level = classes[axis]
        chosen = torch.randint(0, 2, (n,), generator=generator) if level is None else torch.full((n,), level)
        noise = torch.randn(n, bars, mixture.means.shape[1], generator=generator).to(mixture.means.device)
        parts.append(mixture.means[chosen.to(mixture.means.device)][:, None] + noise * (0.5 * mixture.log_variance).exp())
    return torch.cat(parts, -1).detach()


@torch.no_grad()
def song_latents(model: Any, tokens: Tensor) -> Tensor:
    """Means of q(z|x) of each bar: tokens (B, T, L) to (B, T, 2·latent)."""
    return torch.cat([mean for mean, _ in model.encode(tokens.long()).values()], -1)


def infer_classes(model: Any, z: Tensor) -> list[int]:
    """Most likely (arousal, valence) of a piece by q(y|x) summed over its bars, z (T, 2·latent)."""
    return [int(model.mixtures[axis].log_odds(part).sum(0).argmax()) for axis, part in zip(AXES, z.chunk(2, -1), strict=True)]


def turn(model: Any, z: Tensor, source: Sequence[int], target: Sequence[int | None], strength: float) -> Tensor:
    """z + λ(μ_target − μ_source) on every axis that has a target, eq. (21)."""
    parts = []
    for index, (axis, part) in enumerate(zip(AXES, z.chunk(2, -1), strict=True)):
        goal = target[index]
        means = model.mixtures[axis].means
        parts.append(part if goal is None else part + strength * (means[goal] - means[source[index]]))
    return torch.cat(parts, -1).detach()


def exchange(first: Tensor, second: Tensor, axis: str) -> tuple[Tensor, Tensor]:
    """Both latents with the part of `axis` (arousal: z_r, valence: z_k) of the other; pieces are cut to the shorter."""
    bars = min(first.shape[-2], second.shape[-2])
    (a_r, a_k), (b_r, b_k) = (z[..., :bars, :].chunk(2, -1) for z in (first, second))
    if axis == "arousal":
        return torch.cat([b_r, a_k], -1), torch.cat([a_r, b_k], -1)
    return torch.cat([a_r, b_k], -1), torch.cat([b_r, a_k], -1)


def read_piece(name: str, config: RunConfig, open_data: Callable[[str], Split] | None, start: int) -> Tensor:
    """Tokens (1, T, L) of a MIDI file, or of a song_id of the release, from bar `start` on; RunFailed where there is none."""
    bars, length = config.data.bars, config.data.tokens_per_bar
    if Path(name).exists():
        view = view_song(read_midi(name), config.data, RemiConfig())
        parts = np.split(view.tokens, view.bar_offset[1:-1])[start : start + bars]
        if not sum(len(part) > 1 for part in parts):
            raise RunFailed(f"{name} has no notes of the tracks {', '.join(config.data.tracks)} from bar {start} on")
        padded = np.full((1, len(parts), length), PAD, np.int64)
        for bar, part in enumerate(parts):
            padded[0, bar, : len(part)] = part
        return torch.from_numpy(padded)
    if open_data is None:
        raise RunFailed(f"{name} is no file: name a MIDI file, or a song_id together with --data RELEASE")
    for split in map(open_data, ("test", "validation", "train")):
        if name in split.ids:
            song = np.array([split.ids.index(name)])
            bars = min(bars, int(split.n_bars[song[0]]) - start)
            if bars < 1:
                raise RunFailed(f"{name} has {split.n_bars[song[0]]} bars: start before that")
            return torch.from_numpy(
                crops(split, song, np.array([start]), bars, length, split.labels[song]).tokens.astype(np.int64)
            )
    raise RunFailed(f"{name} is neither a file nor a song_id of the release")


def save_pieces(pieces: Sequence[np.ndarray], names: Sequence[str], out: str) -> list[str]:
    """Write each piece as OUT/NAME.mid; the paths."""
    Path(out).mkdir(parents=True, exist_ok=True)
    paths = [str(Path(out) / f"{name}.mid") for name in names]
    for tokens, path in zip(pieces, paths, strict=True):
        write_midi(song_of(tokens), path)
    return paths


def emotion_name(classes: Mapping[str, int | None]) -> str:
    """The quadrant's name, or the one class that is given."""
    arousal, valence = classes["arousal"], classes["valence"]
    if arousal is not None and valence is not None:
        return QUADRANTS[arousal, valence]
    given = [f"{letter}{level}" for letter, level in (("A", arousal), ("V", valence)) if level is not None]
    return given[0] if given else "any"
