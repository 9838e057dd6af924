"""EC²-VAE (Yang et al., ISMIR 2019): a melody's latent in two halves, one bound to its
rhythm by a decoder of its own.

A bidirectional GRU reads each bar to z_r and z_p; a rhythm decoder tells onset, hold or
rest of each step from z_r alone, and a pitch decoder the step from that rhythm and z_p.
Theirs reads two bars and is given the chords, which tokens do not say. It knows no emotion:
where one is asked for, z is drawn around the mean latents of the songs of that class (as
MusicVAE's attribute vectors), arousal's in z_r and valence's in z_p.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.remi import N_BEATS
from schemas.song import Song
from training.config import AXES, DataConfig
from training.parts.backbone import sample_latent
from training.parts.latent import standard_kl
from training.parts.melody import HOLD, N_STEPS, melody, song_of_melody
from training.parts.sampling import SamplingConfig, in_parts, sample_token

N_RHYTHMS = 3
"""Onset, hold and rest."""
KEPT = 0.99


@dataclass(frozen=True)
class Ec2vaeConfig:
    """Sizes are the paper's; latent: of each half; kl_weight: β, of nats a step (the paper's
    .1 of a mean over 128 dimensions)."""

    width: int = 1024
    embedding: int = 128
    latent: int = 128
    kl_weight: float = 0.0125

    def __post_init__(self) -> None:
        if min(self.width, self.embedding, self.latent) < 1 or self.kl_weight < 0:
            raise ValueError(
                "width, embedding and latent must be at least 1, and kl_weight 0 or more"
            )


class Ec2vae(nn.Module):
    """Bars of 16 steps, each from its own latent."""

    steered_by = "the mean latents of classes"

    means: Tensor

    def __init__(self, config: Ec2vaeConfig, data: DataConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(N_STEPS + 1, config.embedding)
        self.encoder = nn.GRU(
            config.embedding, config.width, batch_first=True, bidirectional=True
        )
        self.gaussian = nn.Linear(2 * config.width, 4 * config.latent)
        self.rhythm = nn.GRU(N_RHYTHMS + 1 + config.latent, config.width, batch_first=True)
        self.pitch = nn.GRU(
            config.embedding + N_RHYTHMS + config.latent, config.width, batch_first=True
        )
        self.rhythm_head = nn.Linear(config.width, N_RHYTHMS)
        self.pitch_head = nn.Linear(config.width, N_STEPS)
        self.register_buffer("means", torch.zeros(len(AXES), 2, config.latent))

    def posterior(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Steps (N, 16) to mean and log variance (N, 2·latent), z_r first."""
        _, last = self.encoder(self.embedding(steps))
        mean, log_variance = (
            self.gaussian(last.transpose(0, 1).flatten(1)).float().chunk(2, -1)
        )
        return mean, log_variance

    def predict_rhythm(
        self, before: Tensor, z_r: Tensor, state: Any = None
    ) -> tuple[Tensor, Any]:
        """Logits (N, S, 3) of each step's rhythm from those before (N, S), 3 for none,
        and z_r (N, latent)."""
        previous = functional.one_hot(before, N_RHYTHMS + 1).to(z_r.dtype)
        hidden, state = self.rhythm(
            torch.cat([previous, _at_steps(z_r, before)], -1), state
        )
        return self.rhythm_head(hidden), state

    def predict_pitch(
        self, before: Tensor, rhythm: Tensor, z_p: Tensor, state: Any = None
    ) -> tuple[Tensor, Any]:
        """Logits (N, S, 90) of each step from those before (N, S), its rhythm's odds (N,
        S, 3) and z_p (N, latent)."""
        previous = self.embedding(before)
        given = torch.cat([previous, rhythm, _at_steps(z_p, before)], -1)
        hidden, state = self.pitch(given, state)
        return self.pitch_head(hidden), state

    def forward(
        self, batch: Mapping[str, Tensor], step: Tensor | None
    ) -> dict[str, Tensor]:
        """`loss`: cross-entropies of step and rhythm, and the KL of both halves."""
        by_bar = self.melody(batch["tokens"])
        steps = by_bar.flatten(0, 1)
        rhythm = rhythm_of(steps)
        mean, log_variance = self.posterior(steps)
        z_r, z_p = sample_latent(mean, log_variance).chunk(2, -1)
        rhythm_logits, _ = self.predict_rhythm(_before(rhythm, N_RHYTHMS), z_r)
        logits, _ = self.predict_pitch(
            _before(steps, N_STEPS), rhythm_logits.softmax(-1), z_p
        )
        kl_r, kl_p = standard_kl(mean, log_variance).mean(0).chunk(2, -1)
        terms = {
            "reconstruction": functional.cross_entropy(logits.flatten(0, 1).float(), steps.flatten()),
            "rhythm": functional.cross_entropy(rhythm_logits.flatten(0, 1).float(), rhythm.flatten()),
            "arousal_kl": kl_r.sum(), "valence_kl": kl_p.sum(),
            "step_accuracy": (logits.argmax(-1) == steps).float().mean(),
        }  # fmt: skip
        if self.training:
            self._note(mean.detach().view(*by_bar.shape[:2], 2, -1).mean(1), batch["label"])
        kl = (kl_r.sum() + kl_p.sum()) / N_BEATS
        return terms | {
            "loss": terms["reconstruction"] + terms["rhythm"] + self.config.kl_weight * kl
        }

    def _note(self, mean: Tensor, label: Tensor) -> None:
        """Move each class's mean towards that of the batch's songs: means (B, 2,
        latent), labels (B, 2)."""
        for level in range(2):
            has_level = (label == level)[..., None]
            of_batch = (mean * has_level).sum(0) / has_level.sum(0).clamp(min=1)
            before = self.means[:, level]
            moved = torch.lerp(of_batch, before, KEPT)
            self.means[:, level] = torch.where(has_level.any(0), moved, before)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # torch leaves it without types
    def melody(self, tokens: Tensor) -> Tensor:
        """Steps (B, T, 16) of tokens (B, T, L)."""
        return torch.from_numpy(melody(tokens.cpu().numpy())).to(tokens.device)

    def encode(self, tokens: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and log variance (B, T, latent) of z_r (`arousal`) and z_p (`valence`)."""
        steps = self.melody(tokens)
        pieces, bars, _ = steps.shape
        mean, log_variance = self.posterior(steps.flatten(0, 1))
        means = mean.view(pieces, bars, -1).chunk(2, -1)
        log_variances = log_variance.view(pieces, bars, -1).chunk(2, -1)
        gaussians = zip(means, log_variances, strict=True)
        return dict(zip(AXES, gaussians, strict=True))

    def write(self, z: Tensor, sampling: SamplingConfig) -> list[Song]:
        """A piece from each of (B, T, 2·latent)."""
        return [
            song_of_melody(steps.cpu().numpy())
            for steps in in_parts(self.write_steps, z, sampling)
        ]

    @torch.no_grad()
    def write_steps(self, z: Tensor, sampling: SamplingConfig) -> list[Tensor]:
        """Steps (T, 16) of each piece; a bar hears no other."""
        generator = torch.Generator(z.device).manual_seed(sampling.seed)
        z_r, z_p = z.flatten(0, 1).chunk(2, -1)
        rhythm = torch.full((len(z_r), 1), N_RHYTHMS, device=z.device)
        step = torch.full((len(z_r), 1), N_STEPS, device=z.device)
        rhythm_state = None
        pitch_state = None
        written = []
        for _ in range(N_BEATS):
            odds, rhythm_state = self.predict_rhythm(rhythm, z_r, rhythm_state)
            logits, pitch_state = self.predict_pitch(
                step, odds.softmax(-1), z_p, pitch_state
            )
            step = sample_token(logits[:, 0], sampling, generator)[:, None]
            rhythm = rhythm_of(step)
            written.append(step)
        return list(torch.cat(written, 1).view(*z.shape[:2], N_BEATS))

    def generate(
        self,
        conditioning: Mapping[str, int | None],
        n: int,
        bars: int,
        sampling: SamplingConfig,
    ) -> list[Song]:
        """n pieces around the mean latents of a class, with the sampling's strength and
        noise; N(0, I) where an axis has none."""
        generator = torch.Generator().manual_seed(sampling.seed)
        noise = torch.randn(n, bars, 2 * self.config.latent, generator=generator).to(
            self.means.device
        )
        levels = [conditioning[axis] for axis in AXES]
        centre = [
            torch.zeros_like(mean[0])
            if level is None
            else torch.lerp(mean.mean(0), mean[level], sampling.strength)
            for mean, level in zip(self.means, levels, strict=True)
        ]
        return self.write(sampling.noise * noise + torch.cat(centre), sampling)

    def flops_per_step(self, places: int, length: int) -> float:
        """Multiply-adds ×2 of one training step, at 16 steps a bar that is full of
        tokens."""
        grus = sum(
            parameter.numel()
            for name, parameter in self.named_parameters()
            if "embedding" not in name
        )
        return 6.0 * places / length * N_BEATS * grus


def rhythm_of(steps: Tensor) -> Tensor:
    """0 where a note begins, 1 while it is held, 2 at rest."""
    return (steps - HOLD + 1).clamp(min=0)


def _before(values: Tensor, none: int) -> Tensor:
    return functional.pad(values[:, :-1], (1, 0), value=none)


def _at_steps(z: Tensor, steps: Tensor) -> Tensor:
    return z[:, None].expand(-1, steps.shape[1], -1)
