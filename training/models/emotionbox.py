"""EmotionBox (Zheng et al., Frontiers in Psychology 2022): music psychology as a steering
wheel, no label learnt from.

A GRU writes performance events, given at each what the coming bar is to hold: a histogram of
its pitch classes and how many notes begin in it. Emotion is set by hand when it writes: a
major scale for high valence, a minor one for low; many notes for high arousal, few for low.
Started from nothing, not from a random vector; all tracks but the drums are one piano.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.remi import N_BEATS, N_PITCHES
from schemas.song import Song
from training.config import AXES, DataConfig
from training.parts.conditioning import sample_labels
from training.parts.performance import (  # fmt: skip
    LOUDNESS,
    N_EVENTS,
    N_SHIFTS,
    NONE,
    OFF,
    ON,
    SHIFT,
    Performance,
    perform,
    song_of_events,
)
from training.parts.sampling import SamplingConfig, in_parts, sample_token

# Degrees of C minor and C major with the tonic twice, as Magenta's Performance RNN gives
# them.
SCALES = (
    torch.tensor(
        [[2, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0], [2, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1]]
    )
    / 8
)
NOTES_A_BIN, N_BINS = 3, 12
WINDOW = N_BEATS


@dataclass(frozen=True)
class EmotionboxConfig:
    """Sizes are the paper's; notes: that begin in a bar of low and of high arousal,
    which it leaves to the ear."""

    layers: int = 3
    width: int = 512
    embedding: int = 240
    dropout: float = 0.3
    notes: tuple[int, ...] = (4, 12)

    def __post_init__(self) -> None:
        if (
            min(self.layers, self.width, self.embedding) < 1
            or not 0 <= self.dropout < 1
            or len(self.notes) != len(AXES)
        ):
            raise ValueError(
                "layers, width and embedding must be at least 1, dropout from 0 to under 1, notes two numbers"
            )


class Emotionbox(nn.Module):
    """p(event | events before, control of the coming bar)."""

    def __init__(self, config: EmotionboxConfig, data: DataConfig) -> None:
        super().__init__()
        self.config, self.length = config, data.tokens_per_bar
        self.embedding = nn.Embedding(N_EVENTS, config.embedding)
        self.join = nn.Linear(config.embedding + 12 + N_BINS, config.width)
        dropout = config.dropout if config.layers > 1 else 0.0
        self.stack = nn.GRU(
            config.width, config.width, config.layers, batch_first=True, dropout=dropout
        )
        self.head = nn.Linear(config.width, N_EVENTS)

    def logits(
        self, before: Tensor, control: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The events before (B, N) and controls (B, N, 24) to logits (B, N, events), and
        the state behind the last."""
        hidden, state = self.stack(
            torch.relu(self.join(torch.cat([self.embedding(before), control], -1))), state
        )
        return self.head(hidden), state

    def forward(
        self, batch: Mapping[str, Tensor], step: Tensor | None
    ) -> dict[str, Tensor]:
        """`loss`, the cross-entropy of the next event."""
        wanted, control = played(batch["tokens"])
        logits, _ = self.logits(functional.pad(wanted, (1, -1), value=NONE), control)
        loss = functional.cross_entropy(
            logits.flatten(0, 1).float(), wanted.flatten(), ignore_index=NONE
        )
        with torch.no_grad():
            right = (logits.argmax(-1) == wanted) & (wanted != NONE)
        return {"loss": loss, "event_accuracy": right.sum() / (wanted != NONE).sum()}

    def generate(
        self,
        conditioning: Mapping[str, int | None],
        n: int,
        bars: int,
        sampling: SamplingConfig,
    ) -> list[Song]:
        """n pieces of an emotion, each in a key at random; an axis without a class takes
        one at random a piece."""
        generator = torch.Generator().manual_seed(sampling.seed)
        label = sample_labels(conditioning, n, generator)
        roots = torch.randint(0, 12, (n,), generator=generator)
        scale = torch.stack(
            [
                SCALES[mode].roll(root)
                for mode, root in zip(label[:, 1], roots.tolist(), strict=True)
            ]
        )
        density = functional.one_hot(
            density_bin(torch.tensor(self.config.notes)[label[:, 0]]), N_BINS
        )
        control = torch.cat([scale, density], 1).to(self.head.weight.device)
        return [
            song_of_events(events)
            for events in in_parts(
                lambda part, its: self.write(part, bars, its), control, sampling
            )
        ]

    @torch.no_grad()
    def write(
        self, control: Tensor, bars: int, sampling: SamplingConfig
    ) -> list[np.ndarray]:
        """Events of a piece of `bars` bars for each control (B, 24), at most as many as
        its bars have tokens."""
        generator = torch.Generator(control.device).manual_seed(sampling.seed)
        count, end = len(control), bars * N_BEATS
        begun = torch.full((count, N_PITCHES), -1, device=control.device)
        now, before = torch.zeros_like(begun[:, 0]), torch.full_like(begun[:, 0], NONE)
        jump, state, written = (
            torch.arange(1, N_SHIFTS + 1, device=control.device),
            None,
            [],
        )
        for _ in range(bars * self.length):
            logits, state = self.logits(before[:, None], control[:, None], state)
            may = torch.ones(count, N_EVENTS, dtype=torch.bool, device=control.device)
            may[:, NONE] = False
            may[:, ON:OFF] = begun < 0
            may[:, OFF:LOUDNESS] = (begun >= 0) & (begun < now[:, None])
            may[:, LOUDNESS:SHIFT] = ~_within(before, LOUDNESS, SHIFT)[:, None]
            may[:, SHIFT:] = now[:, None] + jump <= end
            done = now >= end
            event = torch.where(
                done,
                NONE,
                sample_token(
                    logits[:, 0].masked_fill(~may, -torch.inf), sampling, generator
                ),
            )
            if done.all():
                break
            written.append(event)
            now = now + (event - SHIFT + 1).clamp(min=0)
            starts, stops = _within(event, ON, OFF), _within(event, OFF, LOUDNESS)
            begun[starts, event[starts] - ON] = now[starts]
            begun[stops, event[stops] - OFF] = -1
            before = event
        return list(torch.stack(written, 1).cpu().numpy())

    def flops_per_step(self, places: int, length: int) -> float:
        """Multiply-adds ×2 of one training step, taking a token place for an event."""
        return (
            6.0
            * places
            * sum(
                parameter.numel()
                for part in (self.join, self.stack, self.head)
                for parameter in part.parameters()
            )
        )


@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch leaves it without types
def played(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Events (B, N) and their controls (B, N, 24) of tokens (B, T, L)."""
    performance = perform(tokens.cpu().numpy())
    return torch.from_numpy(performance.event).to(tokens.device), torch.from_numpy(
        controls(performance)
    ).to(tokens.device)


def density_bin(notes: Tensor) -> Tensor:
    """Bin of a number of onsets: 0 for none, then one for every three, the last open."""
    return ((notes + NOTES_A_BIN - 1) // NOTES_A_BIN).clamp(max=N_BINS - 1)


def controls(performance: Performance) -> np.ndarray:
    """Control (B, N, 24) float32 of each event: shares of the pitch classes that begin
    in the bar's length from it on, and a one-hot of their number's bin; near the end of
    a piece, of its last whole bar."""
    pieces, length, _ = performance.onsets.shape
    total = np.concatenate(
        [np.zeros((pieces, 1, 12), np.int64), performance.onsets.cumsum(1)], 1
    )
    start = np.minimum(performance.time, length - WINDOW)
    row = np.arange(pieces)[:, None]
    coming = total[row, start + WINDOW] - total[row, start]
    notes = coming.sum(-1)
    density = np.eye(N_BINS)[density_bin(torch.from_numpy(notes)).numpy()]
    return np.concatenate([coming / np.maximum(notes, 1)[..., None], density], -1).astype(
        np.float32
    )


def _within(event: Tensor, first: int, stop: int) -> Tensor:
    return (event >= first) & (event < stop)
